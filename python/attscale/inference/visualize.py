"""Predictions as the paper shows them (figures 4 to 6): sheets of images, and videos with weight maps beside them."""

import dataclasses
import tempfile
from pathlib import Path

import cv2
import numpy as np

from attscale import plots
from attscale.data.images import read_image, read_label
from attscale.data.samples import load_pair
from attscale.errors import DataError, UserError
from attscale.files import make_folder, naming
from attscale.inference import scores, sources

_TRUTH = "ground truth"  # a column


def sheets(predictor, baseline, pairs, path, per_sheet, *, without_image=False):
    """Writes `pairs` of (image, label map or None) as PNGs of `per_sheet` rows; yields their paths.

    The first is `path`, those after it have a number before the suffix. `baseline`: another Predictor, or None.
    without_image: only what the nets made of the images, for data sets whose photographs may not be published.
    """
    path = Path(path)
    for start in range(0, len(pairs), per_sheet):
        rows = [_row(predictor, baseline, *pair) for pair in pairs[start : start + per_sheet]]
        if without_image:
            rows = [_without_image(row) for row in rows]
        number = start // per_sheet
        target = path if number == 0 else path.with_name(f"{path.stem}-{number + 1}{path.suffix}")
        model = predictor.model
        plots.sheet(target, rows, model.scales, model.dataset.colours, recalibration=predictor.parts.recalibration)
        yield target


def _row(predictor, baseline, image_path, label_path):
    if label_path is None:
        image, label = read_image(image_path, oriented=True), None
    else:
        image, label = load_pair(image_path, label_path, predictor.classes, predictor.model.dataset.values)
    labels = {_TRUTH: label}
    if baseline is not None:
        baseline.forward(image, names=[image_path])
        labels["baseline"] = baseline.labels()
    predictor.forward(image, names=[image_path])
    labels["prediction"] = predictor.labels()
    return plots.SheetRow(image, labels, predictor.weight_maps(), _of_the_predicted(predictor))


def _without_image(row):
    """The SheetRow without its image and ground truth, which is the data set's as well."""
    labels = {title: label for title, label in row.labels.items() if title != _TRUTH}
    return dataclasses.replace(row, image=None, labels=labels)


def _of_the_predicted(predictor):
    """The recalibration (H, W) of the class that each pixel was predicted to be of; None where there is none."""
    maps = predictor.recalibration()
    return None if maps is None else np.take_along_axis(maps, predictor.labels()[None], axis=0)[0]


def before_and_after(path, chosen, refined, dataset, *, oriented=False):
    """Writes a sheet of (image, score map, label map or None) paths: before the CRF, and after it, from `refined`.

    oriented: turn the images as their EXIF tags say.
    """
    rows = []
    for image_path, score_path, label_path in chosen:
        labels = {
            _TRUTH: read_label(label_path, dataset.values) if label_path else None,
            "before the CRF": scores.read(score_path).argmax(axis=0),
            "after": read_label(Path(refined, f"{Path(image_path).stem}.png")),
        }
        rows.append(plots.SheetRow(read_image(image_path, oriented=oriented), labels, None))
    plots.sheet(path, rows, (), dataset.colours)


def video(predictor, source, path, progress=iter):
    """Writes `source` with its label map laid over it and its weight maps beside it; returns how many frames.

    Raises DataError for a video that cannot be decoded, UserError for a format that cannot be written.
    """
    path, rate = Path(path), sources.frame_rate(source)
    make_folder(path.parent)
    with naming(path):
        scratch = tempfile.TemporaryDirectory(prefix=".", dir=path.parent)
    with scratch as folder:
        made = Path(folder, path.name)  # OpenCV chooses the format by the suffix
        writer, count = None, 0
        for frame in progress(sources.frames(source)):
            image = frame.pixels()
            predictor.forward(image, names=[frame.path])
            panels = plots.frame(image, predictor.labels(), predictor.weight_maps(), predictor.model.dataset.colours)
            if writer is None:
                size = panels.shape[1::-1]
                writer = cv2.VideoWriter(str(made), cv2.VideoWriter_fourcc(*"mp4v"), rate, size)
                if not writer.isOpened():
                    raise UserError(f"{path}: OpenCV cannot write such a video; .mp4 and .avi work")
            if panels.shape[1::-1] != size:  # OpenCV would leave it out without a word
                raise DataError(f"{frame.path}: is of another size than the frames before")
            writer.write(panels)
            count += 1
        writer.release()
        with naming(path):
            made.replace(path)
    return count
