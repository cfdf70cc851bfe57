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
    seeds: tuple[int, ...]
    max_iter: int
    beside: str | None = None  # another study with the same start and iterations, whose nets its own are compared with
    start: tuple[str, str] | None = None  # study and net, whose weights of the same seed all start from; or scratch
    by_size: bool = False  # the data set has maps of objects
    crf: tuple[str, ...] = ()  # nets that are scored after the CRF as well

    def experiment(self, net):
        """The experiment of one of the nets."""
        return experiments.find(f"{self.dataset}_{net}")

    def folder(self, root, net, seed):
        """The run of a net with a seed below `root`, where tools/sweep.py puts it."""
        return Path(root, self.name, f"seed{seed}", self.experiment(net).name)


TABLE_1 = ("largefov", *(f"{merge}{n}{extra}" for n in (2, 3) for merge in MERGES for extra in ("", "_esupv")))
_DESIGN = ("attention4_esupv", *(f"attention3_esupv_{change}" for change in ("fc6", "fc8", "onelayer", "own")))
_STEPS = ("attention2_esupv_stages", "attention2_esupv_stages_dilated", "refine2_esupv")
_FOUR = ("largefov", *(f"{merge}3_esupv" for merge in MERGES))
_FIVE, _THREE = (0, 1, 2, 3, 4), (0, 1, 2)
_TRUNK, _STREETS = ("shapes_trunk", "largefov"), ("camvid_trunk", "largefov_narrow")

STUDIES = {
    study.name: study
    for study in (
        Study(
            name="shapes_trunk",
            title="The trunks on `shapes`",
            about="What stands for ImageNet's weights: the single-scale net from scratch. Its iterations were chosen "
            "on this net alone, with the last 300 images of train held out: after half of the demo's it still calls "
            "everything background, after all of them it is in the midst of learning, earlier or later by seed, and "
            "higher rates keep it at background for longer.",
            dataset="shapes",
            nets=("largefov",),
            seeds=_FIVE,
            max_iter=15000,
            by_size=True,
        ),
        Study(
            name="shapes",
            title="Table 1's form on `shapes`, from a trained trunk",
            about="All 13 nets of a seed start from one trunk of that seed, as the paper's start from one trunk, and "
            "train equally long; so what sets them apart is scales, merging and supervision.",
            dataset="shapes",
            nets=TABLE_1,
            seeds=_FIVE,
            max_iter=1500,
            start=_TRUNK,
            by_size=True,
            crf=("attention3_esupv",),
        ),
        Study(
            name="shapes_design",
            title="Design choices of section 4.1 on `shapes`",
            about="Each net differs from `attention3_esupv` of the study before in one thing; start and iterations are "
            "the same.",
            dataset="shapes",
            nets=_DESIGN,
            beside="shapes",
            seeds=_FIVE,
            max_iter=1500,
            start=_TRUNK,
            by_size=True,
        ),
        Study(
            name="shapes_refine",
            title="The steps of Attention to Refine on `shapes`",
            about="Steps from `attention2_esupv` of table 1's form to the whole model; start and iterations are the "
            "same.",
            dataset="shapes",
            nets=_STEPS,
            beside="shapes",
            seeds=_FIVE,
            max_iter=1500,
            start=_TRUNK,
            by_size=True,
        ),
        Study(
            name="shapes_scratch",
            title="`shapes` from scratch",
            about="One thing changed: no trained trunk, but the demo's own recipe.",
            dataset="shapes",
            nets=_FOUR,
            seeds=_THREE,
            max_iter=5200,
            by_size=True,
        ),
        Study(
            name="camvid_trunk",
            title="The trunks on CamVid",
            about="Photographs of streets, 480x360. The single-scale net from scratch, an eighth of the width.",
            dataset="camvid",
            nets=("largefov_narrow",),
            seeds=_THREE,
            max_iter=10000,
        ),
        Study(
            name="camvid",
            title="Scales and merging on CamVid, from a trained trunk",
            about="All nets of a seed start from one trunk of that seed.",
            dataset="camvid",
            nets=tuple(f"{net}_narrow" for net in _FOUR),
            seeds=_THREE,
            max_iter=3000,
            start=_STREETS,
            crf=("attention3_esupv_narrow",),
        ),
        Study(
            name="camvid_refine",
            title="The steps of Attention to Refine on CamVid",
            about="From the same trunks, with two scales.",
            dataset="camvid",
            nets=tuple(f"{net}_narrow" for net in ("attention2_esupv", *_STEPS)),
            seeds=_THREE,
            max_iter=3000,
            start=_STREETS,
        ),
    )
}
