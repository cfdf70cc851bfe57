"""Run folders as one HTML page that needs nothing else: no script, no request, images within.

The page is readable at 360 pixels, where wide tables scroll inside of their own box, and in the dark.
"""

import time

from attscale.results import compare
from attscale.results.report.curves import head_title, loss_chart
from attscale.results.report.folders import Run, find
from attscale.results.report.markup import Markup, join, note, tag
from attscale.results.report.sections import by_size, classes, confusion, crf, papers, sheets, speed, summary
from attscale.results.report.style import style

__all__ = ["Run", "find", "head_title", "page"]


def page(runs, title="Results", speeds=()):
    """The page, a str; `speeds` are Ratios. Raises UserError for a picture that is none."""
    compared = compare.tables([result for run in runs for result in (run.result, run.crf) if result])
    sections = [
        ("summary", "Summary", summary(runs)),
        ("losses", "Losses", _each(runs, loss_chart)),
        ("classes", "Classes", _each(runs, classes)),
        ("confusion", "Confusion", _each(runs, confusion)),
        ("sizes", "Attention by size", _each(runs, by_size)),
        ("sheets", "Pictures", _each(runs, sheets)),
        ("crf", "CRF", _each(runs, crf)),
        ("speeds", "Speed", speed(speeds)),
        ("paper", "Papers", papers(compared)),
    ]
    written = time.strftime("%Y-%m-%d, %H:%M UTC", time.gmtime())
    scored = sum(run.result is not None for run in runs)
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        # the page keeps its word: a browser refuses whatever it might ask for
        tag(
            "meta",
            http_equiv="Content-Security-Policy",
            content="default-src 'none'; style-src 'unsafe-inline'; img-src data:",
        ),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        Markup(f"<style>{style()}</style>"),
    )
    body = tag(
        "body",
        tag("a", "Skip to the results", href="#summary", class_="skip"),
        tag(
            "header",
            tag("h1", title),
            tag("p", f"{_count(len(runs), 'run')}, {scored} scored. Written {written}."),
            tag(
                "nav",
                tag("ul", join(tag("li", tag("a", name, href=f"#{key}")) for key, name, _ in sections)),
                aria_label="Sections",
            ),
        ),
        tag(
            "main",
            join(
                tag("section", tag("h2", name, id=f"{key}-title"), content, id=key, aria_labelledby=f"{key}-title")
                for key, name, content in sections
            ),
        ),
    )
    return "<!DOCTYPE html>\n" + tag("html", head, body, lang="en") + "\n"


def _count(number, noun):
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _each(runs, part):
    """One part for each run; those that have nothing to show say so."""
    if not runs:
        return note("No runs.")
    named = len(runs) > 1  # the summary has named the only one
    return join(
        tag("article", named and tag("h3", tag("span", run.name, class_="path")), part(run), class_="run")
        for run in runs
    )
