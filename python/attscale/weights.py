"""Caffemodels: read, compared with a net, and only then copied. Caffe itself would abort the process on a misfit."""

from pathlib import Path

from caffe.proto import caffe_pb2
from google.protobuf.message import DecodeError

from attscale.errors import WeightsError


def read(path):
    """Layer name to list of blob shapes in the caffemodel `path`, current or old (`layers`) format."""
    try:
        message = caffe_pb2.NetParameter.FromString(Path(path).read_bytes())
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file") from None
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from None
    except DecodeError:
        raise WeightsError(f"{path}: not a caffemodel, or cut short") from None
    shapes = {layer.name: [_shape(blob) for blob in layer.blobs] for layer in (*message.layer, *message.layers)}
    shapes = {name: blobs for name, blobs in shapes.items() if blobs}
    if not shapes:
        raise WeightsError(f"{path}: holds no weights")
    return shapes


def _shape(blob):
    return tuple(blob.shape.dim) or (blob.num, blob.channels, blob.height, blob.width)


def load(net, path, *, complete):
    """Copies the weights in `path` into `net` by layer name; returns the net's layers that got none.

    complete: refuse a file that leaves any layer of the net out, as for testing. Layers that share another's
    parameters are covered by it. Raises WeightsError where nothing matches, or shapes differ.
    """
    path, given = str(path), read(path)
    wanted = {name: [tuple(blob.data.shape) for blob in blobs] for name, blobs in net.params.items()}
    matched = set(wanted) & set(given)
    if not matched:
        raise WeightsError(f"{path}: no layer of it is in the net: it has {_some(given)}; the net has {_some(wanted)}")
    for name in (name for name in wanted if name in matched):
        if [_trim(shape) for shape in given[name]] != [_trim(shape) for shape in wanted[name]]:
            raise WeightsError(f"{path}: layer {name} is {given[name]}, the net needs {wanted[name]}")
    missing = [name for name in wanted if name not in matched and not _shares(net, name, matched)]
    if complete and missing:
        raise WeightsError(f"{path}: has no weights for {_some(missing)}; it has {_some(given)}")
    net.copy_from(path)
    return missing


def _trim(shape):
    """Old files give four dimensions to a bias: (1, 1, 1, n) is (n,)."""
    while len(shape) > 1 and shape[0] == 1:
        shape = shape[1:]
    return shape


def _shares(net, name, matched):
    """Whether layer `name` has its parameters in common with a layer of `matched`."""
    address = net.params[name][0].data.ctypes.data
    return any(net.params[other][0].data.ctypes.data == address for other in matched)


def _some(names):
    names = list(names)
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
