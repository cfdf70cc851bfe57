"""From a released caffemodel to a clean one for a net of ours, with an account of every layer."""

import dataclasses

import numpy as np

from attscale.errors import WeightsError
from attscale.experiments import SCALES
from attscale.nets.geometry import suffix
from attscale.weights import caffemodel
from attscale.weights.caffemodel import Layer
from attscale.weights.load import owners_of, some, trim

SCALE_SUFFIXES = tuple(suffix(scale) for scale in SCALES[1:])


@dataclasses.dataclass(frozen=True)
class Line:
    """What became of a layer: matched, reshaped, renamed, shared, fresh, missing, or not used."""

    name: str
    fate: str
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class Target:
    """A net's layers with weights: name to shapes, name to the layer that owns the parameters, and the classifier."""

    shapes: dict[str, list[tuple[int, ...]]]
    owners: dict[str, str]
    classifier: str  # fc8_<data set>

    @classmethod
    def of(cls, net, classifier):
        """Reads it off a caffe.Net."""
        shapes = {name: [tuple(blob.data.shape) for blob in blobs] for name, blobs in net.params.items()}
        return cls(shapes, owners_of(net), classifier)


def transplant(path, target, *, rename_classifier=False, fresh_classifier=False, partial=False):
    """The layers of the caffemodel `path` as `target` wants them, and a `Line` for each layer of either.

    rename_classifier: take the file's fc8_<other> for the net's, where the classes agree in number; fresh_classifier:
    leave the classifier out; partial: leave out other layers that the file lacks, too. Raises WeightsError for
    shapes that do not fit, a classifier of another name or number of classes, branches whose copies of one shared
    layer differ, and layers that the file lacks.
    """
    given = {layer.name: layer for layer in caffemodel.read(path)}
    lines, result, missing = [], [], []
    used, sources = set(), {}  # names in the file; the net's layer to the file's
    for name, shapes in target.shapes.items():
        owner = target.owners[name]
        if owner == target.classifier and fresh_classifier:
            used.add(name)
            lines.append(Line(name, "fresh", "left out on request"))
            continue
        if owner != name:
            source = sources.get(owner, owner)
            copy = name.replace(owner, source, 1)  # fc8_<other>_res05 beside fc8_<other>
            if copy in given:
                _check_equal(path, given, copy, source)
                used.add(copy)
            shared = Line(name, "shared", f"has the parameters of {owner}")
            lines.append(Line(name, "missing") if owner in missing else shared)
            continue
        source = _classifier(path, given, target, rename_classifier) if name == target.classifier else name
        if source not in given:
            missing.append(name)
            lines.append(Line(name, "missing"))
            continue
        used.add(source)
        sources[name] = source
        layer = Layer(name, "Convolution", _fit(path, given[source], shapes))
        result.append(layer)
        lines.append(_line(name, given[source], layer))
    if missing and not partial:
        raise WeightsError(f"{path}: lacks {some(missing)}; it has {some(given)} (--partial leaves them out)")
    if not result:
        raise WeightsError(
            f"{path}: no layer of it is in the net: it has {some(given)}; the net has {some(target.shapes)}"
        )
    lines += [Line(name, "not used") for name in given if name not in used]
    return result, lines


def _classifier(path, given, target, rename):
    """The name of the file's classifier for the net's. Raises WeightsError unless it is the same, or may be renamed."""
    name = target.classifier
    if name in given:
        _check_classes(path, given[name], target)
        return name
    bare = [other for other in given if other.split("_")[0] == "fc8" and not other.endswith(SCALE_SUFFIXES)]
    if not bare:
        return name
    if len(bare) > 1:
        raise WeightsError(
            f"{path}: has no {name}, and {some(bare)} may each be the classifier (--fresh-classifier leaves it out)"
        )
    _check_classes(path, given[bare[0]], target)
    if rename:
        return bare[0]
    raise WeightsError(
        f"{path}: the classifier is {bare[0]}, the net's {name}: --rename-classifier takes the one for the other, if "
        "they mean the same classes in the same order; --fresh-classifier leaves it out"
    )


def _check_classes(path, layer, target):
    """Counts classes by the bias; what lacks one, or has more blobs, is for `_fit` to refuse."""
    has, needs = layer.blobs[-1].size, target.shapes[target.classifier][-1][-1]
    if len(layer.blobs) == 2 and has != needs:
        raise WeightsError(
            f"{path}: {layer.name} has {has} classes, {target.classifier} of the net {needs} "
            "(--fresh-classifier leaves it out)"
        )


def _fit(path, layer, shapes):
    """The blobs in the net's shapes: an old (1, 1, 1, n) is an n, a fully connected (n, c k k) an (n, c, k, k)."""
    blobs = layer.blobs
    if len(blobs) == len(shapes):
        pairs = [(trim(blob.shape), shape) for blob, shape in zip(blobs, shapes, strict=True)]
        if all(_same(has, trim(needs)) for has, needs in pairs):
            return tuple(blob.reshape(shape) for blob, shape in zip(blobs, shapes, strict=True))
    raise WeightsError(f"{path}: layer {layer.name} is {[blob.shape for blob in blobs]}, the net needs {shapes}")


def _same(has, needs):
    if has == needs:
        return True
    flat = len(has) == 2 and len(needs) == 4
    return flat and has == (needs[0], needs[1] * needs[2] * needs[3])


def _line(name, source, layer):
    before, after = [blob.shape for blob in source.blobs], [blob.shape for blob in layer.blobs]
    if source.name != name:
        return Line(name, "renamed", f"from {source.name}")
    if before != after:
        return Line(name, "reshaped", f"{before} to {after}")
    return Line(name, "matched", " ".join("x".join(map(str, shape)) for shape in after))


def _check_equal(path, given, name, owner):
    """A release keeps a copy of shared parameters for every branch; copies that differ cannot be shared."""
    if owner not in given:
        raise WeightsError(f"{path}: has {name}, but not {owner}, whose parameters it shares in the net")
    copies, blobs = ([blob.ravel() for blob in given[layer].blobs] for layer in (name, owner))
    if len(copies) != len(blobs) or not all(map(np.array_equal, copies, blobs)):
        raise WeightsError(f"{path}: {name} differs from {owner}, with which it shares its parameters in the net")
