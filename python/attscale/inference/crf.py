"""The fully connected CRF of Kraehenbuehl and Koltun over score maps, by pydensecrf, with the release's parameters."""

import concurrent.futures
import concurrent.futures.process
import dataclasses
import itertools
import math
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pydensecrf.densecrf as dcrf

from attscale.data.images import read_image, write_label
from attscale.data.samples import load_pair
from attscale.errors import DataError, UserError
from attscale.inference import inventory, scores
from attscale.processes import die_with_parent
from attscale.scoring import metrics

KIND = "crf"


@dataclasses.dataclass(frozen=True, kw_only=True)
class CrfOptions:
    """Weights and standard deviations (xy in pixels, rgb in grey levels) of the two kernels, and the iterations."""

    bi_w: float
    bi_xy: float
    bi_rgb: float
    pos_w: float = 3
    pos_xy: float = 3
    iterations: int = 10

    def __post_init__(self):
        for name, value in dataclasses.asdict(self).items():
            weight = name in ("bi_w", "pos_w")  # 0 leaves the kernel out
            if not (math.isfinite(value) and (value > 0 or (weight and value == 0))):
                raise DataError(f"the CRF's {name} is {value}, expected {'at least' if weight else 'more than'} 0")


def _of(bi_w, bi_xy, bi_rgb):
    return CrfOptions(bi_w=bi_w, bi_xy=bi_xy, bi_rgb=bi_rgb)


#: The release's, by model (docs/release.md, Dense CRF).
PARAMETERS = {
    "DeepLab": _of(5, 50, 10),
    "MSc": _of(3, 95, 3),
    "COCO": _of(5, 67, 3),
    "LargeFOV": _of(4, 121, 5),
    "MSc-LargeFOV": _of(4, 83, 5),
    "COCO-LargeFOV": _of(5, 69, 5),
    "MSc-COCO-LargeFOV": _of(4, 59, 5),
    "VOC attention + COCO": _of(4, 49, 5),
    "Person-Part attention": _of(4, 19, 3),
    "Person-Part baseline": _of(4, 21, 3),
}


def model_of(row):
    """The model of PARAMETERS whose parameters a row takes.

    The release has them for its test-set entries and Person-Part. Nets with several scales take those of the
    attention net of their data set, VOC's where there is none of their own (from ImageNet, MS-COCO, `shapes`), and
    so do single-scale nets those of LargeFOV.
    """
    if row.dataset == "voc10_part":
        return "Person-Part attention" if row.merge else "Person-Part baseline"
    if row.merge:
        return "VOC attention + COCO"
    coco = row.pretraining == "coco"
    return ("MSc-COCO-LargeFOV" if coco else "MSc-LargeFOV") if row.msc else ("COCO-LargeFOV" if coco else "LargeFOV")


def apply(image, maps, options):
    """The marginals (classes, H, W) float32 of the CRF over `maps`, scores (classes, H, W) before the softmax.

    image: (H, W, 3) uint8; RGB or BGR make no difference, since one deviation serves all channels. The unary is the
    negative log of the softmax, which is minus the score up to a constant per pixel. Potts compatibility, messages
    normalised after filtering, as in the release's code (pydensecrf's own default differs). Raises DataError for
    sizes that disagree.
    """
    classes, height, width = maps.shape
    if image.shape[:2] != (height, width):
        raise DataError(f"the image is {image.shape[1]}x{image.shape[0]} pixels, its score map {width}x{height}")
    crf = dcrf.DenseCRF2D(width, height, classes)
    maps = maps.astype(np.float32)
    top = maps.max(axis=0)
    logarithm = maps - top - np.log(np.exp(maps - top).sum(axis=0))
    crf.setUnaryEnergy(np.ascontiguousarray(-logarithm.reshape(classes, -1)))
    kernel = {"kernel": dcrf.DIAG_KERNEL, "normalization": dcrf.NORMALIZE_AFTER}
    crf.addPairwiseGaussian(sxy=options.pos_xy, compat=options.pos_w, **kernel)
    crf.addPairwiseBilateral(
        sxy=options.bi_xy, srgb=options.bi_rgb, rgbim=np.ascontiguousarray(image), compat=options.bi_w, **kernel
    )
    return np.array(crf.inference(options.iterations), np.float32).reshape(classes, height, width)


def label(image_path, score_path, classes, options, oriented=False):
    """The label map (H, W) uint8 of an image, from its score map on disk. Raises DataError that names the files.

    oriented: turn the image as its EXIF tag says, where that was done for the scores.
    """
    maps = scores.read(score_path)
    if maps.shape[0] != classes:
        raise DataError(f"{score_path}: has {maps.shape[0]} classes, expected {classes}")
    try:
        return apply(read_image(image_path, oriented=oriented), maps, options).argmax(axis=0).astype(np.uint8)
    except DataError as error:
        raise DataError(f"{score_path}: {error}" if str(image_path) not in str(error) else str(error)) from None


def run(pairs, folder, classes, options, *, made_by, oriented=False, processes=None, progress=iter):
    """Writes `<id>.png` into `folder` for every (image, score map) pair that has none there; returns how many.

    made_by: JSON values that are recorded with the options; results of others, or of other images and scores, are
    refused. One process a core, or as many as said. The first bad file raises DataError; what was finished is kept.
    """
    made_by = {**made_by, **dataclasses.asdict(options), "oriented": oriented}
    kept = inventory.Inventory(folder, KIND, made_by)
    missing = [pair for pair in pairs if not _has(kept, folder, pair)]
    jobs = [(*pair, classes, options, oriented, folder) for pair in missing]
    for pair, _ in zip(missing, progress(in_processes(_write, jobs, processes)), strict=True):
        kept.add(_name(pair), inventory.digest(*pair))
    return len(missing)


def _name(pair):
    return Path(pair[0]).stem


def _has(kept, folder, pair):
    there = Path(folder, f"{_name(pair)}.png").exists()
    return there and kept.has(_name(pair), inventory.digest(*pair), pair[1])


def _write(image_path, score_path, classes, options, oriented, folder):
    write_label(Path(folder, f"{Path(image_path).stem}.png"), label(image_path, score_path, classes, options, oriented))


def in_processes(function, jobs, processes=None):
    """Yields function(*job) in the order of `jobs`, from so many processes; each keeps to one thread."""
    processes = min(processes or os.cpu_count(), max(1, len(jobs)))
    context = multiprocessing.get_context("spawn")  # nothing of Caffe or BLAS is inherited
    with concurrent.futures.ProcessPoolExecutor(processes, context, _begin, (os.getpid(),)) as pool:
        futures = [pool.submit(function, *job) for job in jobs]
        try:
            for future in futures:
                yield future.result()
        except concurrent.futures.process.BrokenProcessPool:
            raise UserError(
                f"one of {processes} processes was killed, for want of memory perhaps: try --processes 1"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _begin(parent):
    die_with_parent(parent)  # a step of a sweep may be killed, and these would wait for work for ever
    import cv2
    import threadpoolctl

    cv2.setNumThreads(1)
    threadpoolctl.threadpool_limits(1)


#: The coarse grid of the search: around everything that the release found.
COARSE = {"bi_w": (3, 4, 5), "bi_xy": (20, 50, 80, 110), "bi_rgb": (3, 5, 8)}
#: Steps of the fine one, around the best of the coarse one.
FINE = {"bi_w": (-0.5, 0, 0.5), "bi_xy": (-15, 0, 15), "bi_rgb": (-1, 0, 1)}


def search(samples, classes, start, *, processes=None, progress=iter):
    """Cross-validates bi_w, bi_xy and bi_rgb, coarse to fine, with pos_w, pos_xy and iterations of `start`.

    samples: (image, score map, label map) paths. Returns (CrfOptions, mean IOU) of all settings tried, best first;
    ties in the order of trying. The release did so on 100 random val images (docs/release.md, Dense CRF).
    """
    coarse = [dict(zip(COARSE, values, strict=True)) for values in itertools.product(*COARSE.values())]
    tried = _score(samples, classes, [dataclasses.replace(start, **values) for values in coarse], processes, progress)
    best = tried[0][0]
    fine = [
        dataclasses.replace(best, **{name: getattr(best, name) + step for name, step in zip(FINE, steps, strict=True)})
        for steps in itertools.product(*FINE.values())
    ]
    known = {options for options, _ in tried}
    tried += _score(samples, classes, [options for options in fine if options not in known], processes, progress)
    return sorted(tried, key=lambda item: -item[1])


def _score(samples, classes, settings, processes, progress):
    """All settings, an image at a time, so that each file is read once by one process."""
    totals = np.zeros((len(settings), classes, classes), np.int64)
    for matrices in progress(in_processes(_matrices, [(*s, classes, settings) for s in samples], processes)):
        totals += matrices
    tried = [(options, metrics.mean_iou(total)) for options, total in zip(settings, totals, strict=True)]
    return sorted(tried, key=lambda item: -item[1])


def _matrices(image_path, score_path, label_path, classes, settings):
    image, truth = load_pair(image_path, label_path, classes)
    maps = scores.read(score_path)
    if maps.shape != (classes, *truth.shape):
        raise DataError(f"{score_path}: is {maps.shape}, expected {(classes, *truth.shape)} for {image_path}")
    return np.stack(
        [metrics.confusion(truth, apply(image, maps, options).argmax(axis=0), classes) for options in settings]
    )
