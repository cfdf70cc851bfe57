"""From a released caffemodel to a clean one for a net of ours, with an account of every layer."""

import dataclasses

from attscale.errors import WeightsError
from attscale.experiments import SCALES
from attscale.nets.geometry import suffix
from attscale.weights.caffemodel import Layer
from attscale.weights.load import check_equal, fit, matching, owners_of, shapes_of, some

SCALE_SUFFIXES = tuple(suffix(scale) for scale in SCALES[1:])


@dataclasses.dataclass(frozen=True)
class Line:
    """What became of a layer: matched, reshaped, renamed, shared, fresh, missing, or not used."""

    name: str
    fate: str
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class Target:
    """A net's layers with weights: name to type, to shapes, to the layer that owns the parameters; the classifier."""

    types: dict[str, str]
    shapes: dict[str, list[tuple[int, ...]]]
    owners: dict[str, str]
    classifier: str  # fc8_<data set>

    @classmethod
    def of(cls, net, classifier):
        """Reads it off a caffe.Net."""
        types = {name: net.layer_dict[name].type for name in net.params}
        return cls(types, shapes_of(net), owners_of(net), classifier)


def transplant(weights, target, *, rename_classifier=False, fresh_classifier=False, partial=False):
    """The layers of the Caffemodel `weights` as `target` wants them, and a `Line` for each layer of either.

    rename_classifier: take the file's fc8_<other> for the net's, where the classes agree in number; fresh_classifier:
    leave the classifier out; partial: leave out other layers that the file lacks, too. Raises WeightsError for
    shapes that do not fit, a classifier of another name or number of classes, branches whose copies of one shared
    layer differ, and layers that the file lacks.
    """
    matching(weights, target.shapes)
    lines, result = [], []
    used, sources = set(), {}  # names in the file; the net's layer to the file's, None where it lacks it
    for name, shapes in target.shapes.items():
        owner = target.owners[name]
        if owner == target.classifier and fresh_classifier:
            used.add(name)
            lines.append(Line(name, "fresh", "left out on request"))
        elif owner == name:
            source = _classifier(weights, target, rename_classifier) if name == target.classifier else name
            sources[name] = source = source if source in weights.layers else None
            if source is None:
                lines.append(Line(name, "missing"))
                continue
            used.add(source)
            result.append(Layer(name, target.types[name], fit(weights, source, shapes)))
            lines.append(_line(weights.layers[source], result[-1]))
        else:
            source = sources[owner]
            copy = name.replace(owner, source or owner, 1)  # fc8_<other>_res05 beside fc8_<other>
            if copy in weights.layers:
                _check_copy(weights, copy, source, owner)
                used.add(copy)
            shared = Line(name, "shared", f"has the parameters of {owner}")
            lines.append(shared if source else Line(name, "missing"))
    missing = [name for name, source in sources.items() if source is None]
    if missing and not partial:
        raise WeightsError(
            f"{weights.path}: lacks {some(missing)}; it has {some(weights.layers)} (--partial leaves them out)"
        )
    return result, lines + [Line(name, "not used") for name in weights.layers if name not in used]


def _check_copy(weights, copy, source, owner):
    """A release keeps a copy of shared parameters for every branch; copies that differ cannot be shared."""
    if source is None:
        raise WeightsError(f"{weights.path}: has {copy}, but not {owner}, whose parameters it shares in the net")
    check_equal(weights, copy, source)


def _classifier(weights, target, rename):
    """The name of the file's classifier for the net's. Raises WeightsError unless it is the same, or may be renamed."""
    name = target.classifier
    if name in weights.layers:
        _check_classes(weights, name, target)
        return name
    bare = [other for other in weights.layers if other.split("_")[0] == "fc8" and not other.endswith(SCALE_SUFFIXES)]
    if not bare:
        return name
    if len(bare) > 1:
        raise WeightsError(
            f"{weights.path}: has no {name}, and {some(bare)} may each be the classifier "
            "(--fresh-classifier leaves it out)"
        )
    _check_classes(weights, bare[0], target)
    if rename:
        return bare[0]
    raise WeightsError(
        f"{weights.path}: the classifier is {bare[0]}, the net's {name}: --rename-classifier takes the one for the "
        "other, if they mean the same classes in the same order; --fresh-classifier leaves it out"
    )


def _check_classes(weights, name, target):
    """Counts classes by the bias; what lacks one, or has more blobs, is for `fit` to refuse."""
    blobs = weights.layers[name].blobs
    has, needs = blobs[-1].size, target.shapes[target.classifier][-1][-1]
    if len(blobs) == 2 and has != needs:
        raise WeightsError(
            f"{weights.path}: {name} has {has} classes, {target.classifier} of the net {needs} "
            "(--fresh-classifier leaves it out)"
        )


def _line(source, layer):
    if source.name != layer.name:
        return Line(layer.name, "renamed", f"from {source.name}")
    if source.shapes != layer.shapes:
        return Line(layer.name, "reshaped", f"{source.shapes} to {layer.shapes}")
    return Line(layer.name, "matched", " ".join("x".join(map(str, shape)) for shape in layer.shapes))
