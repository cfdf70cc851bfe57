"""Losses over the iterations, a curve for each head, as places in a plot from 0 to 100."""

import dataclasses
import math
from statistics import fmean

_POINTS = 120  # of a curve, at most: more is noise at the size of the page
_MERGED = "loss_fusion"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curve:
    """The loss of one head."""

    title: str
    colour: str  # a class of the style sheet
    first: float
    last: float
    points: str  # of an SVG polyline


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chart:
    """The losses of a run: a point is the mean of `width` records of its log."""

    curves: tuple[Curve, ...]  # merged first, then ever coarser
    last: int  # iteration
    width: int
    x_labels: tuple[tuple[float, str], ...]  # place in per cent from the left, text
    y_labels: tuple[tuple[float, str], ...]  # from the bottom


def head_title(head):
    """What people call a loss: loss_fusion is the merged one, loss scale 1's, loss_res075 scale 0.75's."""
    name, _, digits = head.partition("_res0")
    if name == "loss" and digits.isdecimal():
        return f"scale 0.{digits}"
    return {"loss": "scale 1", _MERGED: "merged"}.get(head, head)


def chart(log):
    """The Chart of a log, (iteration, {head: loss}) pairs, of which there is at least one."""
    width = -(-len(log) // _POINTS)
    means = {}  # by head (iteration, loss) pairs
    for head in _heads(log):
        values = [(iteration, losses[head]) for iteration, losses in log if head in losses]
        groups = [values[start : start + width] for start in range(0, len(values), width)]
        means[head] = [tuple(map(fmean, zip(*group, strict=True))) for group in groups]
    last = max(1, log[-1][0])
    highest = max(loss for points in means.values() for _, loss in points)
    x_step, y_step = _step(last, 6), _step(highest, 4)
    top = max(y_step * math.ceil(highest / y_step - 1e-9), y_step)
    x_ticks = [x_step * i for i in range(math.floor(last / x_step + 1e-9) + 1)]
    y_ticks = [y_step * i for i in range(round(top / y_step) + 1)]
    decimals = max(0, -math.floor(math.log10(y_step) + 1e-9))
    scales = [head for head in means if head != _MERGED]
    return Chart(
        curves=tuple(
            Curve(
                title=head_title(head),
                colour="m" if head == _MERGED else f"s{scales.index(head) % 4}",
                first=points[0][1],
                last=points[-1][1],
                points=" ".join(f"{100 * x / last:.2f},{100 - 100 * y / top:.2f}" for x, y in points),
            )
            for head, points in means.items()
        ),
        last=last,
        width=width,
        x_labels=tuple((100 * x / last, f"{x:,.0f}") for x in x_ticks),
        y_labels=tuple((100 * y / top, f"{y:.{decimals}f}") for y in y_ticks),
    )


def _heads(log):
    """The heads of a log, merged first, then ever coarser."""
    heads = dict.fromkeys(head for _, losses in log for head in losses)
    order = {_MERGED: "~", "loss": "scale 1"}  # sorted backwards: the merged one is first
    return sorted(heads, key=lambda head: order.get(head, head_title(head)), reverse=True)


def _step(top, ticks):
    """1, 2 or 5 times a power of ten: as many steps as fit into `top`, about `ticks`."""
    if top <= 0:
        return 1
    power = 10 ** math.floor(math.log10(top / ticks))
    return next(power * factor for factor in (1, 2, 5, 10) if top / (power * factor) <= ticks)
