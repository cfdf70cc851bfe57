"""Every number of Attention to Scale that a net of ours stands for, as printed, in per cent. Standard library only."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """One result of the paper: which table, which row of it, what was measured, and the number.

    The text of section 4.1 gives some results only as a difference; then `value` is None and `words` has it.
    """

    table: int
    row: str
    value: float | None
    measure: str = "mean IOU"
    words: str = ""

    def __str__(self):
        number = self.words if self.value is None else f"{self.value:.2f} %"
        return f"table {self.table}, {self.row}: {number} {self.measure}"


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


def _test(row, value):
    return Cell(table=4, row=row, value=value)


#: Table 4: VOC 2012 test. Only the rows from COCO use the dense CRF.
VOC_TEST = {
    "largefov": _test("DeepLab-LargeFOV [11]", 65.1),
    "msc": _test("DeepLab-MSc-LargeFOV [11]", 67.0),
    "average": _test("DeepLab-LargeFOV-AveragePooling", 70.5),
    "max": _test("DeepLab-LargeFOV-MaxPooling", 70.6),
    "attention": _test("DeepLab-LargeFOV-Attention", 71.5),
    "coco_largefov": _test("DeepLab-CRF-COCO-LargeFOV [43]", 72.7),
    "coco_msc": _test("DeepLab-MSc-CRF-COCO-LargeFOV [43]", 73.6),
    "coco_attention": _test("DeepLab-CRF-COCO-LargeFOV-Attention", 75.1),
    "coco_attention_plus": _test("DeepLab-CRF-COCO-LargeFOV-Attention+", 75.7),
}


def design_choice(change, words):
    """A design choice of section 4.1, reported as a difference from the best model of table 1 (56.39)."""
    return Cell(table=1, row=f"section 4.1, {change}", value=None, words=words)
