"""Reading and writing images and label maps, with errors that name the file."""

import contextlib
import functools
import io
import os
import threading
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from attscale.datasets import IGNORE
from attscale.errors import DataError, reading
from attscale.files import write_bytes, write_whole

#: How names of image files end, in small letters: what OpenCV reads.
SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
_PNG = b"\x89PNG\r\n\x1a\n"
# without a compression level, OpenCV's own choice of filter overrides the one asked for
_INDEX_PNG = (cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE, cv2.IMWRITE_PNG_COMPRESSION, 6)
_GREY, _PALETTE = 0, 3  # PNG colour types
_ORIENTATION = 0x0112  # EXIF, 4.6.4
# How libjpeg begins what it says of pixels that it had to make up; it warns of odd headers too, which do no harm.
_DAMAGED = (b"Corrupt JPEG data", b"Premature end of JPEG file")
_STDERR = 2
_one_listens = threading.Lock()


def read_image(path, *, oriented=False):
    """An image file as (H, W, 3) uint8 BGR, as it is stored (so the fork reads it), or `oriented` by its EXIF tag.

    Grey, transparent and CMYK ones become BGR. Raises DataError, also for a JPEG that libjpeg finds cut or damaged, of
    which OpenCV gives an image all the same (not all damage shows: docs/data.md). Threads of a process take turns.
    """
    return decode_image(read_bytes(path), path, oriented=oriented)


def decode_image(data, path, *, oriented=False):
    """As `read_image`, from the bytes of the file `path`."""
    if data[: len(_PNG)] == _PNG:
        _check_chunks(data, path)
    pixels = np.frombuffer(data, np.uint8)
    flags = cv2.IMREAD_COLOR | (0 if oriented else cv2.IMREAD_IGNORE_ORIENTATION)
    with reading(path, DataError):  # cv2.error, of an image of absurd size, say
        image, said = _overhear(lambda: cv2.imdecode(pixels, flags)) if data else (None, b"")
    if image is None:
        raise DataError(f"{path}: not a readable image ({len(data)} bytes)")
    if damage := [line for line in said.splitlines() if line.startswith(_DAMAGED)]:
        raise DataError(f"{path}: a damaged JPEG: libjpeg says {damage[0].decode(errors='replace')!r}")
    if said:
        os.write(_STDERR, said)
    return image


def orientation(path):
    """The EXIF orientation of an image file, 1 to 8: 1 is upright, and what has no such tag has 1. Raises DataError.

    Of a tag that Pillow cannot read, 1: OpenCV does not follow it either.
    """
    data = read_bytes(path)
    if data[: len(_PNG)] == _PNG and b"eXIf" not in data:  # Pillow would look for it behind the pixels, decoding them
        return 1
    with warnings.catch_warnings(action="ignore"), contextlib.suppress(DataError), reading(path, DataError):
        with Image.open(io.BytesIO(data)) as image:
            tag = image.getexif().get(_ORIENTATION)
        return tag if tag in range(1, 9) else 1
    return 1


def image_size(path):
    """(height, width) of an image file, by its header. Raises DataError."""
    with warnings.catch_warnings(action="ignore"), reading(path, DataError), Image.open(path) as image:
        return image.size[::-1]


def _check_chunks(data, path):
    """Raises DataError unless a PNG's chunks are whole, by their checksums, to its end.

    Pillow decodes past them, and what is wrong with one bit may be the class of every pixel that follows.
    """
    place, kind = len(_PNG), b""
    while kind != b"IEND":
        end = place + 12 + int.from_bytes(data[place : place + 4])  # length, kind, content, checksum
        kind, checksum = data[place + 4 : place + 8], data[end - 4 : end]
        if end > len(data) or zlib.crc32(data[place + 4 : end - 4]) != int.from_bytes(checksum):
            raise DataError(f"{path}: a damaged PNG: its chunk {kind!r} is cut, or not what its checksum says")
        place = end


def _overhear(action):
    """The result of `action()`, and what this process wrote to its standard error meanwhile.

    That is the one way to hear libjpeg's warnings, of which it gives the first of each image: neither OpenCV nor Pillow
    passes them on. It costs some 10 us, an image some ms.
    """
    with _one_listens:
        usual = _standard_error()
        heard = os.memfd_create("attscale-stderr")
        try:
            os.dup2(heard, _STDERR)
            try:
                result = action()
            finally:
                os.dup2(usual, _STDERR)
            return result, os.pread(heard, os.lseek(heard, 0, os.SEEK_END), 0)
        finally:
            os.close(heard)
            os.close(usual)


def _standard_error():
    """A duplicate of the standard error. A closed one becomes /dev/null: the next file would be taken for it."""
    try:
        return os.dup(_STDERR)
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        if null != _STDERR:
            os.dup2(null, _STDERR)
            return null
        return os.dup(_STDERR)


def read_label(path, values=None):
    """A label map as (H, W) uint8 class indices: a grey 8-bit PNG, or a palette PNG, whose indices are taken.

    values: the data set's LabelValues, which say what other values mean; with a map, values that it does not name are
    refused. With colours, a PNG in colour is read, too, and of a palette PNG all of whose pixels have known colours
    those are taken, not the indices: programs number them as they like.
    Raises DataError; without colours a colour PNG is refused, since that is what a palette PNG becomes when it is
    opened as a picture and saved again, and its values (38, 220, 147, ...) are no classes.
    """
    return decode_label(read_bytes(path), path, values)


def decode_label(data, path, values=None):
    """As `read_label`, from the bytes of the file `path`."""
    if data[:8] != _PNG or len(data) < 26:
        raise DataError(f"{path}: a label map must be a PNG, this file is not")
    depth, colour = data[24:26]
    in_colour = colour not in (_GREY, _PALETTE)
    if in_colour and values is not None and values.colours:
        return _classes_of_colours(decode_image(data, path), path, values)
    if in_colour or (colour == _GREY and depth != 8):
        raise DataError(
            f"{path}: a label map must be a PNG of 8-bit class indices, grey or with a palette; this one is "
            f"{'colour' if in_colour else f'grey with {depth} bits'} "
            "(was a palette PNG read as colour and saved again?)"
        )
    _check_chunks(data, path)
    entries = b""
    with reading(path, DataError):
        if colour == _GREY:  # OpenCV is the faster of the two, but makes colours of a palette
            label = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
            if label is None:
                raise DataError(f"{path}: not a readable PNG")
        else:
            with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
                label, entries = np.asarray(image, np.uint8), bytes(image.getpalette())
    return label if values is None else _classes_of_indices(label, entries, path, values)


def _classes_of_indices(label, entries, path, values):
    """What the values of an index PNG mean; entries: its palette, RGB, if it has one. Raises DataError, see above."""
    if values.colours and entries:
        table, known = _table_of_palette(entries, values)
        if cv2.LUT(label, known).all():  # a fifth of the time of NumPy's known[label]
            return cv2.LUT(label, table)
    table, known = _table(values)
    if values.map and not cv2.LUT(label, known).all():
        counts = np.bincount(label.ravel(), minlength=256) * (known == 0)
        value = np.flatnonzero(counts)[0]
        raise DataError(f"{path}: {counts[value]} pixels have the value {value}, which neither map nor ignore names")
    return cv2.LUT(label, table)


@functools.cache
def _table(values):
    """What each value of an index PNG means by the LabelValues, and whether they name it, 0 or 1; both (256,) uint8.

    What they do not name means itself, which is for sets without a map.
    """
    table, known = np.arange(256, dtype=np.uint8), np.zeros(256, np.uint8)
    for value, index in ((IGNORE, IGNORE), *values.map, *((value, IGNORE) for value in values.ignore)):
        table[value], known[value] = index, 1
    return table, known


@functools.lru_cache(maxsize=64)  # the files of a set have few palettes
def _table_of_palette(entries, values):
    """What each entry of a palette, RGB, means by its colour, and whether that is known, 0 or 1; both (256,) uint8."""
    table, known = np.zeros(256, np.uint8), np.zeros(256, np.uint8)
    meanings = _meanings(values)
    for entry in range(len(entries) // 3):
        colour = tuple(entries[3 * entry : 3 * entry + 3])
        if colour in meanings:
            table[entry], known[entry] = meanings[colour], 1
    return table, known


def _meanings(values):
    """{colour: class or IGNORE} of the LabelValues."""
    return {colour: index for index, colour in enumerate(values.colours)} | dict.fromkeys(values.ignore_colours, IGNORE)


def _classes_of_colours(image, path, values):
    """The label map (H, W) uint8 of a BGR picture in the classes' colours. Raises DataError for any other colour."""
    meanings = _meanings(values)
    packed = image.astype(np.int32) @ np.array([1, 1 << 8, 1 << 16])
    codes = np.array([*meanings]) @ np.array([1 << 16, 1 << 8, 1])
    order = np.argsort(codes)
    found = order[np.searchsorted(codes, packed, sorter=order).clip(max=len(codes) - 1)]
    if (strange := packed != codes[found]).any():
        colour = image[strange][0][::-1].tolist()
        raise DataError(
            f"{path}: {int((image[..., ::-1] == colour).all(axis=2).sum())} pixels have the colour {colour}, which is "
            "neither that of a class nor ignored"
        )
    return np.array([*meanings.values()], np.uint8)[found]


def check_label(label, path, classes):
    """Raises DataError unless every value of the uint8 `label` is a class index below `classes` or 255, "ignore"."""
    if (label + np.uint8(1)).max(initial=0) <= classes:  # 255 + 1 is 0 in bytes: one quick pass finds no fault
        return
    counts = np.bincount(label.ravel(), minlength=256)
    counts[255] = 0
    value = classes + int(np.flatnonzero(counts[classes:])[0])
    raise DataError(
        f"{path}: {counts[value]} pixels have the value {value}, expected a class from 0 to {classes - 1} or 255"
    )


def voc_palette(entries=256):
    """The VOC colour map as (entries, 3) uint8 RGB: bit 3j+c of the index is bit 7-j of channel c (VOC devkit)."""
    index = np.arange(entries)
    palette = np.zeros((entries, 3), np.uint8)
    for j in range(8):
        for channel in range(3):
            palette[:, channel] |= (((index >> (3 * j + channel)) & 1) << (7 - j)).astype(np.uint8)
    return palette


def palette(colours=()):
    """The colours of the values 0 to 255, (256, 3) uint8 RGB: those of the classes, then VOC's; none: VOC's alone."""
    result = voc_palette()
    result[: len(colours)] = np.reshape(colours, (-1, 3))
    return result


def write_label(path, label, colours=()):
    """Writes (H, W) uint8 class indices as a palette PNG, whole or not at all; colours: as in `palette`."""
    image = Image.fromarray(label, mode="L")
    image.putpalette(palette(colours).tobytes())
    write_whole(path, lambda temporary: image.save(temporary, format="PNG"))


def write_index(path, label):
    """Writes (H, W) uint8 class indices as a grey PNG, whole or not at all.

    Without PNG's filters, which are made for photographs: label maps are smaller and three times as fast to read.
    """
    write_bytes(path, cv2.imencode(".png", label, _INDEX_PNG)[1].tobytes())


def write_image(path, image):
    """Writes (H, W, 3) uint8 BGR in the format of the suffix, whole or not at all."""
    write_bytes(path, cv2.imencode(Path(path).suffix, image)[1].tobytes())


def read_bytes(path):
    """What the file `path` holds. Raises DataError."""
    with reading(path, DataError), open(path, "rb", buffering=0) as file:  # half the time of Path.read_bytes
        return file.read()
