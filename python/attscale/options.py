"""JSON text, or values out of a file, to frozen dataclasses, refusing what they do not declare; and back."""

import dataclasses
import json
import math
import reprlib
import sys
import types
import typing

from attscale.errors import UserError

_SHORT = reprlib.Repr()  # of what is nested as deep as JSON allows, Python's own repr ends in a RecursionError
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60


def decode(cls, text):
    """Reads the JSON object `text`, such as a layer's `param_str`, into the dataclass `cls`. As `from_values`."""
    try:
        values = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise UserError(f"{cls.__name__}: {text!r:.60} is not JSON: {error}") from None
    return from_values(cls, values)


def from_values(cls, values):
    """The dataclass `cls` from a dict of JSON's or TOML's values.

    Fields may be int, float (neither NaN nor infinite), bool, str, other dataclasses, `X | None`, `dict[str, X]`,
    `tuple[X, ...]` and tuples of a fixed form. Raises UserError, naming the key and the value, for unknown and missing
    keys and values of another type.
    """
    if not isinstance(values, dict):
        raise UserError(f"{cls.__name__}: expected an object with keys, got {_short(values)}")
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    if unknown := sorted(set(values) - set(fields)):
        raise UserError(f"{cls.__name__}: unknown key {unknown[0]!r}; it knows {', '.join(fields)}")
    missing = dataclasses.MISSING
    required = {name for name, field in fields.items() if field.default is field.default_factory is missing}
    if lacking := sorted(required - set(values)):
        raise UserError(f"{cls.__name__}: the key {lacking[0]!r} is missing")
    return cls(**{name: _convert(f"{cls.__name__}: {name}", value, hints[name]) for name, value in values.items()})


def encode(options):
    """The dataclass as JSON, less the keys that hold their default; `decode` reads it back."""
    return json.dumps(to_values(options))


def to_values(options):
    """The dataclass as a dict of JSON's values, less the keys that hold their default."""
    values = dataclasses.asdict(options)
    return {
        field.name: values[field.name]
        for field in dataclasses.fields(options)
        if getattr(options, field.name) != field.default
    }


def _convert(where, value, hint):
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        (hint,) = (argument for argument in arguments if argument is not type(None))
        return _convert(where, value, hint)
    if origin is tuple and isinstance(value, list | tuple):
        if arguments[-1] is not ...:
            if len(value) == len(arguments):
                return tuple(_convert(where, item, kind) for item, kind in zip(value, arguments, strict=True))
        else:
            return tuple(_convert(where, item, arguments[0]) for item in value)
    elif origin is dict and isinstance(value, dict):
        return {str(key): _convert(f"{where}.{repr(key)[1:-1]}", item, arguments[1]) for key, item in value.items()}
    elif dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return from_values(hint, value)
    elif hint is float and type(value) is int:
        if abs(value) <= sys.float_info.max:
            return float(value)
    elif type(value) is hint and (hint is not float or math.isfinite(value)):
        return value
    raise UserError(f"{where} is {_short(value)}, expected {_words(hint)}")


def _short(value):
    text = _SHORT.repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _words(hint):
    """A type as people write its values: `float`, `[float, float]`, `[str, ...]`, `a table`."""
    if typing.get_origin(hint) is tuple:
        return f"[{', '.join('...' if kind is ... else _words(kind) for kind in typing.get_args(hint))}]"
    if typing.get_origin(hint) is dict or dataclasses.is_dataclass(hint):
        return "a table of keys and values"
    return hint.__name__ if isinstance(hint, type) else str(hint)
