"""What `make ablation` trains: studies, each some nets of one data set with several seeds and equal iterations."""

import dataclasses
from pathlib import Path

from attscale import experiments
from attscale.experiments import MERGES


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """Nets of one data set, by their names without its own; each is trained once for every seed."""

    name: str
    title: str
    about: str  # what is varied, and how it was sized: for docs/results.md
    dataset: str
    nets: tuple[str, ...]
    base: str  # the net that the others stand beside
    beside: str | None = None  # the study that has it; None: this one
    seeds: tuple[int, ...]
    max_iter: int
    start: tuple[str, str] | None = None  # study and net, whose weights of the same seed all start from; or scratch
    by_size: bool = False  # the data set has maps of objects
    seen: bool = False  # its nets are scored on the images that they trained on, too
    shown: str | None = None  # the net that is scored after the CRF as well, and whose weight maps are pictured

    @property
    def photographs(self):
        """Whether the images are other people's, and may not be published, nor pictures of them."""
        return self.dataset != "shapes"

    def experiment(self, net):
        """The experiment of one of the nets."""
        return experiments.find(f"{self.dataset}_{net}")

    def folder(self, root, net, seed):
        """The run of a net with a seed below `root`, where tools/sweep.py puts it."""
        return Path(root, self.name, f"seed{seed}", self.experiment(net).name)


TABLE_1 = ("largefov", *(f"{merge}{n}{extra}" for n in (2, 3) for merge in MERGES for extra in ("", "_esupv")))
_DESIGN = ("attention4_esupv", *(f"attention3_esupv_{change}" for change in ("fc6", "fc8", "onelayer", "own")))
_STEPS = ("attention2_esupv_stages", "attention2_esupv_stages_dilated", "refine2_esupv")
_MERGED = tuple(f"{merge}3_esupv" for merge in MERGES)
_FIVE, _THREE = (0, 1, 2, 3, 4), (0, 1, 2)
_SHAPES, _STREETS = ("shapes_trunk", "largefov"), ("camvid_trunk", "largefov_narrow")
#: What the studies from the trunks of a data set have in common.
_AS_SHAPES = {"dataset": "shapes", "seeds": _FIVE, "max_iter": 1500, "start": _SHAPES, "by_size": True}
_AS_CAMVID = {"dataset": "camvid", "seeds": _THREE, "max_iter": 3000, "start": _STREETS}


def _narrow(*nets):
    return tuple(f"{net}_narrow" for net in nets)


STUDIES = {
    study.name: study
    for study in (
        Study(
            name="shapes_trunk",
            title="The trunks on `shapes`",
            about="The single-scale net, trained from scratch; nets of other studies start from it. The number of "
            "iterations was chosen on this net alone, with the last 300 training images held out. After 2,600 "
            "iterations, half of the demo's, it still predicts only background. After 5,200 it has begun to "
            "learn, earlier or later depending on the seed. Higher learning rates made that phase longer.",
            dataset="shapes",
            nets=("largefov",),
            base="largefov",
            seeds=_FIVE,
            max_iter=15000,
            by_size=True,
        ),
        Study(
            name="shapes",
            title="Table 1's form on `shapes`, from a trained trunk",
            about="All 13 nets of a seed start from the trunk of that seed, and train for a tenth of its "
            "iterations, so that 65 runs take about two hours, two at a time. The trunk already knows the "
            "task and has a trained classifier, as in the paper's table 5 (start from MS-COCO), not as in "
            "tables 1 and 3 (ImageNet). That favours the single scale and the branch of scale 1. Nor are the "
            "scales equals here: outlines tell the classes, and half the resolution loses them, as each "
            "scale's own score map shows below.",
            nets=TABLE_1,
            base="largefov",
            **_AS_SHAPES,
            shown="attention3_esupv",
        ),
        Study(
            name="shapes_design",
            title="Design choices of section 4.1 on `shapes`",
            about="Each net differs in one thing from `attention3_esupv` of `shapes`; start and iterations are the "
            "same.",
            nets=_DESIGN,
            base="attention3_esupv",
            beside="shapes",
            **_AS_SHAPES,
        ),
        Study(
            name="shapes_refine",
            title="The steps of Attention to Refine on `shapes`",
            about="Steps from two scales' attention to the whole model; start and iterations are those of `shapes`. "
            "The first step changes more than the features: attention, merged map and labels are at stride 4, "
            "and each scale has a convolution of its own (docs/fidelity.md). Recalibration starts at 1/2 for "
            "every class, which halves the scores of a trunk that is trained already.",
            nets=_STEPS,
            base="attention2_esupv",
            beside="shapes",
            **_AS_SHAPES,
        ),
        Study(
            name="shapes_scratch",
            title="Attention on `shapes`, from scratch",
            about="Three scales without a trunk: does attention leave the coarsest scale aside because it came late, "
            "or anyway? The nets train from scratch, for as many iterations as the trunks. The trunks are "
            "the single scale beside them. From `shapes` it differs in two things, the start and the number of "
            "iterations.",
            dataset="shapes",
            nets=("attention3_esupv",),
            base="largefov",
            beside="shapes_trunk",
            seeds=_THREE,
            max_iter=15000,
            by_size=True,
        ),
        Study(
            name="camvid_trunk",
            title="The trunks on CamVid",
            about="Photographs of streets, 480x360; val is 101 frames of one drive, every second one of 201 in a row. "
            "The single-scale net from scratch, by the recipe for narrow nets, which is that of `shapes`.",
            dataset="camvid",
            nets=_narrow("largefov"),
            base="largefov_narrow",
            seeds=_THREE,
            max_iter=10000,
        ),
        Study(
            name="camvid",
            title="Scales and merging on CamVid, from a trained trunk",
            about="All nets of a seed start from the trunk of that seed, and train for three tenths of its "
            "iterations, with the learning rate back at its beginning. Nothing was tuned on CamVid, but its val had "
            "been looked at before: an earlier try of 10,000 iterations from scratch, by attention, was scored there.",
            nets=_narrow("largefov", *_MERGED),
            base="largefov_narrow",
            **_AS_CAMVID,
            seen=True,
            shown="attention3_esupv_narrow",
        ),
        Study(
            name="camvid_attention",
            title="The rate of the attention layers on CamVid",
            about="Asked after `camvid` had been scored. In the authors' files the attention layers learn at ten "
            "times the trunk's rate (docs/fidelity.md), in the recipe for narrow nets at the trunk's own. `lr10` has "
            "the ten times back, for these layers alone; all else is as in `camvid`.",
            nets=_narrow("attention3_esupv_lr10"),
            base="attention3_esupv_narrow",
            beside="camvid",
            **_AS_CAMVID,
        ),
        Study(
            name="camvid_sizes",
            title="One scale, trained on images of several sizes, on CamVid",
            about="Asked after `camvid` had been scored: is it the merging that puts several scales ahead of one, or "
            "only that the net has trained on the same image in several sizes? Here the single scale trains on "
            "images that are resized at random, by the factors of Attention+ (`plus`), and sees one size at a time, "
            "in val the image as it is. All else is as in `camvid`.",
            nets=_narrow("largefov_plus"),
            base="largefov_narrow",
            beside="camvid",
            **_AS_CAMVID,
        ),
        Study(
            name="camvid_long",
            title="Longer on CamVid",
            about="One net for the best number, chosen before any study on CamVid was scored: the paper's best form, "
            "from the trunk of seed 0, for twice the trunk's iterations.",
            dataset="camvid",
            nets=_narrow("attention3_esupv"),
            base="attention3_esupv_narrow",
            seeds=(0,),
            max_iter=20000,
            start=_STREETS,
            shown="attention3_esupv_narrow",
        ),
        Study(
            name="camvid_refine",
            title="The steps of Attention to Refine on CamVid",
            about="From the same trunks, with two scales.",
            nets=_narrow("attention2_esupv", *_STEPS),
            base="attention2_esupv_narrow",
            **_AS_CAMVID,
        ),
        Study(
            name="camvid_scratch",
            title="Merging on CamVid, from scratch",
            about="Three scales without a trunk: the nets train from scratch, for as many iterations as the trunks. "
            "The trunks are the single scale beside them. From `camvid` it differs in two things, the start and the "
            "number of iterations.",
            dataset="camvid",
            nets=_narrow(*_MERGED),
            base="largefov_narrow",
            beside="camvid_trunk",
            seeds=_THREE,
            max_iter=10000,
        ),
    )
}
