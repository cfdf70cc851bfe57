"""MATLAB files (version 5) as nested objects, with errors that name the file and the key."""

import io
import zlib

import numpy as np
import scipy.io
from scipy.io.matlab import MatReadError

from attscale.errors import DataError


def load(name, data, key):
    """The variable `key` of the .mat file `name`, whose bytes are `data`; structs have attributes, scalars are bare."""
    try:
        contents = scipy.io.loadmat(io.BytesIO(data), squeeze_me=True, struct_as_record=False)
    except (MatReadError, ValueError, TypeError, zlib.error, OSError, NotImplementedError) as error:
        raise DataError(f"{name}: not a readable .mat file: {error}") from None
    if key not in contents:
        raise DataError(f"{name}: has no key {key!r}, only {', '.join(k for k in contents if k[0] != '_') or 'none'}")
    return contents[key]


def field(name, struct, key):
    """Field `key` of a struct. Raises DataError where it is missing."""
    try:
        return getattr(struct, key)
    except AttributeError:
        raise DataError(f"{name}: has no field {key!r}") from None


def items(value):
    """The elements of a struct array, which MATLAB gives as one struct, an array of them, or an empty array."""
    return list(value.ravel()) if isinstance(value, np.ndarray) else [value]


def mask(name, value):
    """A label map or mask as a 2-D array of uint8. Raises DataError for any other shape or kind."""
    value = np.asarray(value)
    if value.ndim != 2 or value.dtype.kind not in "bui":
        raise DataError(f"{name}: expected a map of whole numbers, got {value.dtype} of shape {value.shape}")
    if value.min(initial=0) < 0 or value.max(initial=0) > 255:
        raise DataError(f"{name}: has the value {value.max(initial=0)}, expected 0 to 255")
    return value.astype(np.uint8)
