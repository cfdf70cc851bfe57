"""Results as pictures."""

import dataclasses

import matplotlib

matplotlib.use("Agg")  # no display needed

import matplotlib.pyplot as plt
import numpy as np

from attscale.data.images import palette
from attscale.files import write_whole


@dataclasses.dataclass(frozen=True)
class SheetRow:
    """An image of a sheet: BGR (H, W, 3), label maps (H, W) by column title, weight maps (S, H, W) or None.

    image: None in all rows of a sheet that has no column of images.
    recalibrated: how the predicted class's score was (H, W); None for a net that does not do it.
    """

    image: np.ndarray | None
    labels: dict[str, np.ndarray | None]
    weights: np.ndarray | None
    recalibrated: np.ndarray | None = None


def sheet(path, rows, scales, colours=(), *, recalibration=None):
    """One PNG: a row per image with the image, its label maps, and the weight map of each scale (figures 4 to 6).

    colours: of the classes, as `palette` takes them. recalibration: "product" or "bias", for one more column.
    """
    first = 0 if rows[0].image is None else 1  # column of label maps
    titles = [*["image"][:first], *rows[0].labels]
    weighed = slice(len(titles), len(titles) + (len(scales) if rows[0].weights is not None else 0))
    titles += [f"weight, scale {float(scale):g}" for scale in scales[: weighed.stop - weighed.start]]
    titles += ["recalibration"] if recalibration else []
    size = (2.2 * len(titles), 2.3 * len(rows))
    figure, axes = plt.subplots(len(rows), len(titles), figsize=size, squeeze=False, layout="compressed")
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=9)
    shown = None
    for line, row in zip(axes, rows, strict=True):
        if row.image is not None:
            line[0].imshow(row.image[..., ::-1])
        for axis, label in zip(line[first:], row.labels.values(), strict=False):
            if label is None:
                axis.text(0.5, 0.5, "none", ha="center", va="center", transform=axis.transAxes)
            else:
                axis.imshow(palette(colours)[label])
        weights = row.weights if row.weights is not None else ()
        for axis, weight in zip(line[weighed], weights, strict=True):
            shown = axis.imshow(weight, cmap="viridis", vmin=0, vmax=1)
    if shown is not None:
        figure.colorbar(shown, ax=axes[:, weighed], fraction=0.02, label="weight")
    if recalibration:
        _recalibrated(figure, axes[:, -1:], [row.recalibrated for row in rows], recalibration)
    _save(figure, path)


def _recalibrated(figure, axes, maps, kind):
    """A column of maps with a colour bar of its own: factors are 0 to 1, a bias may be as far below 0 as above."""
    most = max(np.abs(one).max() for one in maps)
    name, cmap, low, high = {"product": ("factor", "viridis", 0, 1), "bias": ("bias", "RdBu", -most, most)}[kind]
    for axis, one in zip(axes.flat, maps, strict=True):
        shown = axis.imshow(one, cmap=cmap, vmin=low, vmax=high)
    figure.colorbar(shown, ax=axes, fraction=0.1, label=f"{name} of the predicted class")


def frame(image, label, weights, colours=()):
    """A video's frame (H, W x (2 + S), 3) BGR: the image, the label map laid over it, and each scale's weight map."""
    painted = np.ascontiguousarray(palette(colours)[label][..., ::-1])
    panels = [image, np.where((label > 0)[..., None], image // 2 + painted // 2, image)]
    table = plt.get_cmap("viridis")(np.arange(256), bytes=True)[:, 2::-1]  # BGR
    panels += [table[np.rint(255 * weight).astype(np.uint8)] for weight in (weights if weights is not None else ())]
    return np.concatenate(panels, axis=1).astype(np.uint8)


def attention_by_size(path, table, scales):
    """Mean weight of each scale by object size; `table`: rows (from, to, how many, weights) in pixels."""
    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    centres = [np.sqrt(low * high) for low, high, _, _ in table]
    for s, scale in enumerate(scales):
        axis.plot(centres, [weights[s] for *_, weights in table], marker="o", label=f"scale {float(scale):g}")
    axis.set_xscale("log", base=2)
    axis.set_xticks(centres, [f"{low}-{high}\n{count}" for low, high, count, _ in table])
    axis.minorticks_off()
    axis.set_xlabel("object size: square root of its area, pixels; below, how many objects")
    axis.set_ylabel("mean weight")
    axis.set_ylim(0, None)
    axis.legend()
    _save(figure, path)


def attention_by_height(path, bands, scales):
    """Mean weight of each scale by height in the image, the top at the top.

    bands: the weights (S,) of each of equal bands from the top, None for one without pixels.
    """
    figure, axis = plt.subplots(figsize=(4.5, 4), layout="constrained")
    middles = 100 * (np.arange(len(bands)) + 0.5) / len(bands)
    weights = np.array([line or [np.nan] * len(scales) for line in bands])
    for s, scale in enumerate(scales):
        axis.plot(weights[:, s], middles, marker="o", label=f"scale {float(scale):g}")
    axis.set_xlabel("mean weight")
    axis.set_xlim(0, None)
    axis.set_ylabel("height in the image, % from the top")
    axis.set_ylim(100, 0)
    axis.legend()
    _save(figure, path)


def intervals(path, rows, label, limit=7):
    """Means with their intervals, one below the other, beside others' numbers as short lines.

    rows: (text, mean, (low, high) or None, others' numbers); limit: how far the axis reaches to either side; an
    arrow shows where an interval goes on.
    """
    figure, axis = plt.subplots(figsize=(10, 0.26 * len(rows) + 1), layout="constrained")
    axis.axvline(0, color="grey", linewidth=1)
    for place, (_, mean, interval, others) in enumerate(rows):
        axis.plot(others, [place] * len(others), color="tab:orange", marker="|", linestyle="none")
        if interval is not None:
            axis.plot(np.clip(interval, -limit, limit), [place, place], color="tab:blue", linewidth=2)
        for end in (mean, *(interval or ())):
            if abs(end) > limit:
                axis.plot([np.copysign(limit, end)], [place], marker=">" if end > 0 else "<", color="tab:blue")
        axis.plot([mean], [place], marker="o", markersize=4, color="tab:blue")
    axis.set_xlim(-limit * 1.03, limit * 1.03)
    axis.set_ylim(len(rows), -1)
    axis.set_yticks(range(len(rows)), [text for text, *_ in rows], fontsize=7)
    axis.grid(axis="x", linewidth=0.3)
    axis.set_xlabel(label)
    _save(figure, path)


def by_size(path, sizes, scores, weights):
    """Lines over object sizes, (from, to) in pixels: scores in per cent by net, and weights by scale, beside them."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    centres = [np.sqrt(low * high) for low, high in sizes]
    for axis, lines, label in zip(axes, (scores, weights), ("foreground IOU, %", "mean weight"), strict=True):
        for name, values in lines.items():
            axis.plot(centres, values, marker="o", label=name)
        axis.set_xscale("log", base=2)
        axis.set_xticks(centres, [f"{low}-{high}" for low, high in sizes])
        axis.minorticks_off()
        axis.set_xlabel("object size: square root of its area, pixels")
        axis.set_ylabel(label)
        axis.legend(fontsize=8)
    _save(figure, path)


def losses(path, log):
    """The loss of each head over the iterations; `log`: records with "iteration" and "losses", by head."""
    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    for head in log[0]["losses"]:
        axis.plot([record["iteration"] for record in log], [record["losses"][head] for record in log], label=head)
    axis.set_xlabel("iteration")
    axis.set_ylabel("cross entropy")
    axis.legend()
    _save(figure, path)


def confusion(path, matrix, classes):
    """A confusion matrix, its rows as shares of each true class's pixels."""
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    many = len(classes) > 30
    side = max(4, (0.14 if many else 0.28) * len(classes))
    figure, axis = plt.subplots(figsize=(side + 1.5, side), layout="constrained")
    shown = axis.imshow(shares, cmap="viridis", vmin=0, vmax=1)
    size = 4 if many else 8
    axis.set_xticks(range(len(classes)), classes, rotation=90, fontsize=size)
    axis.set_yticks(range(len(classes)), classes, fontsize=size)
    axis.set_xlabel("predicted")
    axis.set_ylabel("truth")
    figure.colorbar(shown, label="share of the true class's pixels", fraction=0.046)
    _save(figure, path)


def crf_surface(path, tried):
    """Mean IOU over bi_xy and bi_rgb, a panel for each bi_w; `tried`: (CrfOptions, mean IOU) as `crf.search` gives."""
    weights = sorted({options.bi_w for options, _ in tried})
    size = (3 * len(weights) + 1, 3.2)
    figure, axes = plt.subplots(1, len(weights), figsize=size, squeeze=False, sharey=True, layout="constrained")
    low, high = min(score for _, score in tried), max(score for _, score in tried)
    for axis, weight in zip(axes[0], weights, strict=True):
        points = [(options.bi_xy, options.bi_rgb, score) for options, score in tried if options.bi_w == weight]
        x, y, score = zip(*points, strict=True)
        shown = axis.scatter(x, y, c=[100 * s for s in score], s=120, vmin=100 * low, vmax=100 * high, cmap="viridis")
        axis.set_title(f"bi_w {weight:g}")
        axis.set_xlabel("bi_xy, pixels")
    axes[0][0].set_ylabel("bi_rgb, grey levels")
    figure.colorbar(shown, ax=axes, label="mean IOU, %")
    best = tried[0][0]
    panel = axes[0][weights.index(best.bi_w)]
    panel.scatter([best.bi_xy], [best.bi_rgb], s=220, facecolors="none", edgecolors="red")
    _save(figure, path)


def _save(figure, path):
    write_whole(path, lambda temporary: figure.savefig(temporary, format="png", dpi=110, bbox_inches="tight"))
    plt.close(figure)
