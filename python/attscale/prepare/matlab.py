"""MATLAB files (version 5) as nested objects. Whatever is wrong with one is for the caller's `errors.reading`."""

import io
import struct
import zlib

import numpy as np
import scipy.io

_HEADER, _COMPRESSED = 128, 15  # bytes; miCOMPRESSED (MAT-File Format, version 5)


def load(data, key):
    """The variable `key` of a .mat file whose bytes are `data`; structs have attributes, scalars are bare."""
    _check_sums(data)
    return scipy.io.loadmat(io.BytesIO(data), squeeze_me=True, struct_as_record=False)[key]


def _check_sums(data):
    """Raises zlib.error for a compressed element that is damaged: SciPy would parse it before it sees the checksum."""
    place = _HEADER
    while data[126:128] == b"IM" and place + 8 <= len(data):  # little-endian, as all that PASCAL's pages offer
        kind, size = struct.unpack_from("<II", data, place)
        if kind == _COMPRESSED:
            zlib.decompress(data[place + 8 : place + 8 + size])
        place += 8 + size


def items(value):
    """The elements of a struct array, which MATLAB gives as one struct, an array of them, or an empty array."""
    return list(value.ravel()) if isinstance(value, np.ndarray) else [value]


def mask(value):
    """A label map or mask as uint8. Raises TypeError for numbers that do not fit into it."""
    return np.asarray(value).astype(np.uint8, casting="safe")
