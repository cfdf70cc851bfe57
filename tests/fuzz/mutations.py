"""Damage by a random generator: to bytes, to lines of text, to the values of JSON; and checksums made right again."""

import json
import re
import struct
import zlib

#: What a reader may not have thought of, wherever a number, a word or anything else is expected.
_VALUES = (
    *(None, True, False, 0, 1, -1, 2, 255, 256, 0.0, -0.5, 1e-30, 1e308, float("inf"), float("-inf"), float("nan")),
    *(2**31 - 1, 2**31, 2**32, 2**63, 2**64, 10**30, -(10**30), "", "0", " ", "../../x", "/dev/null", "a\nb", "a\0b"),
    *("\udc80", "x" * 5000, "é\u2028", [], {}, [[]], [0], [None], {"": 0}, ["a", "b"], [1e9] * 3, {"losses": 0}),
)
_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
_WORDS = (
    *("", "0", "-1", "1e999", "nan", "inf", "99999999999999999999", "1.5", "true", '"', "[", "]", "{", "}", "=", ":"),
    *(
        "#",
        "\\",
        "\0",
        "\x1b",
        "\u2028",
        "é",
        "../..",
        "/",
        " ",
        "\t",
        "x" * 5000,
        '"""',
        "[[x]]",
        "- 1",
        "0x10",
        "[" * 2000,
    ),
)
_TOKEN = re.compile(r'"[^"\n]*"|[\w.+-]+|[^\w\s]')
_DEEP = "\ue000deep"


def of_bytes(rng, data, most=4):
    """`data` with one spot of damage, or now and then up to `most`."""
    for _ in range(1 if rng.random() < 0.7 else rng.randint(2, most)):
        data = rng.choice(_OF_BYTES)(rng, data)
    return data


def _place(rng, data):
    """Anywhere; often where headers or trailers are."""
    where = rng.random()
    low, high = (0, 64) if where < 0.25 else (len(data) - 64, len(data)) if where < 0.35 else (0, len(data))
    return rng.randrange(max(0, low), max(1, min(high, len(data)))) if data else 0


def _flip(rng, data):
    return _put(
        data, (place := _place(rng, data)), bytes([byte ^ 1 << rng.randrange(8) for byte in data[place : place + 1]])
    )


def _overwrite(rng, data):
    size = rng.randint(1, 16)
    return _put(data, _place(rng, data), rng.choice((rng.randbytes(size), bytes(size), b"\xff" * size)))


def _number(rng, data):
    size, order = rng.choice((1, 2, 4, 8)), rng.choice(("little", "big"))
    return _put(data, _place(rng, data), (rng.choice(_NUMBERS) % (1 << 8 * size)).to_bytes(size, order))


def _reverse(rng, data):
    """A length in the other order of bytes."""
    place, size = _place(rng, data), rng.choice((2, 4, 8))
    return _put(data, place, data[place : place + size][::-1])


def _swap(rng, data):
    """Two fields change places."""
    size, one, two = rng.choice((1, 2, 4, 8, 64)), _place(rng, data), _place(rng, data)
    return _put(_put(data, one, data[two : two + size]), two, data[one : one + size])


def _truncate(rng, data):
    return data[: _place(rng, data)]


def _behead(rng, data):
    return data[_place(rng, data) :]


def _insert(rng, data):
    place, size = _place(rng, data), rng.choice((1, 2, 4, 13, 64, 4096))
    return data[:place] + rng.choice((rng.randbytes(size), bytes(size))) + data[place:]


def _delete(rng, data):
    place = _place(rng, data)
    return data[:place] + data[place + rng.choice((1, 2, 4, 13, 64, 1024)) :]


def _duplicate(rng, data):
    place = _place(rng, data)
    chunk = data[place : place + rng.choice((1, 4, 12, 64, 512, len(data)))]
    return data[: place + len(chunk)] + chunk + data[place + len(chunk) :]


_OF_BYTES = (
    *(_flip, _flip, _flip, _overwrite, _number, _number, _reverse, _swap),
    *(_truncate, _behead, _insert, _delete, _duplicate),
)


def _put(data, place, piece):
    return data[:place] + piece + data[place + len(piece) :]


def of_text(rng, data):
    """Text with words replaced and lines moved; or damaged as bytes are."""
    if rng.random() < 0.3:
        return of_bytes(rng, data)
    text = data.decode()
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        text = rng.choice((_word, _word, _word, _lines))(rng, text)
    return text.encode()


def _word(rng, text):
    tokens = [*_TOKEN.finditer(text)]
    if not tokens:
        return rng.choice(_WORDS)
    found = rng.choice(tokens)
    new = rng.choice((*_WORDS, rng.choice(tokens)[0]))
    if found[0][0] == '"' and rng.random() < 0.5:
        new = f'"{new}"'
    return text[: found.start()] + new + text[found.end() :]


def _lines(rng, text):
    lines = text.splitlines(keepends=True) or [""]
    one, two = rng.randrange(len(lines)), rng.randrange(len(lines))
    what = rng.randrange(4)
    if what == 0:
        del lines[one]
    elif what == 1:
        lines[one], lines[two] = lines[two], lines[one]
    elif what == 2:
        lines.insert(two, lines[one])
    else:
        lines[one] = lines[one].rstrip("\n")
    return "".join(lines)


def of_json(rng, data):
    """JSON with other values, keys or forms in some place; now and then damaged as text."""
    if rng.random() < 0.15:
        return of_text(rng, data)
    values = json.loads(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        values = _spoilt(rng, values)
    text = json.dumps(values)
    if _DEEP in text:
        depth = rng.choice((10, 500, 100_000))
        text = text.replace(
            json.dumps(_DEEP), rng.choice(("[" * depth + "]" * depth, '{"a":' * depth + "0" + "}" * depth))
        )
    return text.encode()


def of_json_lines(rng, data):
    """A file of a JSON value a line: one of them spoilt, or the lines."""
    lines = data.decode().splitlines()
    if rng.random() < 0.3 or not lines:
        return of_text(rng, data)
    number = rng.randrange(len(lines))
    lines[number] = of_json(rng, lines[number].encode()).decode(errors="surrogateescape")
    return "".join(f"{line}\n" for line in lines).encode(errors="surrogateescape")


def _spoilt(rng, values):
    """`values` with something else in a place of it that any path may lead to."""
    if not isinstance(values, dict | list) or not values or rng.random() < 0.1:
        return _other(rng, values)
    result = dict(values) if isinstance(values, dict) else list(values)
    key = rng.choice(list(values)) if isinstance(values, dict) else rng.randrange(len(values))
    inside = isinstance(values[key], dict | list) and values[key]
    what = rng.randrange(10)
    if inside and what < 6:
        result[key] = _spoilt(rng, values[key])
    elif what < 8:
        result[key] = _other(rng, values[key])
    elif what == 8:
        del result[key]
    elif isinstance(result, dict):
        result[rng.choice(("", "x", f"{key} ", "__class__", rng.choice(list(values))))] = result.pop(key)
    else:
        result.insert(key, result[key])
    return result


def _other(rng, value):
    """Something in the place of `value`: of its kind or of none."""
    near = [str(value), [value], {"x": value}, {"a": value, "b": value}]
    if isinstance(value, int | float):
        near += [-value, value + 1, value + 0.5, value * 10**9, value * 10**30 if isinstance(value, int) else 1e300]
    elif isinstance(value, str):
        near += [value + "x", value[:-1], value * 2, value.upper()]
    elif isinstance(value, list):
        near += [value + value, value[:-1], value[::-1], dict(enumerate(map(str, value)))]
    return rng.choice((rng.choice(_VALUES), rng.choice(_VALUES), rng.choice(near), rng.choice(near), _DEEP))


OF = {"bytes": of_bytes, "text": of_text, "json": of_json, "json lines": of_json_lines}


def png_repaired(data):
    """A PNG whose chunks have right checksums again, as far as it has chunks: damage that only their readers meet."""
    pieces, place = [data[:8]], 8
    while place + 12 <= len(data):
        (size,) = struct.unpack(">I", data[place : place + 4])
        body = data[place + 4 : place + 8 + size]
        pieces.append(data[place : place + 4] + body + struct.pack(">I", zlib.crc32(body)))
        place += 12 + size
    return b"".join(pieces)


def tar_repaired(data):
    """A tar archive whose members have headers with right checksums again."""
    place = 0
    while place + 512 <= len(data) and any(data[place : place + 512]):
        header = data[place : place + 148] + b" " * 8 + data[place + 156 : place + 512]
        data = data[: place + 148] + b"%06o\0 " % sum(header) + data[place + 156 :]
        try:
            size = int(data[place + 124 : place + 135], 8)
        except ValueError:
            break
        place += 512 + -(-size // 512) * 512
    return data
