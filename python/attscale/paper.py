"""Every number of both papers' tables, as printed, in per cent. Standard library only.

Chen et al., Attention to Scale (CVPR 2016), tables 1 to 7; and Attention to Refine, which builds on it, tables 1 to 3.
"""

import dataclasses

SCALE, REFINE = "attention to scale", "attention to refine"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """One result of a paper: which table, which row of it, what was measured, and the number.

    The text gives some results only as a difference; then `value` is None and `words` has it.
    """

    table: int
    row: str
    value: float | None
    measure: str = "mean IOU"
    words: str = ""
    paper: str = SCALE
    split: str = "val"  # "val" is the data set's own validation list, whatever its name
    crf: bool = False  # after the dense CRF
    release: float | None = None  # what the authors' published weights score, where somebody has reported it

    def __str__(self):
        decimals = 1 if (self.paper, self.table) == (SCALE, 4) else 2  # as printed
        number = self.words if self.value is None else f"{self.value:.{decimals}f} %"
        source = "" if self.paper == SCALE else f"{self.paper}, "
        how = (" on test" if self.split == "test" else "") + (" after the CRF" if self.crf else "")
        return f"{source}table {self.table}, {self.row}: {number} {self.measure}{how}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grid:
    """Tables 1, 3, 5, 6 and 7: a baseline, then (scales, merge) to the numbers without and with extra supervision."""

    table: int
    baseline: float
    cells: dict[tuple[int, str], tuple[float, float]]
    msc: float | None = None  # DeepLab-MSc-LargeFOV, quoted in the text
    measure: str = "mean IOU"

    def cell(self, scales, merge, extra_supervision):
        """The cell of a net with `scales` scales; merge None is the baseline."""
        if merge is None:
            return Cell(table=self.table, row="baseline", value=self.baseline, measure=self.measure)
        printed = {2: "{1, 0.5}", 3: "{1, 0.75, 0.5}"}[scales]
        row = f"{merge}, scales {printed}{', w/ E-Supv' if extra_supervision else ''}"
        value = self.cells[scales, merge][extra_supervision]
        return Cell(table=self.table, row=row, value=value, measure=self.measure)

    def printed(self):
        """Its cells in the order of print, DeepLab-MSc-LargeFOV of the text last."""
        yield self.cell(1, None, False)
        for scales, merge in self.cells:
            for extra_supervision in (False, True):
                yield self.cell(scales, merge, extra_supervision)
        if self.msc is not None:
            yield self.msc_cell()

    def msc_cell(self):
        return Cell(table=self.table, row="DeepLab-MSc-LargeFOV (text)", value=self.msc, measure=self.measure)


def _cells(*numbers):
    """Six pairs in the order of print: two scales, then three; max, average, attention."""
    keys = [(scales, merge) for scales in (2, 3) for merge in ("max", "average", "attention")]
    return dict(zip(keys, numbers, strict=True))


PERSON_PART = Grid(
    table=1,
    baseline=51.91,
    msc=53.72,
    cells=_cells((52.90, 55.26), (52.71, 55.17), (53.49, 55.85), (53.02, 55.78), (52.56, 55.72), (53.12, 56.39)),
)
VOC = Grid(
    table=3,
    baseline=62.28,
    msc=64.39,
    cells=_cells((64.81, 67.43), (64.86, 67.79), (65.27, 68.24), (65.15, 67.79), (63.92, 67.98), (64.37, 69.08)),
)
VOC_FROM_COCO = Grid(
    table=5,
    baseline=67.58,
    cells=_cells((69.15, 70.01), (69.22, 70.44), (69.90, 70.76), (69.70, 70.06), (68.82, 70.55), (69.47, 71.42)),
)
COCO = Grid(
    table=6,
    baseline=31.22,
    msc=31.61,
    cells=_cells((32.95, 34.70), (33.69, 35.14), (34.03, 35.41), (33.58, 35.08), (33.74, 35.72), (33.42, 35.78)),
)
COCO_PERSON = Grid(
    table=7,
    baseline=68.76,
    measure="IOU of person",
    cells=_cells((70.07, 71.06), (70.38, 71.60), (70.66, 72.20), (69.97, 71.43), (69.69, 71.70), (70.14, 72.72)),
)


def _test(row, value, *, crf=False):
    return Cell(table=4, row=row, value=value, split="test", crf=crf)


#: Table 4: VOC 2012 test. Only the rows from COCO use the dense CRF.
VOC_TEST = {
    "largefov": _test("DeepLab-LargeFOV [11]", 65.1),
    "msc": _test("DeepLab-MSc-LargeFOV [11]", 67.0),
    "average": _test("DeepLab-LargeFOV-AveragePooling", 70.5),
    "max": _test("DeepLab-LargeFOV-MaxPooling", 70.6),
    "attention": _test("DeepLab-LargeFOV-Attention", 71.5),
    "coco_largefov": _test("DeepLab-CRF-COCO-LargeFOV [43]", 72.7, crf=True),
    "coco_msc": _test("DeepLab-MSc-CRF-COCO-LargeFOV [43]", 73.6, crf=True),
    "coco_attention": _test("DeepLab-CRF-COCO-LargeFOV-Attention", 75.1, crf=True),
    "coco_attention_plus": _test("DeepLab-CRF-COCO-LargeFOV-Attention+", 75.7, crf=True),
}


def design_choice(change, words):
    """A design choice of section 4.1, reported as a difference from the best model of table 1 (56.39)."""
    return Cell(table=1, row=f"section 4.1, {change}", value=None, words=words)


#: Table 2: the parts of the best model of table 1, three scales with attention and extra supervision.
PARTS = {
    part: Cell(table=2, row=part, value=value, measure=f"IOU of {part}")
    for part, value in (
        ("head", 81.47),
        ("torso", 59.06),
        ("upper arms", 44.15),
        ("lower arms", 42.50),
        ("upper legs", 38.28),
        ("lower legs", 35.62),
        ("background", 93.65),
    )
}
PARTS_AVERAGE = Cell(table=2, row="average", value=56.39)

#: Table 4's entries of other people.
VOC_TEST_OTHERS = {
    "tti_zoomout_v2": _test("TTI-Zoomout-v2 [41]", 69.6),
    "parsenet": _test("ParseNet [36]", 69.8),
    "crf_rnn": _test("CRF-RNN [58]", 74.7, crf=True),
    "boxsup": _test("BoxSup [15]", 75.2, crf=True),
    "dpn": _test("DPN [37]", 77.5, crf=True),
    "adelaide": _test("Adelaide [34]", 77.8, crf=True),
    "attention_dt": _test("DeepLab-CRF-Attention-DT [10]", 76.3, crf=True),
}


def _refine(table, row, value, **others):
    return Cell(table=table, row=row, value=value, paper=REFINE, **others)


#: Attention to Refine, table 1: VOC 2012 val, two scales, the older methods as its authors reproduced them.
REFINE_VOC = {
    "largefov": _refine(1, "Baseline (DeepLab-LargeFOV)", 61.40),
    "max": _refine(1, "Merged with MaxPooling", 63.88),
    "average": _refine(1, "Merged with AvgPooling", 64.07),
    "attention": _refine(1, "Attention-to-Scale", 64.74),
    "refine": _refine(1, "Our method", 67.98),
}
#: Attention to Refine, table 2: what each part of the method adds; the last is of section 2's text.
REFINE_ABLATION = {
    "base": _refine(2, "Base model", 64.74),
    "multi_stage": _refine(2, "Base model+ (multi-stage)", 65.80),
    "diverse_dilation": _refine(2, "Base model++ (multi-stage, diverse dilations)", 66.83),
    "refine": _refine(2, "Our method (and the extra branch)", 67.98),
    "bias": _refine(2, "bias instead of product (text)", None, words="about 1 below 67.98 %"),
}


def _ade20k(row, iou, accuracy):
    return _refine(3, row, iou), _refine(3, row, accuracy, measure="pixel accuracy")


#: Attention to Refine, table 3: ADE20K val, mean IOU and pixel accuracy.
REFINE_ADE20K = {
    "baseline": _ade20k("ResNet34-dilated8 (Baseline)", 32.67, 76.41),
    "attention": _ade20k("Baseline + attention-to-scale", 35.11, 76.82),
    "psp": _ade20k("Baseline + PSP", 36.43, 78.01),
    "refine": _ade20k("Baseline + our attention model", 37.07, 78.57),
    "refine_psp": _ade20k("Baseline + our attention model + PSP", 38.21, 79.29),
}

#: (paper, table) to what it is about, in the order of print.
TITLES = {
    (SCALE, 1): "PASCAL-Person-Part val, mean IOU",
    (SCALE, 2): "PASCAL-Person-Part val, IOU of each part",
    (SCALE, 3): "PASCAL VOC 2012 val, mean IOU",
    (SCALE, 4): "PASCAL VOC 2012 test, mean IOU",
    (SCALE, 5): "PASCAL VOC 2012 val, pretrained on MS-COCO, mean IOU",
    (SCALE, 6): "MS-COCO 2014 subset, mean IOU",
    (SCALE, 7): "MS-COCO 2014 subset, IOU of person",
    (REFINE, 1): "PASCAL VOC 2012 val, mean IOU",
    (REFINE, 2): "PASCAL VOC 2012 val, ablation, mean IOU",
    (REFINE, 3): "ADE20K val, mean IOU and pixel accuracy",
}


def cells():
    """Every cell of both papers' tables in the order of print; section 4.1's differences are `design_choice`'s."""
    yield from PERSON_PART.printed()
    yield from PARTS.values()
    yield PARTS_AVERAGE
    yield from VOC.printed()
    ours, others = VOC_TEST, VOC_TEST_OTHERS
    yield from (ours["largefov"], ours["msc"], others["tti_zoomout_v2"], others["parsenet"])
    yield from (ours["average"], ours["max"], ours["attention"], ours["coco_largefov"], ours["coco_msc"])
    yield from (others["crf_rnn"], others["boxsup"], others["dpn"], others["adelaide"])
    yield from (ours["coco_attention"], ours["coco_attention_plus"], others["attention_dt"])
    for grid in (VOC_FROM_COCO, COCO, COCO_PERSON):
        yield from grid.printed()
    yield from REFINE_VOC.values()
    yield from REFINE_ABLATION.values()
    for pair in REFINE_ADE20K.values():
        yield from pair
