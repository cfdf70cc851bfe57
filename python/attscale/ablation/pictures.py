"""The pictures of docs/results.md: claims with their intervals, and scores and weights by object size."""

import math
from pathlib import Path
from statistics import fmean

from attscale.ablation import kept
from attscale.ablation.claims import differences, known
from attscale.ablation.statistics import CONFIDENCE
from attscale.ablation.studies import STUDIES

CLAIMS = "claims.png"
_SHOWN = ("largefov", "max3_esupv", "average3_esupv", "attention3_esupv")  # of many nets: the paper's main comparison


def draw(folder):
    """Draws them all from the kept runs below `folder`, into it; yields their paths."""
    from attscale import plots  # matplotlib, which the page does without

    found = kept.find_all(folder)
    told = [(claim, name, one) for claim, by_study in differences(found) for name, one in by_study.items()]
    rows = [
        (f"{claim.text} ({name})", one.mean, one.interval, tuple(claim.gains.values()))
        for claim, name, one in told
        if claim.unit == "points"
    ]
    if rows:
        label = f"points of mean IOU, with {100 * CONFIDENCE:.0f} % intervals over seeds; orange: the paper's own"
        plots.intervals(Path(folder, CLAIMS), rows, label)
        yield Path(folder, CLAIMS)
    for study in STUDIES.values():
        nets = {net: runs for net, runs in known(found, study).items() if runs}
        if picture := of_sizes(study, nets):
            plots.by_size(Path(folder, picture), *_sizes(nets))
            yield Path(folder, picture)


def of_sizes(study, nets):
    """The name of the picture of a study that measures by size and has attention over three scales; else None."""
    return f"{study.name}_sizes.png" if study.by_size and _SHOWN[-1] in study.nets and _SHOWN[-1] in nets else None


def of_maps(study):
    """The name of the sheet of predictions and weight maps that `tools/ablation.py run` has drawn, or None."""
    return f"{study.name}_maps.png" if study.shown else None


def _sizes(nets):
    first = next(iter(nets[_SHOWN[-1]].values())).evaluation
    sizes = [line[:2] for line in first.iou_by_size]
    shown = {net: nets[net] for net in _SHOWN if net in nets}
    scores = {
        net: _means(runs, lambda one: [math.nan if line[3] is None else 100 * line[3] for line in one.iou_by_size])
        for net, runs in shown.items()
    }
    weights = {
        f"scale {scale:g}": _means(nets[_SHOWN[-1]], lambda one, at=at: [line[3][at] for line in one.attention_by_size])
        for at, scale in enumerate(first.scales)
    }
    return sizes, scores, weights


def _means(runs, values):
    return [fmean(column) for column in zip(*(values(one.evaluation) for one in runs.values()), strict=True)]
