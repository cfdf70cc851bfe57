"""Results as pictures."""

import matplotlib

matplotlib.use("Agg")  # no display needed

import matplotlib.pyplot as plt
import numpy as np

from attscale.data.images import voc_palette
from attscale.files import write_whole


def sheet(path, rows, scales):
    """One PNG: a row per image with image, ground truth, prediction, and the weight map of each scale.

    rows: (image (H, W, 3) BGR, label (H, W) or None, prediction (H, W), weights (S, H, W) or None).
    """
    columns = 3 + (len(scales) if rows[0][3] is not None else 0)
    figure, axes = plt.subplots(
        len(rows), columns, figsize=(2.2 * columns, 2.3 * len(rows)), squeeze=False, layout="compressed"
    )
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    titles = ["image", "ground truth", "prediction", *(f"weight, scale {float(scale):g}" for scale in scales)]
    for axis, title in zip(axes[0], titles, strict=False):
        axis.set_title(title, fontsize=9)
    shown = None
    for line, (image, label, prediction, weights) in zip(axes, rows, strict=True):
        line[0].imshow(image[..., ::-1])
        if label is None:
            line[1].text(0.5, 0.5, "none", ha="center", va="center", transform=line[1].transAxes)
        else:
            line[1].imshow(voc_palette()[label])
        line[2].imshow(voc_palette()[prediction])
        for axis, weight in zip(line[3:], weights if weights is not None else (), strict=True):
            shown = axis.imshow(weight, cmap="viridis", vmin=0, vmax=1)
    if shown is not None:
        figure.colorbar(shown, ax=axes[:, 3:], fraction=0.02, label="weight")
    _save(figure, path)


def attention_by_size(path, table, scales):
    """Mean weight of each scale by object size; `table` is that of `attscale.evaluate.by_size`."""
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


def losses(path, log):
    """The loss of each head over the iterations; `log` is that of `attscale.solve.read_log`."""
    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    for head in log[0]["losses"]:
        axis.plot([record["iteration"] for record in log], [record["losses"][head] for record in log], label=head)
    axis.set_xlabel("iteration")
    axis.set_ylabel("cross entropy")
    axis.legend()
    _save(figure, path)


def _save(figure, path):
    write_whole(path, lambda temporary: figure.savefig(temporary, format="png", dpi=110, bbox_inches="tight"))
    plt.close(figure)
