"""Run folders as one HTML page that needs nothing else: no script, no request, images within.

The page is readable at 360 pixels, where wide tables scroll inside of their own box, and in the dark. `templates` has
it by section; here is computed what they show.
"""

import itertools
import math
import operator
import time

import jinja2

from attscale.results import compare, files, presentation
from attscale.results.report import curves
from attscale.results.report.folders import Run, find

__all__ = ["Run", "find", "page"]

_UNKNOWN = "not recorded"


def page(runs, title="Results", speeds=()):
    """The page, a str; `speeds`: each a Measured. Raises UserError for a picture that is none."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__name__),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["per_cent"] = presentation.per_cent
    environment.filters["three_decimals"] = presentation.three_decimals
    tables = compare.tables([pair for run in runs for pair in run.evaluations])
    by_paper = itertools.groupby(tables, operator.attrgetter("paper"))
    text = environment.get_template("page.html").render(
        title=title,
        written=time.strftime("%Y-%m-%d, %H:%M UTC", time.gmtime()),
        runs=runs,
        speeds=speeds,
        papers=[(compare.title_of(paper), [*group]) for paper, group in by_paper],
        compare=compare,
        chart=curves.chart,
        facts=facts,
        shares=shares,
        before_and_after=before_and_after,
        contrast=contrast,
    )
    return files.printable(text)


def facts(run):
    """What the summary says of a run, by name."""
    of_run = {
        "iterations": f"{run.log[-1][0]:,}" if run.log else _UNKNOWN,
        "seed": _UNKNOWN if run.seed is None else run.seed,
    }
    result = run.result
    if result is None:
        return of_run
    accuracies = {
        name: _UNKNOWN if (share := getattr(result, key)) is None else presentation.per_cent(share)
        for key, name in presentation.SCORES.items()
        if key != "mean_iou"  # which stands above them
    }
    return {
        "experiment": result.experiment,
        "images": f"{result.images:,}, split {result.split or _UNKNOWN}",
        **accuracies,
        **of_run,
        **({"weights": result.weights} if result.weights else {"predictions": result.predictions or _UNKNOWN}),
    }


def shares(counts):
    """The shares that a row of a confusion matrix has of its sum."""
    return [count / max(1, sum(counts)) for count in counts]


def contrast(run):
    """(class, mean recalibration on its pixels, elsewhere) of a run, by their difference; last what has none."""
    lines = [(name, *means) for name, means in run.result.recalibration.items()]
    return sorted(lines, key=lambda line: math.inf if None in line else line[2] - line[1])


def before_and_after(run):
    """(score or class, share before the CRF, share after it) of a run; None for what was not measured."""
    for key, name in presentation.SCORES.items():
        yield name, run.result and getattr(run.result, key), getattr(run.crf, key)
    for name, after in run.crf.iou.items():
        yield name, run.result and run.result.iou.get(name), after
