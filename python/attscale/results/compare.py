"""The papers' tables with what was measured here beside them. Only measured numbers are shown, with their run."""

import dataclasses
import itertools

from attscale import experiments, paper
from attscale.results import evaluations

NOT_RUN, NONE = "not run", "-"
COLUMNS = ("row", "paper", "release", "here", "difference", "run")
LEGEND = (
    "Per cent; differences in points, here less paper. “not run”: nobody has measured it here; for systems of others "
    "and Attention to Refine there is no net here. “-”: no number is known."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """One cell of a paper, and the result here that stands beside it."""

    cell: paper.Cell
    decimals: int  # as the paper prints the table
    result: evaluations.Result | None

    @property
    def row(self):
        return self.cell.row if self.cell.measure != "pixel accuracy" else f"{self.cell.row}, pixel accuracy"

    @property
    def printed(self):
        return self.cell.words if self.cell.value is None else f"{self.cell.value:.{self.decimals}f}"

    @property
    def release(self):
        return NONE if self.cell.release is None else f"{self.cell.release:.{self.decimals}f}"

    @property
    def measured(self):
        """Per cent, to two decimals; None where there is no result."""
        return None if self.result is None else round(100 * self.result.score(self.cell.measure), 2)

    @property
    def here(self):
        if self.measured is not None:
            return f"{self.measured:.2f}"
        return NOT_RUN

    @property
    def difference(self):
        """Of the numbers as they are shown, with its sign."""
        if self.measured is None or self.cell.value is None:
            return NONE
        return f"{round(self.measured - self.cell.value, 2) + 0.0:+.2f}"

    @property
    def run(self):
        if self.result is None:
            return NONE
        return str(self.result.path.parent).encode("utf-8", "replace").decode()  # a name need not be UTF-8

    @property
    def texts(self):
        """What stands in COLUMNS."""
        return (self.row, self.printed, self.release, self.here, self.difference, self.run)


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


def title_of(source):
    """A paper's title as it is written."""
    return source.title().replace(" To ", " to ")


def tables(found):
    """Every Table of both papers, in the order of print; `found` are Results."""
    # section 4.1 prints differences, which only the rows know; they follow the table that they are of
    cells = [*paper.cells()]
    cells += [cell for row in experiments.EXPERIMENTS.values() for cell in row.cells if cell not in cells]
    order = list(paper.TITLES)
    cells.sort(key=lambda cell: order.index((cell.paper, cell.table)))
    result = []
    for (source, number), group in itertools.groupby(cells, key=lambda cell: (cell.paper, cell.table)):
        group = list(group)
        decimals = max(len(str(cell.value).partition(".")[2]) for cell in group if cell.value is not None)
        lines = [Line(cell=cell, decimals=decimals, result=evaluations.beside(cell, found)) for cell in group]
        result.append(Table(paper=source, number=number, lines=tuple(lines)))
    return result


def markdown(compared):
    """Tables as Markdown."""
    parts = ["# Papers and here", "", LEGEND.replace("“", '"').replace("”", '"'), ""]
    for table in compared:
        parts += [f"## {table.name}: {table.title}", "", _line(COLUMNS), "|---|---:|---:|---:|---:|---|"]
        parts += [_line(line.texts) for line in table.lines]
        parts.append("")
    return "\n".join(parts)


def _line(texts):
    """A table's line. Markdown takes < for HTML and | for a column's end, and a folder may be called anything."""
    escaped = (text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|") for text in texts)
    return f"| {' | '.join(' '.join(text.split()) for text in escaped)} |"
