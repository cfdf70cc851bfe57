"""Losses over the iterations, a curve for each head: SVG and a legend."""

import math

from attscale.results.report.markup import data_table, note, tag

_POINTS = 120  # of a curve, at most: more is noise at the size of the page


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


def loss_chart(run):
    if not run.log:
        return note("No log.jsonl with losses.")
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
        data_table(
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
