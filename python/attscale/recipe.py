"""How nets are built and trained, whatever the data set: trunk, attention model, solver. Values without code.

Standard library only. Defaults are the first paper's, or the release's of DeepLab-LargeFOV; docs/fidelity.md has the
choices.
"""

import dataclasses

from attscale.errors import ExperimentError

TRUNKS = ("vgg16", "resnet34")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trunk:
    """What a branch of a net is: DeepLab-LargeFOV on VGG-16 (release prototxt), or ResNet-34 at stride 8."""

    kind: str = "vgg16"  # one of TRUNKS
    width: float = 1.0  # of every layer's channels
    fc6_dilation: int = 12
    pool5a: bool = False  # 3x3 average after pool5: in the released LargeFOV and in MSc, in no net of this paper's own
    dropout: float = 0.5
    input_scale: float = 1.0  # of the pixels; matters only to a start from scratch
    from_scratch: bool = False  # msra fillers; otherwise the weights come from a caffemodel
    psp: bool = False  # ResNet-34: pyramid scene parsing's pooling before the classifier
    batch_norm: str = "train"  # ResNet-34: statistics of the batch while training, or "frozen" ones, of the caffemodel

    def __post_init__(self):
        if self.kind not in TRUNKS:
            raise ExperimentError(f"the trunk is {self.kind!r}, expected {' or '.join(TRUNKS)}")
        if self.batch_norm not in ("train", "frozen"):
            raise ExperimentError(f"batch_norm is {self.batch_norm!r}, expected train or frozen")
        if not 0 < self.width <= 1:
            raise ExperimentError(f"width is {self.width}, expected more than 0 and at most 1")
        if self.fc6_dilation < 1:
            raise ExperimentError(f"fc6_dilation is {self.fc6_dilation}, expected at least 1")
        if not 0 <= self.dropout < 1:
            raise ExperimentError(f"dropout is {self.dropout}, expected 0 to less than 1")
        if self.batch_norm == "frozen" and self.from_scratch:
            raise ExperimentError("frozen statistics come with a caffemodel, not from scratch")
        if (self.psp or self.batch_norm == "frozen") and self.kind != "resnet34":
            raise ExperimentError(f"{'psp is' if self.psp else 'frozen statistics are'} for resnet34")

    def channels(self, full):
        """Channels of a layer that has `full` at width 1."""
        return max(1, round(full * self.width))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attention:
    """The attention model: on fc7, 3x3 with 512 filters, then 1x1 (section 3.2); or another choice of section 4.1.

    With `stages`, that of Attention to Refine (sections 2.1 and 2.2): features of several stages at one resolution, a
    convolution for each scale with a dilation of its own, and a branch that recalibrates the scores.
    """

    features: str = "fc7"  # the trunk's layer that it reads: fc6, fc7, fc8; ResNet-34: head
    layers: int = 2
    kernel_size: int = 3  # of the first layer
    filters: int = 512  # of the first of two layers
    filler: str = "gaussian"  # of att_conv1, std 0.005 (authors' copy); "msra" (narrow nets); "constant", zero (LIP)
    lr_mult: int | None = None  # None: the classifier's; LIP has 1
    stages: tuple[str, ...] = ()  # the trunk's tops that are concatenated; none: `features` alone
    stride: int = 4  # of the resolution that they are brought to: after two poolings
    stage_filters: int = 256  # of each scale's own convolution
    dilations: tuple[int, ...] = ()  # of that, by scale, the finest first
    recalibration: str | None = None  # of the scores of each class: "product", or "bias"

    def __post_init__(self):
        if self.layers not in (1, 2):
            raise ExperimentError(f"the attention model has {self.layers} layers, expected 1 or 2")
        for name in ("filters", "stage_filters"):
            if getattr(self, name) < 1:
                raise ExperimentError(f"attention: {name} is {getattr(self, name)}, expected at least 1")
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise ExperimentError(f"attention: kernel_size is {self.kernel_size}, expected an odd number")
        if self.filler not in ("gaussian", "msra", "constant"):
            raise ExperimentError(f"the attention filler is {self.filler!r}, expected gaussian, msra or constant")
        if self.recalibration not in (None, "product", "bias"):
            raise ExperimentError(f"recalibration is {self.recalibration!r}, expected product, bias or None")
        if self.stride not in (2, 4, 8):
            raise ExperimentError(f"the attention stride is {self.stride}, expected 2, 4 or 8")
        if not self.stages and (self.dilations or self.recalibration):
            raise ExperimentError("dilations and recalibration are for attention on stages")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Solver:
    """SGD as in section 4 of the paper, or Adam for starts from scratch."""

    type: str = "SGD"
    base_lr: float = 0.001
    final_lr_mult: int = 10  # of the last classifier, and of the attention layers unless they say otherwise
    lr_policy: str = "step"
    gamma: float = 0.1
    stepsize: int = 2000
    power: float = 1.0
    max_iter: int = 6000
    momentum: float = 0.9
    weight_decay: float = 0.0005
    batch_size: int = 10  # images in memory at once
    iter_size: int = 3  # passes a step: 10 x 3 = the paper's 30
    average_loss: int = 10  # iterations that Caffe's own display averages over

    def __post_init__(self):
        for name, known in (("type", ("SGD", "Adam")), ("lr_policy", ("fixed", "step", "poly"))):
            if getattr(self, name) not in known:
                raise ExperimentError(f"solver: {name} is {getattr(self, name)!r}, expected {' or '.join(known)}")
        for name in ("max_iter", "batch_size", "iter_size", "stepsize"):
            if getattr(self, name) < 1:
                raise ExperimentError(f"solver: {name} is {getattr(self, name)}, expected at least 1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the nets of a data set start and train, unless a paper's row says otherwise."""

    crop_size: int = 321  # training, pixels
    trunk: Trunk = Trunk()
    attention: Attention = Attention()
    solver: Solver = Solver()

    def __post_init__(self):
        check_size("crop_size", self.crop_size)
        if self.attention.stages:
            raise ExperimentError("attention on stages is said by a net's name (refine2), not by a recipe")


def check_size(name, value):
    """Raises ExperimentError unless it is 32k + 1, where the scales line up."""
    if value < 33 or value % 32 != 1:
        raise ExperimentError(f"{name} is {value}, expected 32k + 1 and at least 33, where the scales line up")


#: The papers'.
USUAL = Recipe()
#: Nets that two cores train from scratch: an eighth of the width. Not of the papers; chosen on `shapes`.
NARROW = Recipe(
    crop_size=257,
    trunk=Trunk(width=1 / 8, fc6_dilation=2, dropout=0.0, input_scale=1 / 64, from_scratch=True),
    attention=Attention(filters=64, filler="msra", stage_filters=32),
    solver=Solver(
        type="Adam",
        base_lr=0.0005,
        final_lr_mult=1,
        lr_policy="poly",
        power=0.5,
        max_iter=10000,
        batch_size=1,
        iter_size=1,
    ),
)
