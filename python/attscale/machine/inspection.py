"""What a net costs: shapes, parameters, multiply-adds and memory of every layer, by scale."""

import dataclasses
import math

from attscale import prototxt
from attscale.errors import ExperimentError, UserError
from attscale.files import write_bytes
from attscale.machine import limits
from attscale.nets.geometry import suffix
from attscale.recipe import check_size
from attscale.weights.load import owners_of

_MIB = 2**20
_BYTES = 4  # a float32


@dataclasses.dataclass(frozen=True)
class Cost:
    """Parameters, multiply-adds, and bytes of the tops, for one image.

    Parameters are what learns; shared ones count at their owner, and statistics, which BatchNorm counts, do not.
    """

    parameters: int = 0
    multiply_adds: int = 0
    memory: int = 0

    def __add__(self, other):
        return Cost(
            self.parameters + other.parameters,
            self.multiply_adds + other.multiply_adds,
            self.memory + other.memory,
        )


@dataclasses.dataclass(frozen=True)
class LayerCost:
    """One layer, with the shape of every top.

    `group` is the scale of its branch ('1', '0.75', ...) or 'merge'; `shared_with` owns its parameters, if it does not.
    """

    name: str
    type: str
    group: str
    shapes: tuple[tuple[int, ...], ...]
    cost: Cost
    shared_with: str | None = None


def inspect(model, size=None):
    """A `LayerCost` for every layer of the model's deploy net on one image of `size` x `size` (default: its crop).

    Multiply-adds: a convolution's are outputs x kernel x input channels; Interp's four for every output value;
    merging's one for every value merged. Bias, BatchNorm, ReLU, pooling, softmax and copies are not counted. Memory is
    that of the tops; a layer that works in place adds none. Raises ExperimentError unless size is 32k + 1 and Caffe can
    hold the net.
    """
    size = size or model.crop_size
    check_size("the size", size)
    small = limits.small(model)
    if words := limits.excess(small, 1, size, size):
        fits = limits.largest_side(small)
        raise ExperimentError(f"the size is {size}: {words}; for {model.name} {fits} is the largest")
    message = model.deploy_net(size)
    net = prototxt.load(message)
    owners = owners_of(net)
    result = []
    for layer in message.layer:
        tops = [top for top in layer.top if top not in layer.bottom]
        shapes = tuple(tuple(net.blobs[top].shape) for top in layer.top)
        owner = owners.get(layer.name)
        blobs = net.params.get(layer.name, ())
        cost = Cost(
            sum(blob.data.size for blob in blobs) if owner == layer.name and layer.type != "BatchNorm" else 0,
            _multiply_adds(layer, net, blobs),
            sum(_BYTES * math.prod(net.blobs[top].shape) for top in tops),
        )
        kind = layer.python_param.layer if layer.type == "Python" else layer.type
        shared = owner if owner not in (None, layer.name) else None
        result.append(LayerCost(layer.name, kind, _group(layer, model), shapes, cost, shared))
    return result


def totals(layers):
    """The summed `Cost` of each group: the scales in order of appearance, then the merge."""
    result = {}
    for layer in sorted(layers, key=lambda layer: layer.group == "merge"):
        result[layer.group] = result.get(layer.group, Cost()) + layer.cost
    return result


def table(layers):
    """The lines of a table, a layer each, then the total of each group and of all."""
    yield f"{'layer':28} {'type':14} {'scale':6} {'shape':22} {'parameters':>12} {'multiply-adds':>16} {'MiB':>8}"
    for layer in layers:
        shapes = ", ".join("x".join(map(str, shape)) for shape in layer.shapes)
        yield _line(f"{layer.name:28} {layer.type:14} {layer.group:6} {shapes:22}", layer.cost, layer.shared_with)
    yield ""
    for group, cost in totals(layers).items():
        yield _line(f"{'total, scale ' + group if group != 'merge' else 'total, merge':73}", cost)
    yield _line(f"{'total':73}", total(layers))


def comparison(layers, baseline, name):
    """One line: how often the single-scale net `name` fits into this one."""
    ours, theirs = total(layers), total(baseline)
    return f"against {name}: " + ", ".join(
        f"{getattr(ours, field) / getattr(theirs, field):.2f} x {words}"
        for field, words in (("parameters", "parameters"), ("multiply_adds", "multiply-adds"), ("memory", "memory"))
    )


def total(layers):
    return sum((layer.cost for layer in layers), Cost())


def draw(model, path):
    """Caffe's own picture of the training net, as PNG. Raises UserError where Graphviz is missing."""
    import caffe.draw  # with pydot, which nothing else needs

    try:
        picture = caffe.draw.draw_net(model.train, "TB", "png")
    except FileNotFoundError:
        raise UserError("the program `dot` is not installed: apt-get install graphviz") from None
    write_bytes(path, picture)


def _line(start, cost, shared_with=None):
    parameters = "shared" if shared_with else f"{cost.parameters:,}"
    return f"{start} {parameters:>12} {cost.multiply_adds:>16,} {cost.memory / _MIB:8.2f}"


def _group(layer, model):
    """A branch's layers carry its suffix; what reads several scales, or prepares that, belongs to the merge."""
    name = layer.name
    prepares = name.endswith(("_interp", "_concat", "_fusion")) and not name.startswith("psp")
    if prepares or name.startswith(("att_", "rec")):
        return "merge"
    for scale in model.scales[1:]:
        if name.endswith(suffix(scale)):
            return f"{float(scale):g}"
    return "1"


def _multiply_adds(layer, net, blobs):
    outputs = math.prod(net.blobs[layer.top[0]].shape)  # `.data` would have Caffe fetch the memory
    if layer.type == "Convolution":
        return outputs * math.prod(blobs[0].data.shape[1:])
    if layer.type == "Python" and layer.python_param.layer == "Interp":
        return 4 * outputs
    if layer.type == "Eltwise":
        return len(layer.bottom) * outputs
    if layer.type == "Python" and layer.python_param.layer == "ScaleAttention":
        return (len(layer.bottom) - 1) * outputs
    return 0
