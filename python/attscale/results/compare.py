"""The papers' tables with what was measured here beside them. Only measured numbers are shown, with their run."""

import dataclasses
import itertools
from pathlib import Path

from attscale import experiments, paper
from attscale.results import evaluations, files, presentation
from attscale.results.evaluations import Evaluation

NOT_RUN, NONE = "not run", "-"
COLUMNS = ("row", "paper", "release", "here", "difference", "run")
LEGEND = (
    "Per cent; differences in points, here less paper. “not run”: nobody has measured it here; for systems of others "
    "there is no net here. “-”: no number is known. A class that "
    "occurs nowhere counts as 0, as the authors average."
)

#: Each of the papers' cells to the experiment that stands for it; cells of other people's methods are not in it.
EXPERIMENT_OF = {cell: row for row in experiments.EXPERIMENTS.values() for cell in row.cells}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """One cell of a paper, and the evaluation here that stands beside it, in its folder; None: nobody measured it."""

    cell: paper.Cell
    decimals: int  # as the paper prints the table
    folder: Path | None = None
    evaluation: Evaluation | None = None

    @property
    def texts(self):
        """What stands in COLUMNS."""
        row = self.cell.row if self.cell.measure != "pixel accuracy" else f"{self.cell.row}, pixel accuracy"
        printed = self.cell.words if self.cell.value is None else f"{self.cell.value:.{self.decimals}f}"
        release = NONE if self.cell.release is None else f"{self.cell.release:.{self.decimals}f}"
        if self.evaluation is None:
            return (row, printed, release, NOT_RUN, NONE, NONE)
        share = _measured(self.evaluation, self.cell.measure)
        difference = NONE if self.cell.value is None else in_points(self.cell.value / 100, share)
        return (row, printed, release, presentation.per_cent(share), difference, str(self.folder))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """One table of a paper."""

    paper: str
    number: int
    lines: tuple[Line, ...]

    @property
    def name(self):
        return f"{title_of(self.paper)}, table {self.number}"

    @property
    def title(self):
        return paper.TITLES[self.paper, self.number]

    @property
    def measured(self):
        """How many of its lines have a result of ours."""
        return sum(line.evaluation is not None for line in self.lines)


def title_of(source):
    """A paper's title as it is written."""
    return source.title().replace(" To ", " to ")


def in_points(before, after):
    """The difference of two shares, of the numbers as they are shown in per cent, with its sign; `-` without one."""
    if before is None or after is None:
        return NONE
    return f"{round(100 * after, 2) - round(100 * before, 2) + 0.0:+.2f}"


def tables(found):
    """Every Table of both papers, in the order of print; `found` are (folder, Evaluation) pairs."""
    # section 4.1 prints differences, which only the experiments know; they follow the table that they are of
    cells = dict.fromkeys(itertools.chain(paper.cells(), EXPERIMENT_OF))
    order = list(paper.TITLES)
    in_order = sorted(cells, key=lambda cell: order.index((cell.paper, cell.table)))
    result = []
    for (source, number), group in itertools.groupby(in_order, key=lambda cell: (cell.paper, cell.table)):
        group = list(group)
        decimals = max(len(str(cell.value).partition(".")[2]) for cell in group if cell.value is not None)
        lines = tuple(_line(cell, decimals, found) for cell in group)
        result.append(Table(paper=source, number=number, lines=lines))
    return result


def _line(cell, decimals, found):
    fitting = [(folder, one) for folder, one in found if _stands_for(one, cell) and not _amiss(cell, one)]
    newest = max(fitting, key=lambda pair: Path(pair[0], evaluations.EVALUATION).stat().st_mtime, default=(None, None))
    return Line(cell=cell, decimals=decimals, folder=newest[0], evaluation=newest[1])


def _stands_for(evaluation, cell):
    """Whether it is of the cell's experiment."""
    return cell in EXPERIMENT_OF and EXPERIMENT_OF[cell] == evaluation.row


def _amiss(cell, evaluation):
    """Why an evaluation of the cell's experiment cannot stand beside it, in words; None where it can.

    It must be of all images of the cell's split, with CRF if the cell is, and never of images that the net may have
    been trained on.
    """
    dataset = EXPERIMENT_OF[cell].dataset
    split = dataset.val if cell.split == "val" else cell.split
    if evaluation.although_seen:
        return "whether it was trained on these images was not looked at (--although-seen)"
    if evaluation.split != split:
        return f"of {evaluation.split or 'no split of the data set'}, the paper's is of {split}"
    if evaluation.images != dataset.size_of(split):
        return f"of {evaluation.images} images, {split} has {dataset.size_of(split)}"
    if evaluation.crf != cell.crf:
        return (
            f"{'after' if evaluation.crf else 'before'} the CRF, the paper's is {'after' if cell.crf else 'before'} it"
        )
    return None if _measured(evaluation, cell.measure) is not None else f"has no {cell.measure}"


def left_out(compared, found):
    """(folder, why in words) of each of the (folder, Evaluation) pairs `found` that no line of the Tables shows."""
    lines = [line for table in compared for line in table.lines]
    shown = {line.folder for line in lines if line.folder is not None}
    for folder, one in found:
        if folder in shown:
            continue
        cells = [line for line in lines if _stands_for(one, line.cell)]
        reasons = [_amiss(line.cell, one) or f"{line.folder} is newer" for line in cells]
        yield folder, "; or ".join(dict.fromkeys(reasons)) or f"no cell of the papers is of {one.experiment}"


def _measured(evaluation, measure):
    """The share that one of the papers' measures names, averaged as they did; None where it was not measured."""
    if measure.startswith("IOU of "):
        return evaluation.iou.get(measure.removeprefix("IOU of "))
    return {"mean IOU": evaluation.mean_iou_of_all_classes, "pixel accuracy": evaluation.pixel_accuracy}[measure]


def _escaped(text):
    """Without what ends a column or begins HTML: a folder may be called anything."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def markdown(compared, found=()):
    """Tables as Markdown, and which of the (folder, Evaluation) pairs `found` stand in none of them."""
    parts = ["# Papers and here", "", LEGEND, ""]
    for table in compared:
        parts += [f"## {table.name}: {table.title}", ""]
        parts += [f"| {' | '.join(COLUMNS)} |", "|---|---:|---:|---:|---:|---|"]
        parts += [f"| {' | '.join(map(_escaped, line.texts))} |" for line in table.lines]
        parts.append("")
    if left := [*left_out(compared, found)]:
        parts += ["## Results that stand in no table", "", *(f"- {folder}: {why}" for folder, why in left), ""]
    return files.printable("\n".join(parts))
