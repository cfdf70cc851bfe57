"""Caffemodels, read and written at the level of protobuf's wire format.

caffe_pb2 alone will not do: the authors' forks gave field numbers and layer types of their own to things that stock
Caffe numbers otherwise (v1's `hole` lies where stock Caffe has `force_nd_im2col`, MatWrite's parameters where it has
another message), so a strict parser may refuse a released file, and Caffe's own aborts the process. Weights need three
fields of a layer only: name, type and blobs. They have the same numbers everywhere, and everything else is passed over.

A file cut exactly between two layers is still a valid message: whoever needs its other layers has to miss them, as
`attscale.weights.transplant` does.

Field numbers are those of caffe.proto: NetParameter name = 1, layers = 2 (old, V1), layer = 100; V1LayerParameter
name = 4, type = 5, blobs = 6; LayerParameter name = 1, type = 2, blobs = 7; BlobProto num, channels, height, width =
1 to 4, data = 5, shape = 7, double_data = 8.
"""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np

from attscale.errors import WeightsError, reading
from attscale.files import write_bytes
from attscale.weights import manifest

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_NAME, _OLD_LAYER, _LAYER = 1, 2, 100


@dataclasses.dataclass(frozen=True)
class Layer:
    """A layer with weights: its name, its type (a number in old files) and its blobs, float32 arrays."""

    name: str
    type: str
    blobs: tuple[np.ndarray, ...]

    @property
    def shapes(self):
        """The shapes of its blobs."""
        return [blob.shape for blob in self.blobs]


@dataclasses.dataclass(frozen=True)
class Caffemodel:
    """What was read of a file of weights: the name of its net, its sha256, and by name the layers that hold blobs."""

    path: Path
    name: str  # empty where the file has none
    sha256: str
    layers: dict[str, Layer]


def read(path):
    """The Caffemodel in the file `path`; blobs keep the file's shapes.

    Old files give every blob four dimensions: a bias of n is (1, 1, 1, n). Raises WeightsError for a file that is
    missing, no caffemodel, cut short, or without weights; the oldest (V0) format has them elsewhere, and is not read.
    """
    if not Path(path).exists():
        raise WeightsError(f"{path}: no such file{manifest.advice(path)}")
    with reading(path, WeightsError):
        data = Path(path).read_bytes()
    return decode(data, path)


def decode(data, path):
    """As `read`, from the bytes of the file `path`."""
    name, layers = "", []
    try:
        for number, wire, value in _fields(memoryview(data)):
            if number in (_OLD_LAYER, _LAYER) and wire == _BYTES:
                layers.append(_layer(value, old=number == _OLD_LAYER))
            elif number == _NAME and wire == _BYTES:
                name = bytes(value).decode()
    except (ValueError, IndexError, OverflowError):  # what Python and NumPy raise where lengths and shapes are wrong
        raise WeightsError(f"{path}: not a caffemodel, or cut short") from None
    layers = {layer.name: layer for layer in layers if layer.blobs}
    if not layers:
        raise WeightsError(f"{path}: holds no weights")
    return Caffemodel(Path(path), name, hashlib.sha256(data).hexdigest(), layers)


def write(path, layers, name=""):
    """Writes `layers` as a NetParameter in the current format, whole or not at all."""
    message = b"".join([_tagged(_NAME, name.encode()), *(_tagged(_LAYER, _layer_bytes(layer)) for layer in layers)])
    write_bytes(path, message, durable=True)


def _fields(view):
    """Yields (field number, wire type, value) of a message: an int, or for _BYTES and fixed sizes a memoryview."""
    place = 0
    while place < len(view):
        tag, place = _varint(view, place)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, place = _varint(view, place)
            yield number, wire, value
            continue
        if wire == _BYTES:
            size, place = _varint(view, place)
        else:
            size = {_FIXED32: 4, _FIXED64: 8}.get(wire)
        if number == 0 or size is None or size > len(view) - place:
            raise ValueError
        yield number, wire, view[place : place + size]
        place += size


def _varint(view, place):
    value = 0
    for shift in range(0, 70, 7):
        byte = view[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError


def _layer(view, *, old):
    name, kind, blobs = "", "", []
    name_number, type_number, blobs_number = (4, 5, 6) if old else (1, 2, 7)
    for number, wire, value in _fields(view):
        if number == name_number and wire == _BYTES:
            name = bytes(value).decode()
        elif number == type_number:
            kind = str(value) if wire == _VARINT else bytes(value).decode()
        elif number == blobs_number and wire == _BYTES:
            blobs.append(_blob(value))
    return Layer(name, kind, tuple(blobs))


def _blob(view):
    old_shape, shape, parts = [0, 0, 0, 0], None, [np.empty(0, np.float32)]
    for number, wire, value in _fields(view):
        if 1 <= number <= 4 and wire == _VARINT:
            old_shape[number - 1] = value
        elif number in (5, 8) and wire != _VARINT:
            parts.append(np.frombuffer(value, "<f4" if number == 5 else "<f8"))
        elif number == 7 and wire == _BYTES:
            shape = _dims(value)
    return np.concatenate(parts).astype(np.float32, copy=False).reshape(old_shape if shape is None else shape)


def _dims(view):
    dims = []
    for number, wire, value in _fields(view):
        if number == 1 and wire == _VARINT:
            dims.append(value)
        elif number == 1 and wire == _BYTES:
            place = 0
            while place < len(value):
                dim, place = _varint(value, place)
                dims.append(dim)
    return tuple(dims)


def _layer_bytes(layer):
    blobs = (_tagged(7, _blob_bytes(blob)) for blob in layer.blobs)
    return b"".join([_tagged(1, layer.name.encode()), _tagged(2, layer.type.encode()), *blobs])


def _blob_bytes(blob):
    dims = b"".join(map(_varint_bytes, blob.shape))
    return _tagged(7, _tagged(1, dims)) + _tagged(5, np.ascontiguousarray(blob, "<f4").tobytes())


def _tagged(number, data):
    return _varint_bytes(number << 3 | _BYTES) + _varint_bytes(len(data)) + data


def _varint_bytes(value):
    result = bytearray()
    while value >= 0x80:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    result.append(value)
    return bytes(result)
