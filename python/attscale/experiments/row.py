"""An experiment: a net of a data set, with all that sets it apart from others of the same set."""

import dataclasses
from fractions import Fraction

from attscale import recipe as recipes
from attscale.datasets import DataSet
from attscale.errors import ExperimentError
from attscale.paper import Cell
from attscale.recipe import Attention, Solver, Trunk

MERGES = ("max", "average", "attention")
SCALES = (Fraction(1), Fraction(3, 4), Fraction(1, 2), Fraction(1, 4))
#: The split of the second step, on which val has been seen.
TRAINVAL = "trainval_aug"
#: Scales by their number, as the paper combines them.
SCALE_SETS = {1: SCALES[:1], 2: (SCALES[0], SCALES[2]), 3: SCALES[:3], 4: SCALES}
#: The trunks' layers that attention-to-scale may read (section 4.1), the usual one first.
FEATURES = {"vgg16": ("fc7", "fc6", "fc8"), "resnet34": ("head",)}


#: The dilations of Attention to Refine, "2 for small scale and 12 for large scale" (section 3.2): of scales 1 and 1/2.
DIVERSE = (12, 2)
#: The stages that its attention reads: the trunk's outputs from "after two pooling operations" on (section 2.1).
STAGES = {"vgg16": ("pool2", "pool3", "pool4", "pool5", "fc7"), "resnet34": ("layer1", "layer2", "layer3", "layer4")}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """One net: of the papers, of `shapes`, or of anyone's data set."""

    dataset: DataSet
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
    narrow: bool = False  # by the data set's recipe for narrow nets
    trunk: Trunk
    attention: Attention
    crop_size: int  # training, pixels
    test_size: int  # images are padded to it
    solver: Solver
    cells: tuple[Cell, ...] = ()  # what the papers report for this net

    def __post_init__(self):
        if not self.scales or self.scales[0] != 1 or [*self.scales] != sorted(set(self.scales), reverse=True):
            scales = [float(scale) for scale in self.scales]
            raise ExperimentError(f"scales are {scales}, expected 1 and then ever coarser ones")
        if (self.merge is None) != (len(self.scales) == 1) or self.merge not in (None, *MERGES):
            raise ExperimentError(
                f"merge is {self.merge} for {len(self.scales)} scales, expected one of {', '.join(MERGES)} for "
                "several scales and None for one"
            )
        if self.merge is None and self.extra_supervision:
            raise ExperimentError("extra supervision is for several scales")
        if self.msc and (self.merge is not None or self.trunk.kind != "vgg16"):
            raise ExperimentError("DeepLab-MSc-LargeFOV has one scale, and VGG-16 as its trunk")
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
        if self.trunk.psp and self.solver.batch_size < 2:
            raise ExperimentError("pyramid pooling needs batches of two images or more: of one, a bin has no variance")
        if self.is_resnet and (self.pretraining == "coco" or self.trunk.pool5a):
            raise ExperimentError("ResNet-34 has neither weights from MS-COCO nor pool5a")
        self._check_attention()
        for name in ("crop_size", "test_size"):
            recipes.check_size(name, getattr(self, name))

    def _check_attention(self):
        attention, known = self.attention, FEATURES[self.trunk.kind]
        if attention.features not in known:
            raise ExperimentError(f"attention features are {attention.features!r}, expected {' or '.join(known)}")
        if attention.filler == "constant" and self.pretraining != "coco":
            raise ExperimentError("attention layers without fillers start from the release's, pretrained on coco")
        if attention.stages and self.merge != "attention":
            raise ExperimentError("stages are for attention")
        if attention.stages and len(attention.dilations) != len(self.scales):
            raise ExperimentError(f"{len(attention.dilations)} dilations for {len(self.scales)} scales, one each")

    @property
    def recipe(self):
        """The data set's, for nets of this kind: what is as it says is not in the name."""
        return self.dataset.narrow if self.narrow else self.dataset.recipe

    @property
    def name(self):
        """`voc12_largefov`, `voc12_coco_attention3_esupv_plus`: from the fields, so that no two nets share it.

        data set [_coco: pretrained on it] [_resnet34 [_psp]] _largefov | _msc_largefov | _<merge><number of scales>
        [_esupv] [_options]; on ResNet-34 one scale has no word.
        """
        parts = [self.dataset.name]
        if self.pretraining == "coco":
            parts.append("coco")
        if self.trunk.kind != "vgg16":
            parts += [self.trunk.kind, *(["psp"] if self.trunk.psp else [])]
        if self.merge is not None:
            parts.append(f"{'refine' if self.attention.recalibration else self.merge}{len(self.scales)}")
        elif self.trunk.kind == "vgg16":
            parts += ["msc", "largefov"] if self.msc else ["largefov"]
        if self.extra_supervision:
            parts.append("esupv")
        parts += self._options()
        if self.split:
            parts.append(self.split)
        return "_".join(parts)

    @property
    def net(self):
        """The name less the data set's: `largefov`, `coco_attention3_esupv_plus`."""
        return self.name.removeprefix(f"{self.dataset.name}_")

    @property
    def list(self):
        """The list that it trains on, relative to the data set's root."""
        return self.dataset.list_of(self.split or self.dataset.train)

    def _options(self):
        """What differs from the usual, a word each."""
        usual = self.recipe
        if self.merge == "attention":
            yield from self._attention_options(usual.attention)
        if self.supervise_at == "own":
            yield "own"
        if self.trunk.pool5a != (usual.trunk.pool5a or self.msc):  # MSc has it, and no other net of the paper's own
            yield "pool5a" if self.trunk.pool5a else "nopool5a"
        if self.trunk.batch_norm != usual.trunk.batch_norm:
            yield "frozen" if self.trunk.batch_norm == "frozen" else "trained"
        if self.random_scale:
            yield "plusuniform" if self.uniform else "plus"
        if self.one_step:
            yield "onestep"
        if self.solver.lr_policy == "poly" != usual.solver.lr_policy and not (self.attention.stages or self.is_resnet):
            yield "poly"
        if self.narrow:
            yield "narrow"

    def _attention_options(self, usual):
        attention = self.attention
        if attention.layers != usual.layers:
            yield "onelayer"
        if attention.kernel_size != usual.kernel_size:
            yield f"kernel{attention.kernel_size}"
        if attention.filters != usual.filters:
            yield f"filters{attention.filters}"
        if attention.features != FEATURES[self.trunk.kind][0]:
            yield attention.features
        if attention.filler != usual.filler and attention.filler == "constant":
            yield "zeroattention"
        if attention.lr_mult != usual.lr_mult and attention.filler != "constant":
            yield f"lr{attention.lr_mult}"
        if attention.stages and not attention.recalibration:
            yield "stages"
            if len(set(attention.dilations)) > 1:
                yield "dilated"
        if attention.recalibration and len(set(attention.dilations)) == 1:
            yield "undilated"
        if attention.dilations and attention.dilations[0] < attention.dilations[-1]:
            yield "swapped"
        if attention.recalibration == "bias":
            yield "bias"

    @property
    def is_resnet(self):
        return self.trunk.kind == "resnet34"

    @property
    def title(self):
        """For people: `voc12: attention over scales 1, 0.75, 0.5, extra supervision`."""
        if self.msc:
            text = "DeepLab-MSc-LargeFOV, branches on a frozen trunk"
        elif self.merge is None:
            text = "ResNet-34, one scale" if self.is_resnet else "DeepLab-LargeFOV, one scale"
        else:
            kind = "attention to refine" if self.attention.recalibration else self.merge
            text = f"{kind} over scales " + ", ".join(f"{float(scale):g}" for scale in self.scales)
        if self.is_resnet and self.merge is not None:
            text = f"ResNet-34, {text}"
        if self.trunk.psp:
            text += ", with pyramid pooling"
        if self.extra_supervision:
            text += ", extra supervision"
        if options := [*self._options(), *([self.split] if self.split else [])]:
            text += f" ({', '.join(options)})"
        source = ", pretrained on COCO" if self.pretraining == "coco" else ""
        return f"{self.dataset.name}{source}: {text}"

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
    def coco_stage(self):
        """The experiment on MS-COCO whose weights can take the place of the released file; None for other starts."""
        if self.pretraining != "coco" or self.initial_row:
            return None
        return "coco_voc_attention3_esupv" if self.attention.filler == "constant" else "coco_voc_largefov"

    @property
    def start(self):
        """What training starts from, in words; None: from scratch."""
        if self.initial_row:
            return f"the weights of {self.initial_row}"
        return (
            f"{self.initial_weights}, or the weights of {self.coco_stage}" if self.coco_stage else self.initial_weights
        )

    @property
    def baseline(self):
        """The table's single-scale net beside this one, by name: the same trunk on the same images, from one start."""
        trunk = dataclasses.replace(self.trunk, pool5a=self.recipe.trunk.pool5a)
        single = {"scales": SCALE_SETS[1], "merge": None, "extra_supervision": False, "supervise_at": "finest"}
        plain = {"msc": False, "random_scale": (), "uniform": False, "one_step": False, "cells": ()}
        attention = dataclasses.replace(self.recipe.attention, features=FEATURES[self.trunk.kind][0])
        return dataclasses.replace(self, trunk=trunk, attention=attention, **single, **plain).name

    @property
    def initial_weights(self):
        """The file that training starts from (release); None for a start from scratch, or from `initial_row`."""
        if self.pretraining is None or self.initial_row:
            return None
        if self.attention.filler == "constant":  # zeros learn nothing: the release starts from a trained attention net
            return "DeepLab_Attention_COCO_init.caffemodel"
        if self.is_resnet:
            return "resnet34.caffemodel"
        return {"imagenet": "vgg16_20M.caffemodel", "coco": "vgg16_20M_coco.caffemodel"}[self.pretraining]


def net(dataset, number=1, merge=None, *, narrow=False, **options):
    """The Experiment of a data set with that many scales, by the data set's recipe but for `options`.

    Attention takes its 30 images as 3 x 10 (authors' copy).
    """
    usual = dataset.narrow if narrow else dataset.recipe
    trunk, solver = options.pop("trunk", usual.trunk), options.pop("solver", usual.solver)
    attention = options.pop("attention", usual.attention)
    if attention.features not in FEATURES[trunk.kind]:
        attention = dataclasses.replace(attention, features=FEATURES[trunk.kind][0])
    if merge == "attention" and (solver.batch_size, solver.iter_size) == (10, 3):
        solver = dataclasses.replace(solver, batch_size=3, iter_size=10)
    given = {"pretraining": None} if trunk.from_scratch else {}
    sizes = {"crop_size": usual.crop_size, "test_size": dataset.test_size}
    common = {"narrow": narrow, "trunk": trunk, "attention": attention, "solver": solver, "scales": SCALE_SETS[number]}
    return Experiment(dataset=dataset, merge=merge, **sizes, **common, **(given | options))


def staged(attention, trunk, scales, *, dilations=(), recalibration=None):
    """`attention` on the trunk's stages (Attention to Refine); without `dilations` standard convolutions."""
    stages, dilations = STAGES[trunk.kind], dilations or (1,) * scales
    return dataclasses.replace(attention, stages=stages, dilations=dilations, recalibration=recalibration)


def diverse(scales):
    """DIVERSE for that many scales: the finest has the first, all others the last."""
    return DIVERSE[:1] + DIVERSE[1:] * (scales - 1)
