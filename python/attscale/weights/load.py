"""Weights into a net: compared with it first, then copied. Caffe itself would abort the process on a misfit."""

import numpy as np

from attscale.errors import WeightsError
from attscale.weights import caffemodel


def load(net, path, *, complete):
    """Copies the weights in `path` into `net` by layer name; returns the net's layers that got none.

    complete: refuse a file that leaves any layer of the net out, or has one that the net lacks, as for testing. Layers
    that share another's parameters are covered by it. Raises WeightsError, before anything is copied, where nothing
    matches, shapes differ, copies of shared parameters differ, or a value is not finite; an old file's (1, 1, 1, n) is
    an n.
    """
    given = {layer.name: layer.blobs for layer in caffemodel.read(path)}
    wanted = {name: list(blobs) for name, blobs in net.params.items()}
    matched = [name for name in wanted if name in given]
    if not matched:
        raise WeightsError(f"{path}: no layer of it is in the net: it has {some(given)}; the net has {some(wanted)}")
    for name in matched:
        shapes, needed = [blob.shape for blob in given[name]], [tuple(blob.data.shape) for blob in wanted[name]]
        if [trim(shape) for shape in shapes] != [trim(shape) for shape in needed]:
            raise WeightsError(f"{path}: layer {name} is {shapes}, the net needs {needed}")
    owners = owners_of(net)
    covered = {owners[name] for name in matched}
    missing = [name for name in wanted if owners[name] not in covered]
    if complete and missing:
        raise WeightsError(f"{path}: has no weights for {some(missing)}; it has {some(given)}")
    if complete and (others := [name for name in given if name not in wanted]):
        raise WeightsError(f"{path}: is of another net, with weights for {some(others)}, which this one lacks")
    _check_values(path, given, matched, owners)
    for name in matched:
        for blob, values in zip(wanted[name], given[name], strict=True):
            blob.data[...] = values.reshape(blob.data.shape)
    return missing


def _check_values(path, given, names, owners):
    first = {}  # owner to the layer of the file whose values it gets
    for name in names:
        if not all(np.isfinite(blob).all() for blob in given[name]):
            raise WeightsError(f"{path}: layer {name} holds values that are not finite")
        other = first.setdefault(owners[name], name)
        if not all(map(np.array_equal, map(np.ravel, given[name]), map(np.ravel, given[other]))):
            raise WeightsError(f"{path}: {name} differs from {other}, with which it shares its parameters in the net")


def owners_of(net):
    """Each layer with weights to the first layer that holds the same ones: itself, or the one it shares them with."""
    first, owners = {}, {}
    for name, blobs in net.params.items():
        owners[name] = first.setdefault(blobs[0].data.ctypes.data, name)
    return owners


def trim(shape):
    """The shape without leading ones: old files give four dimensions to a bias, (1, 1, 1, n) for (n,)."""
    while len(shape) > 1 and shape[0] == 1:
        shape = shape[1:]
    return tuple(shape)


def some(names):
    """The first four names, and how many more there are."""
    names = list(names)
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
