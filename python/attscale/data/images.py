"""Reading and writing images and label maps, with errors that name the file."""

import io
import os
import threading
import zlib
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from attscale.errors import DataError, reading
from attscale.files import write_bytes, write_whole

_PNG = b"\x89PNG\r\n\x1a\n"
# without a compression level, OpenCV's own choice of filter overrides the one asked for
_INDEX_PNG = (cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE, cv2.IMWRITE_PNG_COMPRESSION, 6)
_GREY, _PALETTE = 0, 3  # PNG colour types
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


def read_label(path):
    """A label map as (H, W) uint8 class indices: a grey 8-bit PNG, or a palette PNG, whose indices are taken.

    Raises DataError; a colour PNG is refused, since that is what a palette PNG becomes when it is opened as a
    picture and saved again, and its values (38, 220, 147, ...) are no classes.
    """
    return decode_label(read_bytes(path), path)


def decode_label(data, path):
    """As `read_label`, from the bytes of the file `path`."""
    if data[:8] != _PNG or len(data) < 26:
        raise DataError(f"{path}: a label map must be a PNG, this file is not")
    depth, colour = data[24:26]
    if colour not in (_GREY, _PALETTE) or (colour == _GREY and depth != 8):
        raise DataError(
            f"{path}: a label map must be a PNG of 8-bit class indices, grey or with a palette; this one is "
            f"{'colour' if colour not in (_GREY, _PALETTE) else f'grey with {depth} bits'} "
            "(was a palette PNG read as colour and saved again?)"
        )
    _check_chunks(data, path)
    with reading(path, DataError):
        if colour == _GREY:  # OpenCV is the faster of the two, but makes colours of a palette
            label = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
            if label is None:
                raise DataError(f"{path}: not a readable PNG")
            return label
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            return np.asarray(image, np.uint8)


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


def write_label(path, label):
    """Writes (H, W) uint8 class indices as a palette PNG with the VOC colours, whole or not at all."""
    image = Image.fromarray(label, mode="L")
    image.putpalette(voc_palette().tobytes())
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
    with reading(path, DataError):
        return Path(path).read_bytes()
