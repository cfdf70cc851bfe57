"""Run folders as one HTML page that needs nothing else: no script, no request, images within.

The page is readable at 360 pixels, where wide tables scroll inside of their own box, and in the dark.
"""

import base64
import dataclasses
import html
import itertools
import math
import struct
import time
from pathlib import Path

from attscale import compare, experiments, journal, results
from attscale.errors import UserError

SHEETS = ("attention.png", "sheet*.png", "visualize*.png")
NOT_RUN = compare.NOT_RUN
_POINTS = 120  # of a curve, at most: more is noise at the size of the page
_CHUNK = 28  # classes in one column of bars


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """A folder with a log, an evaluation, or both."""

    folder: Path
    result: results.Result | None
    crf: results.Result | None
    log: tuple  # (iteration, {head: loss}), ever later
    seed: int | None

    @property
    def name(self):
        return _clean(str(self.folder if self.folder.name else self.folder.resolve()))

    def images(self, *patterns):
        """Paths of the pictures that `patterns` match, each once."""
        return list(dict.fromkeys(path for pattern in patterns for path in sorted(self.folder.glob(pattern))))


def find(folders=()):
    """The Runs in and below `folders` (default: `runs`). Raises UserError for what is broken, file and key."""
    found = {result.path.parent: result for result in results.find(folders)}
    at = {*found, *(path.parent for path in results.files(folders, journal.LOG))}
    at = {folder for folder in at if not (folder.name == "crf" and folder.parent in at)}
    return [
        Run(
            folder=folder,
            result=found.get(folder),
            crf=found.get(folder / "crf"),
            log=tuple(_losses(folder)),
            seed=_seed(folder / "run.json"),
        )
        for folder in sorted(at)
    ]


def _losses(folder):
    before = 0
    for record in journal.read(folder):
        path = folder / journal.LOG
        if not isinstance(record, dict) or type(record.get("iteration")) is not int or record["iteration"] < before:
            raise UserError(f"{path}: {record!r:.60}: expected a record with the key 'iteration', ever later")
        before = record["iteration"]
        losses = record.get("losses")
        if losses is None:  # a score during training
            continue
        if not isinstance(losses, dict) or not all(_is_number(loss) for loss in losses.values()):
            raise UserError(f"{path}: iteration {before}: the key 'losses' is {losses!r:.60}, expected numbers by head")
        yield before, losses


def _is_number(value):
    return type(value) in (int, float) and math.isfinite(value)


def _seed(path):
    """The seed in a run's record; 0 is the record's own default. None: there is no record."""
    if not path.exists():
        return None
    record = results.read_json(path)
    options = record.get("options") if isinstance(record, dict) else None
    seed = options.get("seed", 0) if isinstance(options, dict) else None
    if type(seed) is not int:
        raise UserError(f"{path}: the key 'options' is {options!r:.60}, expected an object with the number 'seed'")
    return seed


class Markup(str):
    """Text that is HTML already; all other text is escaped when it becomes part of an element."""


def tag(name, /, *children, **attributes):
    """An element; `class_` is the attribute class. A child or attribute that is None or False is left out."""
    parts = [f"<{name}"]
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            parts.append(f" {key}")
        elif value is not None and value is not False:
            parts.append(f' {key}="{html.escape(_clean(str(value)))}"')
    parts.append(">")
    parts += [child if isinstance(child, Markup) else html.escape(_clean(str(child))) for child in _present(children)]
    if name not in ("img", "meta", "link"):
        parts.append(f"</{name}>")
    return Markup("".join(parts))


def _present(children):
    return [child for child in children if child is not None and child is not False]


def _join(parts):
    return Markup("\n".join(parts))


def _clean(text):
    """Without what UTF-8 cannot hold: names of files may have it."""
    return text.encode("utf-8", "replace").decode()


def page(runs, title="Results"):
    """The page, a str. Raises UserError for a picture that is none."""
    table = compare.tables([result for run in runs for result in (run.result, run.crf) if result])
    sections = [
        ("summary", "Summary", _summary(runs)),
        ("losses", "Losses", _each(runs, _loss_chart)),
        ("classes", "Classes", _each(runs, _classes)),
        ("confusion", "Confusion", _each(runs, _confusion)),
        ("sizes", "Attention by size", _each(runs, _by_size)),
        ("sheets", "Pictures", _each(runs, _sheets)),
        ("crf", "CRF", _each(runs, _crf)),
        ("paper", "Papers", _paper(table)),
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
        Markup(f"<style>{_style()}</style>"),
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
                tag("ul", _join(tag("li", tag("a", name, href=f"#{key}")) for key, name, _ in sections)),
                aria_label="Sections",
            ),
        ),
        tag(
            "main",
            _join(
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
        return _note("No runs.")
    named = len(runs) > 1  # the summary has named the only one
    return _join(
        tag("article", named and tag("h3", tag("span", run.name, class_="path")), part(run), class_="run")
        for run in runs
    )


def _note(text):
    return tag("p", text, class_="note")


def _scroll(table, label):
    """A box that scrolls when its table is wider than the page, by keyboard too."""
    return tag("div", table, class_="scroll", role="region", aria_label=label, tabindex=0)


def _table(caption, columns, rows, class_=None, numbers=()):
    """A table; the first text of each row is its header. numbers: the indices of columns aligned on the right."""
    kind = ["n" if index in numbers else None for index in range(len(columns))]
    header = [tag("th", text, scope="col", class_=kind[i]) for i, text in enumerate(columns)]
    body = [
        tag("tr", tag("th", row[0], scope="row"), *(tag("td", row[i], class_=kind[i]) for i in range(1, len(row))))
        for row in rows
    ]
    return tag(
        "table",
        tag("caption", caption, class_="hidden"),
        tag("thead", tag("tr", *header)),
        tag("tbody", _join(body)),
        class_=class_,
    )


def _per_cent(share):
    return "-" if share is None else f"{100 * share:.2f}"


def _summary(runs):
    if not runs:
        return _note("No runs: no evaluation.json and no log.jsonl below the folders that were named.")
    return _join(tag("article", *_card(run), class_="card") for run in runs)


def _card(run):
    result = run.result
    row = experiments.find(result.experiment) if result else None
    yield tag(
        "p",
        tag("strong", _per_cent(result.mean_iou) if result else NOT_RUN, class_=None if result else "off"),
        tag("span", "mean IOU, %" if result else "scoring"),
        class_="score",
    )
    facts = [("iterations", f"{run.log[-1][0]:,}" if run.log else "not recorded")]
    facts.append(("seed", "not recorded" if run.seed is None else run.seed))
    if result:
        facts = [
            ("experiment", result.experiment),
            ("images", f"{result.images:,}" + (f", split {result.split}" if result.split else ", split not recorded")),
            ("pixel accuracy", "not recorded" if result.pixel_accuracy is None else _per_cent(result.pixel_accuracy)),
            ("mean accuracy", "not recorded" if result.mean_accuracy is None else _per_cent(result.mean_accuracy)),
            *facts,
        ]
        source = ("weights", result.weights) if result.weights else ("predictions", result.predictions)
        facts.append((source[0], tag("span", source[1] or "not recorded", class_="path")))
    yield tag(
        "div",
        tag("h3", tag("span", run.name, class_="path")),
        row and tag("p", row.title, class_="note"),
        tag("dl", *(tag("div", tag("dt", name), tag("dd", text), class_=name) for name, text in facts)),
    )


def head_title(head):
    """What people call a loss: loss_fusion is the merged one, loss scale 1's, loss_res075 scale 0.75's."""
    name, _, digits = head.partition("_res0")
    if name == "loss" and digits.isdecimal():
        return f"scale 0.{digits}"
    return {"loss": "scale 1", "loss_fusion": "merged"}.get(head, head)


def _heads(log):
    """The heads of a log, merged first, then ever coarser; each with its class of colour."""
    heads = list(dict.fromkeys(head for _, losses in log for head in losses))
    order = {"loss_fusion": "~", "loss": "scale 1"}  # sorted backwards: the merged one is first
    heads.sort(key=lambda head: order.get(head, head_title(head)), reverse=True)
    scales = [head for head in heads if head != "loss_fusion"]
    return {head: "m" if head == "loss_fusion" else f"s{scales.index(head) % 4}" for head in heads}


def _loss_chart(run):
    if not run.log:
        return _note("No log.jsonl with losses.")
    width = -(-len(run.log) // _POINTS)
    curves = {}
    for head in _heads(run.log):
        values = [(iteration, losses[head]) for iteration, losses in run.log if head in losses]
        groups = [values[start : start + width] for start in range(0, len(values), width)]
        curves[head] = [tuple(sum(column) / len(group) for column in zip(*group, strict=True)) for group in groups]
    last = max(1, run.log[-1][0])
    top = max(loss for curve in curves.values() for _, loss in curve)
    return tag(
        "div",
        _plot(curves, _heads(run.log), last, top),
        _table(
            f"Losses of {run.name}",
            ("head", "first", "last"),
            [
                (
                    tag("span", _swatch(kind), head_title(head)),
                    f"{curves[head][0][1]:.3f}",
                    f"{curves[head][-1][1]:.3f}",
                )
                for head, kind in _heads(run.log).items()
            ],
            numbers=(1, 2),
            class_="legend",
        ),
        tag(
            "p",
            f"Cross entropy of each head over {last:,} iterations"
            + (f"; a point is the mean of {width} records of the log." if width > 1 else "."),
            class_="note wide",
        ),
        class_="pair",
    )


def _swatch(kind):
    line = tag("line", x1=0, y1=4, x2=22, y2=4, class_=kind)
    return tag("svg", line, class_="swatch", viewBox="0 0 22 8", aria_hidden="true")


def _plot(curves, kinds, last, top):
    """Curves without text: SVG stretched to its box, so that the labels around it keep the size of text."""
    x_step, y_step = _step(last, 6), _step(top, 4)
    top = max(y_step * math.ceil(top / y_step - 1e-9), y_step)
    x_ticks = [x_step * i for i in range(math.floor(last / x_step + 1e-9) + 1)]
    y_ticks = [y_step * i for i in range(round(top / y_step) + 1)]
    decimals = max(0, -math.floor(math.log10(y_step) + 1e-9))
    lines = [
        tag("line", x1=0, x2=100, y1=f"{100 - 100 * y / top:.2f}", y2=f"{100 - 100 * y / top:.2f}") for y in y_ticks
    ]
    for head, curve in reversed(curves.items()):  # the merged one is drawn over the others
        points = " ".join(f"{100 * x / last:.2f},{100 - 100 * y / top:.2f}" for x, y in curve)
        lines.append(tag("polyline", points=points, class_=kinds[head]))
    said = ", ".join(f"{head_title(head)} from {c[0][1]:.3f} to {c[-1][1]:.3f}" for head, c in curves.items())
    labels = [tag("span", f"{y:.{decimals}f}", class_="y", style=f"bottom:{100 * y / top:.2f}%") for y in y_ticks]
    labels += [tag("span", f"{x:,.0f}", class_="x", style=f"left:{100 * x / last:.2f}%") for x in x_ticks]
    return tag(
        "div",
        tag(
            "svg",
            *lines,
            viewBox="0 0 100 100",
            preserveAspectRatio="none",
            role="img",
            aria_label=f"Loss over {last} iterations: {said}",
        ),
        tag("div", *labels, aria_hidden="true"),
        class_="plot",
    )


def _step(top, ticks):
    """1, 2 or 5 times a power of ten: as many steps as fit into `top`, about `ticks`."""
    if top <= 0:
        return 1
    power = 10 ** math.floor(math.log10(top / ticks))
    return next(power * factor for factor in (1, 2, 5, 10) if top / (power * factor) <= ticks)


def _classes(run):
    if not run.result:
        return _note(f"Scoring: {NOT_RUN}.")
    items = list(run.result.iou.items())
    chunks = [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]
    return tag(
        "div",
        *(
            _table(
                f"IOU of each class, {run.name}",
                ("class", Markup(""), "IOU, %"),
                [(name, _bar(share), _per_cent(share)) for name, share in chunk],
                numbers=(2,),
                class_="bars",
            )
            for chunk in chunks
        ),
        class_="columns" if len(chunks) > 1 else None,
    )


def _bar(share):
    filled = tag("span", style=f"width:{100 * (share or 0):.2f}%")
    return tag("span", filled, class_="bar", aria_hidden="true")


def _confusion(run):
    if not run.result or run.result.matrix is None:
        return _note("No confusion matrix: evaluation.json has none.")
    classes = list(run.result.iou)
    rows = []
    for name, counts in zip(classes, run.result.matrix, strict=True):
        total = sum(counts)
        shares = [count / total if total else 0 for count in counts]
        cells = [tag("td", _whole(share), class_=f"q{round(10 * share)}") for share in shares]
        rows.append(tag("tr", tag("th", name, scope="row"), *cells))
    long = len(classes) > 8
    table = tag(
        "table",
        tag("caption", f"Confusion matrix of {run.name}", class_="hidden"),
        tag(
            "thead",
            tag(
                "tr",
                tag("td", "truth ↓ predicted →"),
                *(tag("th", tag("span", name), scope="col") for name in classes),
            ),
        ),
        tag("tbody", _join(rows)),
        class_="matrix long" if long else "matrix",
    )
    note = "Per cent of each true class's pixels: a row adds up to 100. Below 0.5 the field is empty."
    return _join((_scroll(table, f"Confusion matrix of {run.name}"), _note(note)))


def _whole(share):
    return f"{100 * share:.0f}" if share >= 0.005 else ""


def _by_size(run):
    if not run.result or not run.result.attention_by_size:
        return _note("Not measured: score the run with --by-size.")
    scales = [f"scale {float(scale):g}" for scale in experiments.find(run.result.experiment).scales]
    rows = []
    for low, high, count, weights in run.result.attention_by_size:
        parts = [
            tag("span", class_=f"s{s % 4}", style=f"width:{100 * weight:.2f}%") for s, weight in enumerate(weights)
        ]
        bar = tag("span", *parts, class_="bar stack", aria_hidden="true")
        rows.append((f"{low:g} to {high:g}", f"{count:,.0f}", bar, *(f"{weight:.2f}" for weight in weights)))
    keys = [tag("span", tag("span", class_=f"key s{s % 4}"), name) for s, name in enumerate(scales)]
    numbers = (1, *range(3, 3 + len(scales)))
    columns = ("size, pixels", "objects", Markup(""), *keys)
    table = _table(f"Mean weight of each scale by object size, {run.name}", columns, rows, "sizes", numbers)
    note = "Mean weight of each scale over an object, by the square root of the object's area."
    return _join((_scroll(table, f"Attention by object size, {run.name}"), _note(note)))


def _sheets(run):
    paths = run.images(*SHEETS)
    if not paths:
        return _note("No pictures: tools/visualize.py makes them.")
    what = "a row per image: image, ground truth, prediction, and the weight of each scale where there is attention"
    return _join(_figure(path, f"{path.name} of {run.name}: {what}") for path in paths)


def _figure(path, alt):
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) < 24 or not data.startswith(b"\x89PNG\r\n\x1a\n"):
        raise UserError(f"{path}: not a PNG")
    width, height = struct.unpack(">II", data[16:24])
    source = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return tag(
        "figure",
        _scroll(tag("img", src=source, alt=alt, width=width, height=height), path.name),
        tag("figcaption", path.name),
    )


def _crf(run):
    pictures = run.images("crf*.png", "crf/crf*.png")
    parts = [_note(f"CRF: {NOT_RUN}.")] if not run.crf and not pictures else []
    if run.crf:
        parts.append(_before_and_after(run))
    return _join(
        [*parts, *(_figure(path, f"{path.name} of {run.name}: before and after the CRF") for path in pictures)]
    )


def _before_and_after(run):
    names = {"mean_iou": "mean IOU", "pixel_accuracy": "pixel accuracy", "mean_accuracy": "mean accuracy"}
    rows = []
    for key, name in names.items():
        before, after = getattr(run.result, key, None), getattr(run.crf, key)
        rows.append((name, before, after))
    for name, after in run.crf.iou.items():
        rows.append((name, run.result.iou.get(name) if run.result else None, after))
    texts = [
        (name, NOT_RUN if run.result is None else _per_cent(before), _per_cent(after), _change(before, after))
        for name, before, after in rows
    ]
    columns = ("score, %", "before", "after", "difference")
    table = _table(f"Scores before and after the CRF, {run.name}", columns, texts, "narrow", (1, 2, 3))
    return _scroll(table, f"Before and after the CRF, {run.name}")


def _change(before, after):
    if before is None or after is None:
        return compare.NONE
    return f"{round(100 * after, 2) - round(100 * before, 2) + 0.0:+.2f}"


def _paper(compared):
    parts = [_note(compare.LEGEND)]
    for source, tables in itertools.groupby(compared, key=lambda table: table.paper):
        parts.append(tag("h3", compare.title_of(source), class_="source"))
        parts += [_paper_table(table) for table in tables]
    return _join(parts)


def _paper_table(table):
    """A table folded up, unless something in it was measured."""
    measured = sum(line.result is not None for line in table.lines)
    rows = [_paper_row(line) for line in table.lines]
    return tag(
        "details",
        tag(
            "summary",
            tag("h4", f"Table {table.number}"),
            tag("span", table.title),
            tag("span", f"{measured} of {len(table.lines)} measured", class_="count"),
        ),
        _scroll(_table(f"{table.name}: {table.title}", compare.COLUMNS, rows, "paper", (1, 2, 3, 4)), table.name),
        open=measured > 0,
    )


def _paper_row(line):
    row, printed, release, here, difference, run = line.texts
    here = tag("strong", here) if line.result else tag("span", here, class_="off")
    return row, printed, release, here, difference, tag("span", run, class_="path")


def _style():
    dark = _shades(lambda tenth: 9 * tenth + (15 if tenth >= 5 else 0) - (5 if tenth == 10 else 0), 5)
    light = _shades(lambda tenth: (10 if tenth >= 8 else 9) * tenth, 8)
    return f"{_CSS}\n{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n"


def _shades(mix, strong):
    """Rules for the tenths of a confusion matrix: `mix` is a tenth's share of the accent in per cent.

    From the tenth `strong` on the text changes its colour: so its contrast stays above 4.5 everywhere.
    """
    rules = []
    for tenth in range(1, 11):
        color = "color: var(--on-strong); " if tenth >= strong else ""
        share = f"background: color-mix(in srgb, var(--accent) {mix(tenth)}%, var(--track));"
        rules.append(f".matrix td.q{tenth} {{ {color}{share} }}")
    return "\n".join(rules)


_CSS = """
:root {
  color-scheme: light dark;
  --paper: #fcfbf9; --sheet: #ffffff; --ink: #1d2126; --soft: #5c6470; --rule: #e2dfd8; --track: #ecebe6;
  --accent: #1f5c7a; --m: #1d2126; --s0: #1f6f9c; --s1: #b5651d; --s2: #4b7f52; --s3: #86659c;
  --on-strong: #ffffff;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15181b; --sheet: #1b1f23; --ink: #e7e5e0; --soft: #a2a9b2; --rule: #30353b; --track: #2a2f34;
    --accent: #86bddb; --m: #f3f1ec; --s0: #6fb3dc; --s1: #dd9a5b; --s2: #86bd8c; --s3: #b99ad0;
    --on-strong: #10161a;
  }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body {
  margin: 0 auto; max-width: 62rem; padding: 0 1.25rem 5rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
}
h1, h2, h3, h4 { line-height: 1.25; font-weight: 650; margin: 0; text-wrap: balance; }
h1 { font-size: clamp(1.7rem, 1.3rem + 2vw, 2.4rem); letter-spacing: -0.02em; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; letter-spacing: -0.01em; }
h3 { font-size: 1rem; }
p { margin: 0; }
a { color: var(--accent); text-underline-offset: 0.2em; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.skip { position: absolute; left: -999rem; }
.skip:focus { left: 1rem; top: 1rem; background: var(--sheet); padding: 0.5rem 1rem; }
header { padding: 3rem 0 1.5rem; }
header p { color: var(--soft); margin-top: 0.5rem; }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: 0.35rem 1.25rem; padding: 0; margin: 1.25rem 0 0; }
nav a { text-decoration: none; display: inline-block; padding: 0.15rem 0; }
nav a:hover { text-decoration: underline; }
section { border-top: 1px solid var(--rule); padding-top: 2rem; margin-top: 3rem; scroll-margin-top: 0.5rem; }
section > h2 { margin-bottom: 1.25rem; }
header + main > section:first-child { margin-top: 0; }
.run + .run { margin-top: 2.75rem; }
.run > h3 { color: var(--soft); font-weight: 500; font-size: 0.9rem; margin-bottom: 0.9rem; }
.path { font-family: ui-monospace, "SF Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: 0.9em;
  overflow-wrap: anywhere; }
.note { color: var(--soft); font-size: 0.9rem; max-width: 42rem; overflow-wrap: anywhere; }
.off { color: var(--soft); }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }

.card { display: grid; grid-template-columns: 11rem minmax(0, 1fr); gap: 0.5rem 2rem; }
.card + .card { margin-top: 2.5rem; }
.score strong { display: block; font-size: 3.2rem; line-height: 1; font-weight: 650; letter-spacing: -0.03em;
  font-variant-numeric: tabular-nums; }
.score strong.off { font-size: 1.7rem; line-height: 1.9; letter-spacing: 0; }
.score span { color: var(--soft); font-size: 0.9rem; display: block; margin-top: 0.4rem; }
.card dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(12.5rem, 1fr)); gap: 0.9rem 1.5rem;
  margin: 1rem 0 0; }
.card .weights, .card .predictions { grid-column: 1 / -1; }
dt { color: var(--soft); font-size: 0.8rem; }
dd { margin: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }

.scroll { overflow-x: auto; max-width: 100%; position: relative; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; position: relative; }
th, td { text-align: left; font-weight: 400; padding: 0.32rem 1rem 0.32rem 0; vertical-align: middle; }
th:last-child, td:last-child { padding-right: 0; }
thead th { color: var(--soft); font-size: 0.8rem; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th.n, td.n { text-align: right; white-space: nowrap; }
tbody tr + tr > * { border-top: 1px solid color-mix(in srgb, var(--rule) 55%, transparent); }

.pair { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: 0.5rem 2.5rem; align-items: start; }
.pair > .wide { grid-column: 1 / -1; }
.plot { position: relative; height: 17rem; margin: 0.5rem 1.25rem 1.75rem 2.4rem; }
.plot svg { display: block; width: 100%; height: 100%; overflow: visible; }
.plot line, .plot polyline, .swatch line { vector-effect: non-scaling-stroke; fill: none; stroke-width: 1.5;
  stroke-linejoin: round; }
.plot line { stroke: var(--rule); stroke-width: 1; }
.plot span { position: absolute; color: var(--soft); font-size: 0.75rem; line-height: 1;
  font-variant-numeric: tabular-nums; }
.plot .y { right: 100%; transform: translateY(50%); padding-right: 0.6rem; }
.plot .x { top: 100%; transform: translateX(-50%); padding-top: 0.6rem; }
.swatch { width: 22px; height: 8px; margin-right: 0.6rem; vertical-align: middle; }
polyline.m, line.m { stroke: var(--m); stroke-width: 2.25 !important; }
polyline.s0, line.s0 { stroke: var(--s0); } polyline.s1, line.s1 { stroke: var(--s1); stroke-dasharray: 7 3; }
polyline.s2, line.s2 { stroke: var(--s2); stroke-dasharray: 2 3; }
polyline.s3, line.s3 { stroke: var(--s3); stroke-dasharray: 9 3 2 3; }

.bars { width: 100%; max-width: 44rem; table-layout: fixed; }
.bars th { overflow-wrap: anywhere; }
.bars thead th:first-child { width: 8.5rem; }
.bars thead th:last-child { width: 4rem; }
.columns { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(18rem, 100%), 1fr)); gap: 1.5rem 2.5rem;
  align-items: start; }
.bar { display: flex; height: 0.6rem; min-width: 4rem; background: var(--track); border-radius: 2px; overflow: hidden; }
.bar span { background: var(--accent); }
.stack { width: 14rem; }
.bar .s0, .key.s0 { background: var(--s0); } .bar .s1, .key.s1 { background: var(--s1); }
.bar .s2, .key.s2 { background: var(--s2); } .bar .s3, .key.s3 { background: var(--s3); }
.key { display: inline-block; width: 0.65rem; height: 0.65rem; border-radius: 2px; margin-right: 0.4rem; }
.sizes th, .sizes td { white-space: nowrap; }
.sizes + .note, .scroll + .note { margin-top: 0.75rem; }

.matrix { border-collapse: separate; border-spacing: 2px; font-size: 0.85rem; }
.matrix tr > * { border: 0 !important; padding: 0; }
.matrix th[scope=row] { padding-right: 0.6rem; white-space: nowrap; position: sticky; left: 0; background: var(--paper);
  z-index: 1; text-align: right; }
.matrix thead th { text-align: center; padding: 0 0.2rem 0.3rem; vertical-align: bottom; }
.matrix thead td { color: var(--soft); font-size: 0.75rem; vertical-align: bottom; padding: 0 0.6rem 0.3rem 0;
  white-space: nowrap; text-align: right; }
.matrix tbody td { min-width: 3.6rem; height: 2.4rem; text-align: center; border-radius: 3px;
  background: var(--track); }
.matrix.long tbody td { min-width: 2rem; height: 1.7rem; font-size: 0.75rem; }
.matrix.long thead span { writing-mode: vertical-rl; transform: rotate(180deg); }
.matrix.long thead td { white-space: normal; }

figure { margin: 0; }
figure + figure { margin-top: 2rem; }
figure img { display: block; width: 100%; min-width: 40rem; height: auto; background: #ffffff; border-radius: 4px; }
figcaption { color: var(--soft); font-size: 0.8rem; margin-top: 0.5rem; overflow-wrap: anywhere; }

details { border-bottom: 1px solid var(--rule); padding: 0.75rem 0; }
.source { margin: 2rem 0 0.6rem; }
.source + details { border-top: 1px solid var(--rule); }
summary { display: grid; grid-template-columns: 6rem minmax(0, 1fr) auto; gap: 0 1rem; align-items: baseline;
  cursor: pointer; list-style: none; }
summary::-webkit-details-marker { display: none; }
summary h4::before { content: "+"; display: inline-block; width: 1.1rem; color: var(--soft); font-weight: 400; }
details[open] > summary h4::before { content: "\\2212"; }
summary h4 { font-size: 0.95rem; }
summary span { color: var(--soft); font-size: 0.9rem; }
details > .scroll { margin: 0.9rem 0 0.5rem; }
.paper { width: 100%; }
.paper th[scope=row] { min-width: 13rem; }
.paper td.n:nth-child(2) { white-space: normal; min-width: 6rem; }
.paper td:last-child, .paper th:last-child { padding-left: 1rem; }
.paper td:last-child { min-width: 9rem; }

@media (max-width: 44rem) {
  header { padding-top: 2rem; }
  .card { grid-template-columns: minmax(0, 1fr); gap: 1.25rem; }
  .card dl { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .card .experiment { grid-column: 1 / -1; }
  .pair { grid-template-columns: minmax(0, 1fr); }
  .plot { height: 13rem; }
  summary { grid-template-columns: minmax(0, 1fr) auto; }
  summary > span:nth-child(2) { grid-row: 2; grid-column: 1 / -1; padding-left: 1.1rem; }
  .matrix tbody td { min-width: 2.6rem; }
  .stack { width: 6rem; }
  th, td { padding-right: 0.7rem; }
}
@media print { body { max-width: none; } nav, .skip { display: none; } .scroll { overflow: visible; } }
"""
