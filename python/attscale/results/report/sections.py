"""The parts of a report about one run, and the papers' tables; each returns Markup, a remark where nothing is known."""

import base64
import itertools
import struct

from attscale import experiments
from attscale.errors import UserError
from attscale.results import compare
from attscale.results.report.markup import Markup, data_table, join, note, scroll, tag

SHEETS = ("attention.png", "sheet*.png", "visualize*.png")
NOT_RUN = compare.NOT_RUN
_CHUNK = 28  # classes in one column of bars


def per_cent(share):
    return "-" if share is None else f"{100 * share:.2f}"


def summary(runs):
    if not runs:
        return note("No runs: no evaluation.json and no log.jsonl below the folders that were named.")
    return join(tag("article", *_card(run), class_="card") for run in runs)


def _card(run):
    result = run.result
    row = experiments.find(result.experiment) if result else None
    yield tag(
        "p",
        tag("strong", per_cent(result.mean_iou) if result else NOT_RUN, class_=None if result else "off"),
        tag("span", "mean IOU, %" if result else "scoring"),
        class_="score",
    )
    facts = [("iterations", f"{run.log[-1][0]:,}" if run.log else "not recorded")]
    facts.append(("seed", "not recorded" if run.seed is None else run.seed))
    if result:
        facts = [
            ("experiment", result.experiment),
            ("images", f"{result.images:,}" + (f", split {result.split}" if result.split else ", split not recorded")),
            ("pixel accuracy", "not recorded" if result.pixel_accuracy is None else per_cent(result.pixel_accuracy)),
            ("mean accuracy", "not recorded" if result.mean_accuracy is None else per_cent(result.mean_accuracy)),
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


def classes(run):
    if not run.result:
        return note(f"Scoring: {NOT_RUN}.")
    items = list(run.result.iou.items())
    chunks = [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]
    return tag(
        "div",
        *(
            data_table(
                f"IOU of each class, {run.name}",
                ("class", Markup(""), "IOU, %"),
                [(name, _bar(share), per_cent(share)) for name, share in chunk],
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


def confusion(run):
    if not run.result or run.result.matrix is None:
        return note("No confusion matrix: evaluation.json has none.")
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
        tag("tbody", join(rows)),
        class_="matrix long" if long else "matrix",
    )
    text = "Per cent of each true class's pixels: a row adds up to 100. Below 0.5 the field is empty."
    return join((scroll(table, f"Confusion matrix of {run.name}"), note(text)))


def _whole(share):
    return f"{100 * share:.0f}" if share >= 0.005 else ""


def by_size(run):
    if not run.result or not run.result.attention_by_size:
        return note("Not measured: score the run with --by-size.")
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
    table = data_table(f"Mean weight of each scale by object size, {run.name}", columns, rows, "sizes", numbers)
    text = "Mean weight of each scale over an object, by the square root of the object's area."
    return join((scroll(table, f"Attention by object size, {run.name}"), note(text)))


def sheets(run):
    paths = run.images(*SHEETS)
    if not paths:
        return note("No pictures: tools/visualize.py makes them.")
    what = "a row per image: image, ground truth, prediction, and the weight of each scale where there is attention"
    return join(_figure(path, f"{path.name} of {run.name}: {what}") for path in paths)


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
        scroll(tag("img", src=source, alt=alt, width=width, height=height), path.name),
        tag("figcaption", path.name),
    )


def crf(run):
    pictures = run.images("crf*.png", "crf/crf*.png", "crf/search.png")
    parts = [note(f"CRF: {NOT_RUN}.")] if not run.crf and not pictures else []
    if run.crf:
        parts.append(_before_and_after(run))
    return join([*parts, *(_figure(path, f"{path.name} of {run.name}: {_crf_picture(path)}") for path in pictures)])


def _crf_picture(path):
    return "mean IOU by the CRF's parameters" if path.name == "search.png" else "before and after the CRF"


def _before_and_after(run):
    names = {"mean_iou": "mean IOU", "pixel_accuracy": "pixel accuracy", "mean_accuracy": "mean accuracy"}
    rows = []
    for key, name in names.items():
        before, after = getattr(run.result, key, None), getattr(run.crf, key)
        rows.append((name, before, after))
    for name, after in run.crf.iou.items():
        rows.append((name, run.result.iou.get(name) if run.result else None, after))
    texts = [
        (name, NOT_RUN if run.result is None else per_cent(before), per_cent(after), _change(before, after))
        for name, before, after in rows
    ]
    columns = ("score, %", "before", "after", "difference")
    table = data_table(f"Scores before and after the CRF, {run.name}", columns, texts, "narrow", (1, 2, 3))
    return scroll(table, f"Before and after the CRF, {run.name}")


def _change(before, after):
    if before is None or after is None:
        return compare.NONE
    return f"{round(100 * after, 2) - round(100 * before, 2) + 0.0:+.2f}"


def speed(measured):
    """Ratios of speeds, which are of a machine and not of a run."""
    if not measured:
        return note("Not measured: tools/benchmark.py data, crf or gpu, with --out.")
    columns = ("what", "images/s", "beside", "images/s", "ratio", "cores")
    rows = [(*ratio.texts, ratio.cores) for ratio in measured]
    text = "Each pair was run in turn; medians of the rounds, and the ratio's range over them."
    return join((scroll(data_table("Speeds", columns, rows, None, (1, 3, 4, 5)), "Speeds"), note(text)))


def papers(compared):
    parts = [note(compare.LEGEND)]
    for source, tables in itertools.groupby(compared, key=lambda table: table.paper):
        parts.append(tag("h3", compare.title_of(source), class_="source"))
        parts += [_paper_table(table) for table in tables]
    return join(parts)


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
        scroll(data_table(f"{table.name}: {table.title}", compare.COLUMNS, rows, "paper", (1, 2, 3, 4)), table.name),
        open=measured > 0,
    )


def _paper_row(line):
    row, printed, release, here, difference, run = line.texts
    here = tag("strong", here) if line.result else tag("span", here, class_="off")
    return row, printed, release, here, difference, tag("span", run, class_="path")
