"""An Evaluation for people: tables in Markdown, lines for a terminal, pictures."""

from pathlib import Path

import numpy as np

#: The scores of all classes together, by what people call them.
SCORES = {"mean_iou": "mean IOU", "pixel_accuracy": "pixel accuracy", "mean_accuracy": "mean accuracy"}
#: A class's two means of `Evaluation.recalibration`, as columns.
RECALIBRATION = ("recalibration on its pixels", "elsewhere")
#: The mean IOU of `Evaluation.iou_by_size`, as a column.
FOREGROUND = "foreground IOU, %"


def markdown(evaluation):
    """The scores as Markdown tables, per cent."""
    title = " ".join(filter(None, (evaluation.experiment, evaluation.split, "with CRF" if evaluation.crf else "")))
    lines = [f"# {title}", "", f"{evaluation.images} images"]
    lines += _table(["score", "%"], [(name, per_cent(getattr(evaluation, key))) for key, name in SCORES.items()])
    rows = [
        (name, per_cent(iou), *map(three_decimals, evaluation.recalibration.get(name, ())))
        for name, iou in evaluation.iou.items()
    ]
    lines += _table(["class", "IOU, %", *(RECALIBRATION if evaluation.recalibration else ())], rows)
    scales = [f"scale {scale:g}" for scale in evaluation.scales]
    if evaluation.sizes:
        columns = ["object size, px", "objects", FOREGROUND, *(scales if evaluation.attention_by_size else ())]
        rows = [
            (f"{low} to {high}", str(count), per_cent(iou), *map(three_decimals, weights))
            for low, high, count, iou, weights in evaluation.sizes
        ]
        lines += _table(columns, rows)
    none = (None,) * len(scales)
    for title, weighed in (
        ("weights on a class", evaluation.attention_by_class.items()),
        ("weights by height, % from the top", evaluation.bands),
    ):
        if weighed:
            rows = [(name, *map(three_decimals, weights or none)) for name, weights in weighed]
            lines += _table([title, *scales], rows)
    return "\n".join(lines) + "\n"


def text(evaluation):
    """The scores as lines for a terminal, per cent, mean IOU last."""
    lines = [f"{'class':20} {'IOU, %':>6}   {', '.join(RECALIBRATION)}"] if evaluation.recalibration else []
    for name, iou in evaluation.iou.items():
        factors = "  ".join(f"{three_decimals(mean):>6}" for mean in evaluation.recalibration.get(name, ()))
        lines.append(f"{name:20} {per_cent(iou):>6}   {factors}".rstrip())
    if evaluation.sizes:
        scales = "".join(f"  scale {s:<4g}" for s in evaluation.scales) if evaluation.attention_by_size else ""
        lines += ["", f"object size (px)  objects  {FOREGROUND}{scales}".rstrip()]
    for low, high, count, iou, weights in evaluation.sizes:
        line = f"{low:6} to {high:<6}  {count:7}  {per_cent(iou):>{len(FOREGROUND)}}"
        lines.append(line + "".join(f"  {weight:<10.3f}" for weight in weights).rstrip())
    lines += ["", f"{f'{next(iter(evaluation.iou))} alone':20} {per_cent(evaluation.mean_iou_of_all_background):>6}"]
    lines += [f"scale {s:<6} alone   {per_cent(iou):>6}" for s, iou in evaluation.mean_iou_of_branches.items()]
    if evaluation.attention is not None:
        weights = zip(evaluation.scales, evaluation.attention, strict=True)
        lines.append("attention, mean      " + ", ".join(f"scale {s:g}: {w:.3f}" for s, w in weights))
    if None in evaluation.iou.values():
        lines.append(f"absent classes as 0  {per_cent(evaluation.mean_iou_of_all_classes):>6}   as the authors average")
    for key in ("pixel_accuracy", "mean_accuracy", "mean_iou"):
        lines.append(f"{SCORES[key]:20} {per_cent(getattr(evaluation, key)):>6}")
    return "\n".join(lines) + f"   {evaluation.experiment}, {evaluation.images} images"


def draw(evaluation, folder):
    """Draws confusion.png and, where they were measured, attention_by_size.png and attention_by_height.png."""
    from attscale import plots  # matplotlib, which nobody else here waits for

    plots.confusion(Path(folder, "confusion.png"), np.array(evaluation.matrix), list(evaluation.iou))
    by_size, by_height, scales = evaluation.attention_by_size, evaluation.attention_by_height, evaluation.scales
    if by_size:
        plots.attention_by_size(Path(folder, "attention_by_size.png"), by_size, scales)
    if by_height:
        plots.attention_by_height(Path(folder, "attention_by_height.png"), by_height, scales)


def _table(columns, rows):
    """Lines of a Markdown table, after an empty one."""
    head, *lines = (f"| {' | '.join(cells)} |" for cells in (columns, *rows))
    return ["", head, "|---" * len(columns) + "|", *lines]


def three_decimals(mean):
    """A mean for people, to three decimals; `-` where there is none."""
    return "-" if mean is None else f"{mean:.3f}"


def per_cent(share):
    """A share for people, to two decimals; `-` where there is none."""
    return "-" if share is None else f"{100 * share:.2f}"
