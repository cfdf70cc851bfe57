"""The rows of Attention to Scale: the nets of its tables 1 to 7 and of its text, and their like on `shapes`.

Values come from the paper (section and table named beside them) or from the release of DeepLab-LargeFOV.
"""

from attscale import datasets, paper
from attscale.experiments.row import MERGES, TRAINVAL, net
from attscale.recipe import Attention, Solver, Trunk

# pool5a is in the released LargeFOV and in MSc, whose trunk is frozen, but for MS-COCO's; the authors' own baselines
# have none (docs/release.md, The authors' working copy).
_V1 = Trunk(pool5a=True)
# The list of scale factors in the author's file (docs/release.md, Data layer); the paper has its ends, "0.6 to 1.4".
FACTORS = (0.6, 0.8, 1.0, 1.2, 1.4)
# Release: solver2, for trainval_aug, has more iterations.
SECOND_STEP = {"split": TRAINVAL, "solver": Solver(max_iter=8000)}
# The attention layers of the author's later file: no fillers, so zero, at lr 1 and 2 (docs/release.md).
RELEASED = Attention(filler="constant", lr_mult=1)


def _grid(dataset, cells, **options):
    """The 13 rows of a table: the baseline, then {2, 3 scales} x {max, average, attention} x extra supervision.

    cells: function of (scales, merge, extra supervision) to the paper's cells.
    """
    dataset = datasets.find(dataset)
    yield net(dataset, cells=cells(1, None, False), **options)
    for number in (2, 3):
        for merge in MERGES:
            for extra in (False, True):
                printed = cells(number, merge, extra)
                yield net(dataset, number, merge, extra_supervision=extra, cells=printed, **options)


def _printed(*grids):
    return lambda *key: tuple(grid.cell(*key) for grid in grids)


def _best(dataset, number=3, merge="attention", **options):
    """The paper's best structure."""
    return net(datasets.find(dataset), number, merge, extra_supervision=True, **options)


def _released(dataset, *, largefov=(), msc=(), **options):
    """DeepLab-LargeFOV and MSc-LargeFOV as they were released, with pool5a; each with its cells."""
    dataset = datasets.find(dataset)
    yield net(dataset, trunk=_V1, cells=largefov, **options)
    yield net(dataset, trunk=_V1, msc=True, cells=msc, **options)


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
    yield _best("voc12", attention=RELEASED, pretraining="coco")


def _voc_test():
    """Table 4: trained on train_aug, then on trainval_aug, scored by VOC's server; and first steps of no table."""
    options = {"dataset": "voc12", **SECOND_STEP}
    cells = {name: (cell,) for name, cell in paper.VOC_TEST.items()}
    for pretraining, prefix in (("imagenet", ""), ("coco", "coco_")):
        of_others = {"largefov": cells[f"{prefix}largefov"], "msc": cells[f"{prefix}msc"]}
        yield from _released(**of_others, pretraining=pretraining, **options)
        yield net(
            datasets.find("voc12"), pretraining=pretraining, **SECOND_STEP
        )  # their twin that differs from ours in nothing but scales
    for merge in MERGES:
        yield _best(merge=merge, cells=cells[merge], **options)
    yield _best(cells=cells["coco_attention"], pretraining="coco", **options)
    yield _best(one_step=True, pretraining="coco", **options)
    plus = {"pretraining": "coco", "random_scale": FACTORS}
    yield _best("voc12", **plus)
    yield _best(cells=cells["coco_attention_plus"], **plus, **options)
    yield _best(uniform=True, **plus, dataset="voc12")
    yield _best(uniform=True, **plus, **options)
    # all of the release: scale 3/4 at the finest, attention from init.caffemodel, the list of scales, trainval_aug
    yield _best("voc12", attention=RELEASED, **plus)
    yield _best(attention=RELEASED, **plus, **options)


def _coco():
    yield from _grid("coco", _printed(paper.COCO, paper.COCO_PERSON))
    yield net(datasets.find("coco"), msc=True, cells=(paper.COCO.msc_cell(),))


def _coco_stage():
    """MS-COCO in VOC's classes: what nets from MS-COCO start from. The authors' own training for it is not known."""
    yield net(datasets.find("coco_voc"))
    yield _best("coco_voc")


def rows():
    """All of them, in the order of the paper; last those of `shapes`, which anyone has."""
    yield from _person_part()
    yield from _voc()
    yield from _voc_test()
    yield from _coco()
    yield from _coco_stage()
    yield from _grid("shapes", lambda *_: ())
