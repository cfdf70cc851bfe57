"""Every net as a frozen row: data set x scales x merge x extra supervision, and what else sets it apart.

Standard library only. A row's name derives from its fields; `find` looks rows up by name. Values come from the paper
(section and table named beside them) or from the release of DeepLab-LargeFOV; docs/fidelity.md has the choices.
"""

import dataclasses
import difflib
from fractions import Fraction

from attscale import paper
from attscale.errors import ExperimentError
from attscale.paper import Cell

MERGES = ("max", "average", "attention")
SCALES = (Fraction(1), Fraction(3, 4), Fraction(1, 2), Fraction(1, 4))
#: The split of the second step, on which val has been seen.
TRAINVAL = "trainval_aug"
#: Scales by their number, as the paper combines them.
SCALE_SETS = {1: SCALES[:1], 2: (SCALES[0], SCALES[2]), 3: SCALES[:3], 4: SCALES}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trunk:
    """DeepLab-LargeFOV on VGG-16 (release prototxt), and how it starts."""

    width: Fraction = Fraction(1)  # of every layer's channels
    fc6_dilation: int = 12
    pool5a: bool = False  # 3x3 average after pool5: in the released LargeFOV and in MSc, in no net of this paper's own
    dropout: float = 0.5
    input_scale: Fraction = Fraction(1)  # of the pixels; matters only to a start from scratch
    from_scratch: bool = False  # msra fillers; otherwise the weights come from a caffemodel

    def channels(self, full):
        """Channels of a layer that has `full` at width 1."""
        return max(1, round(full * self.width))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attention:
    """The attention model: on fc7, 3x3 with 512 filters, then 1x1 (section 3.2); or another choice of section 4.1."""

    features: str = "fc7"  # fc6, fc7 or fc8
    layers: int = 2
    kernel_size: int = 3  # of the first layer
    filters: int = 512  # of the first of two layers
    filler: str = "gaussian"  # of att_conv1, std 0.005 (authors' copy); "msra" (narrow nets); "constant", zero (LIP)
    lr_mult: int | None = None  # None: the classifier's; LIP has 1

    def __post_init__(self):
        if self.features not in ("fc6", "fc7", "fc8"):
            raise ExperimentError(f"attention features are {self.features!r}, expected fc6, fc7 or fc8")
        if self.layers not in (1, 2):
            raise ExperimentError(f"the attention model has {self.layers} layers, expected 1 or 2")
        if self.filler not in ("gaussian", "msra", "constant"):
            raise ExperimentError(f"the attention filler is {self.filler!r}, expected gaussian, msra or constant")


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """One net of the paper, or one of `shapes`."""

    dataset: str
    split: str | None = None  # to train on; None: the data set's usual one
    scales: tuple[Fraction, ...] = SCALE_SETS[1]
    merge: str | None = None  # one of MERGES, or None for a single scale
    extra_supervision: bool = False  # a loss at each scale besides the merged one (section 3.3)
    supervise_at: str = "finest"  # scale 3/4's loss: its scores brought to the finest resolution (all of the authors'
    # files; docs/release.md, The attention net), or at its 'own', with labels shrunk to it (the paper's words)
    msc: bool = False  # DeepLab-MSc-LargeFOV: branches on a frozen trunk, instead of scales
    pretraining: str | None = "imagenet"  # imagenet or coco; None: from scratch
    random_scale: tuple[float, ...] = ()  # factors to draw from: Attention+ (section 4.2)
    uniform: bool = False  # drawn uniformly between the least and the largest of them, instead of from the list
    one_step: bool = False  # trainval_aug at once, instead of after the same net's train_aug (release: training #2)
    trunk: Trunk = Trunk()
    attention: Attention = Attention()
    crop_size: int = 321  # training, pixels
    test_size: int = 513  # images are padded to it
    solver: Solver = Solver()
    cells: tuple[Cell, ...] = ()  # what the paper reports for this net

    def __post_init__(self):
        if not self.scales or self.scales[0] != 1 or list(self.scales) != sorted(set(self.scales), reverse=True):
            scales = [float(scale) for scale in self.scales]
            raise ExperimentError(f"scales are {scales}, expected 1 and then ever coarser ones")
        if (self.merge is None) != (len(self.scales) == 1) or self.merge not in (None, *MERGES):
            raise ExperimentError(
                f"merge is {self.merge} for {len(self.scales)} scales, expected one of {', '.join(MERGES)} for "
                "several scales and None for one"
            )
        if self.merge is None and self.extra_supervision:
            raise ExperimentError("extra supervision is for several scales")
        if self.msc and self.merge is not None:
            raise ExperimentError("DeepLab-MSc-LargeFOV has one scale")
        if self.one_step and self.split != TRAINVAL:
            raise ExperimentError(f"one_step is for {TRAINVAL}, which other experiments do not train on")
        if self.uniform and len(self.random_scale) < 2:
            raise ExperimentError(f"uniform draws between two factors or more, random_scale is {self.random_scale}")
        if self.supervise_at not in ("own", "finest"):
            raise ExperimentError(f"supervise_at is {self.supervise_at!r}, expected own or finest")
        if self.pretraining not in (None, "imagenet", "coco"):
            raise ExperimentError(f"pretraining is {self.pretraining!r}, expected imagenet, coco or None")
        if (self.pretraining is None) != self.trunk.from_scratch:
            raise ExperimentError("an experiment without pretraining starts from scratch, and no other does")
        if self.attention.filler == "constant" and self.pretraining != "coco":
            raise ExperimentError("attention layers without fillers start from the release's, pretrained on coco")
        for name in ("crop_size", "test_size"):
            if getattr(self, name) % 32 != 1:
                raise ExperimentError(f"{name} is {getattr(self, name)}, expected 32k + 1, where the scales line up")

    @property
    def name(self):
        """`voc12_largefov`, `voc12_coco_attention3_esupv_plus`: from the fields, so that no two nets share it.

        data set [_coco: pretrained on it] _largefov | _msc_largefov | _<merge><number of scales>[_esupv] [_options]
        """
        parts = [self.dataset]
        if self.pretraining == "coco":
            parts.append("coco")
        if self.merge is None:
            parts += ["msc", "largefov"] if self.msc else ["largefov"]
        else:
            parts.append(f"{self.merge}{len(self.scales)}")
        if self.extra_supervision:
            parts.append("esupv")
        parts += self._options()
        if self.split:
            parts.append(self.split)
        return "_".join(parts)

    @property
    def net(self):
        """The name less the data set's: `largefov`, `coco_attention3_esupv_plus`."""
        return self.name.removeprefix(f"{self.dataset}_")

    def _options(self):
        """What differs from the usual, a word each."""
        usual = Attention()
        if self.attention.layers != usual.layers:
            yield "onelayer"
        if self.attention.kernel_size != usual.kernel_size:
            yield f"kernel{self.attention.kernel_size}"
        if self.attention.filters != usual.filters and not self.trunk.from_scratch:
            yield f"filters{self.attention.filters}"
        if self.attention.features != usual.features:
            yield self.attention.features
        if self.attention.filler == "constant":
            yield "zeroattention"
        if self.supervise_at == "own":
            yield "own"
        if self.trunk.pool5a != self.msc:  # MSc has it, and no other net of the paper's own
            yield "pool5a" if self.trunk.pool5a else "nopool5a"
        if self.random_scale:
            yield "plusuniform" if self.uniform else "plus"
        if self.one_step:
            yield "onestep"

    @property
    def title(self):
        """For people: `voc12: attention over scales 1, 0.75, 0.5, extra supervision`."""
        if self.msc:
            text = "DeepLab-MSc-LargeFOV, branches on a frozen trunk"
        elif self.merge is None:
            text = "DeepLab-LargeFOV, one scale"
        else:
            text = f"{self.merge} over scales " + ", ".join(f"{float(scale):g}" for scale in self.scales)
        if self.extra_supervision:
            text += ", extra supervision"
        if options := [*self._options(), *([self.split] if self.split else [])]:
            text += f" ({', '.join(options)})"
        source = ", pretrained on COCO" if self.pretraining == "coco" else ""
        return f"{self.dataset}{source}: {text}"

    @property
    def initial_row(self):
        """The experiment whose final weights training starts from, by name; None: a file, or from scratch.

        On trainval_aug the same net's first step on train_aug (the release's "Training #2"), for MSc-LargeFOV's first
        step LargeFOV.
        """
        if self.split == TRAINVAL and not self.one_step:
            return dataclasses.replace(self, split=None, cells=()).name
        return dataclasses.replace(self, msc=False, cells=()).name if self.msc else None

    @property
    def stage(self):
        """The experiment on MS-COCO whose weights can take the place of the released file; None for other starts."""
        if self.pretraining != "coco" or self.initial_row:
            return None
        return "coco_voc_attention3_esupv" if self.attention.filler == "constant" else "coco_voc_largefov"

    @property
    def start(self):
        """What training starts from, in words; None: from scratch."""
        if self.initial_row:
            return f"the weights of {self.initial_row}"
        return f"{self.initial_weights}, or the weights of {self.stage}" if self.stage else self.initial_weights

    @property
    def baseline(self):
        """The table's single-scale net beside this one, by name: LargeFOV on the same images, from the same start."""
        coco, split = ["coco"] * (self.pretraining == "coco"), [self.split] * bool(self.split)
        return "_".join([self.dataset, *coco, "largefov", *split])

    @property
    def initial_weights(self):
        """The file that training starts from (release); None for a start from scratch, or from `initial_row`."""
        if self.pretraining is None or self.initial_row:
            return None
        if self.attention.filler == "constant":  # zeros learn nothing: the release starts from a trained attention net
            return "DeepLab_Attention_COCO_init.caffemodel"
        return {"imagenet": "vgg16_20M.caffemodel", "coco": "vgg16_20M_coco.caffemodel"}[self.pretraining]


# pool5a is in the released LargeFOV and in MSc, whose trunk is frozen, but for MS-COCO's; the authors' own baselines
# have none (docs/release.md, The authors' working copy).
_V1 = Trunk(pool5a=True)
# The list of scale factors in the author's file (docs/release.md, Data layer); the paper has its ends, "0.6 to 1.4".
_FACTORS = (0.6, 0.8, 1.0, 1.2, 1.4)
# Release: solver2, for trainval_aug, has more iterations.
_SECOND_STEP = {"split": TRAINVAL, "solver": Solver(max_iter=8000)}
# MS-COCO's images have up to 640 pixels a side, and are padded to 641 (docs/release.md, Protocol).
_COCO_SIZE = 641
# The attention layers of the author's later file: no fillers, so zero, at lr 1 and 2 (docs/release.md).
_RELEASED = Attention(filler="constant", lr_mult=1)


def _net(dataset, number, merge, *, solver=Solver(), **options):
    """A net with several scales; attention takes its 30 images as 3 x 10 (authors' copy)."""
    if merge == "attention" and solver.batch_size == 10:
        solver = dataclasses.replace(solver, batch_size=3, iter_size=10)
    return Experiment(dataset=dataset, scales=SCALE_SETS[number], merge=merge, solver=solver, **options)


def _grid(dataset, cells, **options):
    """The 13 rows of a table: the baseline, then {2, 3 scales} x {max, average, attention} x extra supervision.

    cells: function of (scales, merge, extra supervision) to the paper's cells.
    """
    yield Experiment(dataset=dataset, cells=cells(1, None, False), **options)
    for number in (2, 3):
        for merge in MERGES:
            for extra in (False, True):
                printed = cells(number, merge, extra)
                yield _net(dataset, number, merge, extra_supervision=extra, cells=printed, **options)


def _printed(*grids):
    return lambda *key: tuple(grid.cell(*key) for grid in grids)


def _best(dataset, number=3, merge="attention", **options):
    """The paper's best structure."""
    return _net(dataset, number, merge, extra_supervision=True, **options)


def _released(dataset, *, largefov=(), msc=(), **options):
    """DeepLab-LargeFOV and MSc-LargeFOV as they were released, with pool5a; each with its cells."""
    yield Experiment(dataset=dataset, trunk=_V1, cells=largefov, **options)
    yield Experiment(dataset=dataset, trunk=_V1, msc=True, cells=msc, **options)


def _design(change, words, number=3, **attention):
    cells = (paper.design_choice(change, words),)
    return _best("voc10_part", number, attention=Attention(**attention), cells=cells)


def _person_part():
    best = paper.PERSON_PART.cell(3, "attention", True)
    parts = (*paper.PARTS.values(), paper.PARTS_AVERAGE)  # table 2: the best model, part by part
    printed = _printed(paper.PERSON_PART)
    yield from _grid("voc10_part", lambda *key: printed(*key) + (parts if printed(*key) == (best,) else ()))
    yield from _released("voc10_part", msc=(paper.PERSON_PART.msc_cell(),))
    little = "0.1 to 0.4 below 56.39 %"
    yield _design("one attention layer", little, layers=1)
    yield _design("1x1 first kernel", little, kernel_size=1)
    yield _design("256 filters", little, filters=256)
    yield _design("1024 filters", little, filters=1024)
    yield _design("fc6 features", "about 56.39 %", features="fc6")
    yield _design("fc8 features", "about 0.5 below 56.39 %", features="fc8")
    yield _design("four scales", "0.5 below 56.39 %", number=4)


def _voc():
    yield from _grid("voc12", _printed(paper.VOC))
    yield from _released("voc12", msc=(paper.VOC.msc_cell(),))
    yield _best("voc12", supervise_at="own")  # as the paper's words have it
    yield from _grid("voc12", _printed(paper.VOC_FROM_COCO), pretraining="coco")
    yield from _released("voc12", pretraining="coco")
    yield _best("voc12", attention=_RELEASED, pretraining="coco")


def _voc_test():
    """Table 4: trained on train_aug, then on trainval_aug, scored by VOC's server; and first steps of no table."""
    options = {"dataset": "voc12", **_SECOND_STEP}
    cells = {name: (cell,) for name, cell in paper.VOC_TEST.items()}
    for pretraining, prefix in (("imagenet", ""), ("coco", "coco_")):
        of_others = {"largefov": cells[f"{prefix}largefov"], "msc": cells[f"{prefix}msc"]}
        yield from _released(**of_others, pretraining=pretraining, **options)
        yield Experiment(pretraining=pretraining, **options)  # their twin that differs from ours in nothing but scales
    for merge in MERGES:
        yield _best(merge=merge, cells=cells[merge], **options)
    yield _best(cells=cells["coco_attention"], pretraining="coco", **options)
    yield _best(one_step=True, pretraining="coco", **options)
    plus = {"pretraining": "coco", "random_scale": _FACTORS}
    yield _best("voc12", **plus)
    yield _best(cells=cells["coco_attention_plus"], **plus, **options)
    yield _best(uniform=True, **plus, dataset="voc12")
    yield _best(uniform=True, **plus, **options)
    # all of the release: scale 3/4 at the finest, attention from init.caffemodel, the list of scales, trainval_aug
    yield _best("voc12", attention=_RELEASED, **plus)
    yield _best(attention=_RELEASED, **plus, **options)


def _coco():
    yield from _grid("coco", _printed(paper.COCO, paper.COCO_PERSON), test_size=_COCO_SIZE)
    yield Experiment(dataset="coco", msc=True, cells=(paper.COCO.msc_cell(),), test_size=_COCO_SIZE)


def _coco_stage():
    """MS-COCO in VOC's classes: what nets from MS-COCO start from. The authors' own training for it is not known."""
    yield Experiment(dataset="coco_voc", test_size=_COCO_SIZE)
    yield _best("coco_voc", test_size=_COCO_SIZE)


def _shapes():
    """Not of the paper: a set that anyone has, learned from scratch on two cores in minutes."""
    trunk = Trunk(width=Fraction(1, 8), fc6_dilation=2, dropout=0.0, input_scale=Fraction(1, 64), from_scratch=True)
    solver = Solver(
        type="Adam",
        base_lr=0.0005,
        final_lr_mult=1,
        lr_policy="poly",
        power=0.5,
        max_iter=5200,
        batch_size=1,
        iter_size=1,
    )
    return _grid(
        "shapes",
        lambda *_: (),
        pretraining=None,
        trunk=trunk,
        attention=Attention(filters=64, filler="msra"),
        crop_size=193,
        test_size=257,
        solver=solver,
    )


def _by_name(rows):
    result = {}
    for row in rows:
        if row.name in result:
            raise ExperimentError(f"two rows have the name {row.name}")
        result[row.name] = row
    return result


EXPERIMENTS = _by_name([*_person_part(), *_voc(), *_voc_test(), *_coco(), *_coco_stage(), *_shapes()])

#: A data set's name alone means its best model in the paper: attention, three scales, extra supervision.
ALIASES = {
    "voc": "voc12_attention3_esupv",
    "voc12": "voc12_attention3_esupv",
    "voc10_part": "voc10_part_attention3_esupv",
    "part": "voc10_part_attention3_esupv",
    "coco": "coco_attention3_esupv",
    "shapes": "shapes_attention3_esupv",
}


def find(name):
    """The row of that name or alias. Raises ExperimentError with the closest known names."""
    name = ALIASES.get(name, name)
    if name in EXPERIMENTS:
        return EXPERIMENTS[name]
    close = difflib.get_close_matches(name, [*ALIASES, *EXPERIMENTS], n=3, cutoff=0.4)
    hint = f"did you mean {', '.join(close)}?" if close else f"known are {', '.join(ALIASES)} and their variants"
    raise ExperimentError(f"no experiment {name!r}: {hint} (python tools/make_net.py --list shows all)")
