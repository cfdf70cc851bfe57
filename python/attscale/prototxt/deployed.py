"""What a test net is, read from its prototxt: scales, merge, and the blobs that prediction reads."""

import dataclasses
import re
from fractions import Fraction

from caffe.proto import caffe_pb2

from attscale.errors import ExperimentError
from attscale.nets.geometry import OUTPUTS

_SCALE = re.compile(r"_res(\d+)(_interp)?$")
_OPERATIONS = {caffe_pb2.EltwiseParameter.MAX: "max", caffe_pb2.EltwiseParameter.SUM: "average"}
_RECALIBRATIONS = {caffe_pb2.EltwiseParameter.PROD: "product", caffe_pb2.EltwiseParameter.SUM: "bias"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Deployed:
    """The parts of a deploy net that have a meaning outside of it."""

    size: int  # of the images that its prototxt is for, pixels a side
    output: str  # the merged scores at the images' size
    scores: dict[Fraction, str]  # scale to the blob of its own score map, at the merged one's size
    merge: str | None  # max, average, attention; None for one scale
    recalibration: str | None = None  # what is done to the scores before they are merged: product or bias
    classifier: str  # the layer of the finest scale that gives its score map, fc8_<data set>

    @property
    def scales(self):
        """Of the branches, the finest first."""
        return tuple(self.scores)


def read(message, where):
    """The Deployed of a NetParameter; `where`: what errors call it.

    What counts are names, as nets/ gives them: the input `data`, the output `fc8_interp` or `fc_fusion`, and the scale
    at the end of a layer's name, `_res05`. Raises ExperimentError for a net without them.
    """
    makers = _makers(message, where)
    data = makers.get("data")
    if data is None or data.type != "Input" or [len(shape.dim) for shape in data.input_param.shape] != [4]:
        raise ExperimentError(f"{where}: has no layer of type Input, with four dimensions, whose top is data")
    output = next((name for name in OUTPUTS if name in makers), None)
    if output is None:
        raise ExperimentError(f"{where}: has no top {' or '.join(OUTPUTS)}, which would be its scores")
    height, size = data.input_param.shape[0].dim[2:]
    if height != size:
        raise ExperimentError(f"{where}: its input is {size}x{height} pixels, expected a square")
    if output == OUTPUTS[-1]:  # MSc: its parts have no scales
        classifier = _classifier(makers, makers[output].bottom[-1])
        return Deployed(size=size, output=output, scores={Fraction(1): output}, merge=None, classifier=classifier)
    merged = makers[output].bottom[0]
    maps, merge = _branches(makers, merged)
    scores = {}
    for blob in maps:
        found = _SCALE.search(blob)
        scale = Fraction(f"{found[1][0]}.{found[1][1:]}") if found else Fraction(1)
        if scale in scores:
            raise ExperimentError(f"{where}: {blob} and {scores[scale]} are both of scale {float(scale):g}")
        scores[scale] = blob
    return Deployed(
        size=size,
        output=output,
        scores=scores,
        merge=merge,
        recalibration=_recalibration(makers, merged) if merge == "attention" else None,
        classifier=_classifier(makers, scores.get(1, merged)),
    )


def _makers(message, where):
    """The layer that makes each top, in-place ones aside; none reads what comes later, so that the way back ends."""
    makers = {}
    for layer in message.layer:
        if missing := [blob for blob in layer.bottom if blob not in makers]:
            raise ExperimentError(f"{where}: {layer.name} reads {missing[0]}, which no layer before it makes")
        if not layer.bottom and layer.type != "Input":
            raise ExperimentError(f"{where}: {layer.name} reads nothing")
        for top in layer.top:
            if top not in layer.bottom:
                makers.setdefault(top, layer)
    return makers


def _branches(makers, merged):
    """The blobs of the score maps that `merged` is made of, and how; itself where it is of one scale."""
    maker = makers[merged]
    if maker.type == "Python" and maker.python_param.layer == "ScaleAttention":
        return [_own(makers, blob) for blob in maker.bottom[:-1]], "attention"
    if maker.type == "Eltwise" and maker.eltwise_param.operation in _OPERATIONS:
        return list(maker.bottom), _OPERATIONS[maker.eltwise_param.operation]
    return [merged], None


def _own(makers, blob):
    """A scale's own score map: before it was recalibrated, where it was."""
    maker = makers[blob]
    return maker.bottom[0] if maker.type == "Eltwise" else blob


def _recalibration(makers, merged):
    """How the score maps that attention merges were recalibrated; None where they were not."""
    maker = makers[makers[merged].bottom[0]]
    return _RECALIBRATIONS.get(maker.eltwise_param.operation) if maker.type == "Eltwise" else None


def _classifier(makers, blob):
    """The convolution behind a score map, before it was resized."""
    while makers[blob].type == "Python":
        blob = makers[blob].bottom[0]
    return blob
