"""Weights into a net: compared with it first, then copied. Caffe itself would abort the process on a misfit."""

import math

import numpy as np

from attscale.errors import WeightsError


def load(net, weights, *, complete):
    """Copies the Caffemodel `weights` into `net` by layer name; returns the net's layers that got none.

    complete: refuse a file that leaves any layer of the net out, or has one that the net lacks, as for testing. Layers
    that share another's parameters are covered by it. Raises WeightsError, before anything is copied, where nothing
    matches, shapes differ, copies of shared parameters differ, or a value is not finite.
    """
    shapes, owners = shapes_of(net), owners_of(net)
    names = matching(weights, shapes)
    fitted = {name: fit(weights, name, shapes[name]) for name in names}
    covered = {owners[name] for name in names}
    missing = [name for name in shapes if owners[name] not in covered]
    if complete and missing:
        raise WeightsError(f"{weights.path}: has no weights for {some(missing)}; it has {some(weights.layers)}")
    if complete and (others := [name for name in weights.layers if name not in shapes]):
        raise WeightsError(f"{weights.path}: is of another net, with weights for {some(others)}, which this one lacks")
    first = {}  # owner to the layer of the file whose values it gets
    for name, blobs in fitted.items():
        if not all(np.isfinite(blob).all() for blob in blobs):
            raise WeightsError(f"{weights.path}: layer {name} holds values that are not finite")
        check_equal(weights, name, first.setdefault(owners[name], name))
    for name, blobs in fitted.items():
        for blob, values in zip(net.params[name], blobs, strict=True):
            blob.data[...] = values
    return missing


def shapes_of(net):
    """The net's layers with weights, and the shapes of their blobs."""
    return {name: [tuple(blob.data.shape) for blob in blobs] for name, blobs in net.params.items()}


def owners_of(net):
    """Each layer with weights to the first layer that holds the same ones: itself, or the one it shares them with."""
    first, owners = {}, {}
    for name, blobs in net.params.items():
        owners[name] = first.setdefault(blobs[0].data.ctypes.data, name)
    return owners


def matching(weights, names):
    """Those of a net's layers `names` that the file has. Raises WeightsError where it has none."""
    found = [name for name in names if name in weights.layers]
    if not found:
        raise WeightsError(
            f"{weights.path}: no layer of it is in the net: it has {some(weights.layers)}; the net has {some(names)}"
        )
    return found


def fit(weights, name, shapes):
    """The blobs of the file's layer `name` in the `shapes` of a net's: what old files write otherwise is the same.

    An n is (1, 1, 1, n) there, and an (n, c, k, k) may be (n, c k k), fully connected. Raises WeightsError for others.
    """
    layer = weights.layers[name]
    if len(layer.blobs) == len(shapes) and all(map(_same, layer.shapes, shapes)):
        return tuple(blob.reshape(shape) for blob, shape in zip(layer.blobs, shapes, strict=True))
    raise WeightsError(f"{weights.path}: layer {name} is {layer.shapes}, expected {shapes}")


def _same(has, needs):
    return _trim(has) in (_trim(needs), _trim((needs[0], math.prod(needs[1:]))))


def _trim(shape):
    """The shape without leading ones."""
    while len(shape) > 1 and shape[0] == 1:
        shape = shape[1:]
    return tuple(shape)


def check_equal(weights, name, other):
    """Raises WeightsError unless two layers of the file, which share their parameters in the net, have the same."""
    one, two = ([blob.ravel() for blob in weights.layers[layer].blobs] for layer in (name, other))
    if len(one) != len(two) or not all(map(np.array_equal, one, two)):
        raise WeightsError(f"{weights.path}: {name} differs from {other}, with which it shares its parameters")


def some(names):
    """The first four names, and how many more there are."""
    names = list(names)
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
