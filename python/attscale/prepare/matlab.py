"""MATLAB files (version 5) as nested objects. Whatever is wrong with one is for the caller's `errors.reading`."""

import io

import numpy as np
import scipy.io


def load(data, key):
    """The variable `key` of a .mat file whose bytes are `data`; structs have attributes, scalars are bare."""
    return scipy.io.loadmat(io.BytesIO(data), squeeze_me=True, struct_as_record=False)[key]


def items(value):
    """The elements of a struct array, which MATLAB gives as one struct, an array of them, or an empty array."""
    return list(value.ravel()) if isinstance(value, np.ndarray) else [value]


def mask(value):
    """A label map or mask as uint8. Raises TypeError for numbers that do not fit into it."""
    return np.asarray(value).astype(np.uint8, casting="safe")
