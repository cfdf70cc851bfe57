"""The search for the CRF's parameters, as the release did it: cross-validation on images of val, coarse to fine."""

import dataclasses
import itertools
import json
import random
from pathlib import Path

import numpy as np

from attscale import plots
from attscale.data.lists import read_split
from attscale.data.samples import load_pair
from attscale.files import write_text
from attscale.inference import scores
from attscale.inference.crf import apply, check_fit
from attscale.processes import in_processes
from attscale.scoring import metrics

#: Coarse grids of the search: around everything that the release found; and DeepLab's own (docs/release.md, Dense CRF).
GRIDS = {
    "small": {"bi_w": (3, 4, 5), "bi_xy": (20, 50, 80, 110), "bi_rgb": (3, 5, 8)},
    "deeplab": {"bi_w": range(5, 11), "bi_xy": range(50, 101, 10), "bi_rgb": range(3, 11)},
}
#: Steps of the fine one, around the best of the coarse one.
FINE = {"bi_w": (-0.5, 0, 0.5), "bi_xy": (-15, 0, 15), "bi_rgb": (-1, 0, 1)}


def draw(row, data_root, split, score_folder, count, seed):
    """`count` (image, score map, label map) paths of a split (None: the validation set), or all, where it has fewer."""
    dataset = row.dataset
    pairs = read_split(dataset, data_root, split or dataset.val)
    chosen = sorted(random.Random(seed).sample(pairs, min(count, len(pairs))))
    return [(image, scores.name(score_folder, image), label) for image, label in chosen]


def search(row, samples, start, *, grid="small", processes=None, progress=iter):
    """Cross-validates bi_w, bi_xy and bi_rgb, coarse to fine, with pos_w, pos_xy and iterations of `start`.

    samples: as `draw` gives; grid: of GRIDS. Returns (CrfOptions, mean IOU) of all settings tried, best first; ties
    in the order of trying. The release did so on 100 random val images (docs/release.md, Dense CRF).
    """
    dataset = row.dataset
    names = GRIDS[grid]
    coarse = [dict(zip(names, values, strict=True)) for values in itertools.product(*names.values())]
    tried = _score(samples, dataset, [dataclasses.replace(start, **values) for values in coarse], processes, progress)
    best = tried[0][0]
    fine = [
        dataclasses.replace(best, **{name: getattr(best, name) + step for name, step in zip(FINE, steps, strict=True)})
        for steps in itertools.product(*FINE.values())
    ]
    known = {options for options, _ in tried}
    tried += _score(samples, dataset, [options for options in fine if options not in known], processes, progress)
    return sorted(tried, key=lambda item: -item[1])


def write(folder, tried):
    """search.json and search.png in `folder`: what `search` gave, as numbers and drawn."""
    values = [{**dataclasses.asdict(options), "mean_iou": score} for options, score in tried]
    write_text(Path(folder, "search.json"), json.dumps(values, indent=1) + "\n")
    plots.crf_surface(Path(folder, "search.png"), tried)


def _score(samples, dataset, settings, processes, progress):
    """All settings, an image at a time, so that each file is read once by one process."""
    classes, values = len(dataset.classes), dataset.values
    totals = np.zeros((len(settings), classes, classes), np.int64)
    for matrices in progress(in_processes(_matrices, [(*s, classes, values, settings) for s in samples], processes)):
        totals += matrices
    tried = [(options, metrics.mean_iou(total)) for options, total in zip(settings, totals, strict=True)]
    return sorted(tried, key=lambda item: -item[1])


def _matrices(image_path, score_path, label_path, classes, values, settings):
    image, truth = load_pair(image_path, label_path, classes, values)
    maps = scores.read(score_path)
    check_fit(score_path, maps, classes, image)
    return np.stack(
        [metrics.confusion(truth, apply(image, maps, options).argmax(axis=0), classes) for options in settings]
    )
