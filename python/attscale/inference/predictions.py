"""Predictions on disk: label maps, and on request scores and weight maps, an image at a time."""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from attscale.data.images import read_image, write_label
from attscale.errors import DataError, UserError
from attscale.inference import inventory, provenance, scores
from attscale.inference.predictor import Predictor, averaged_scores
from attscale.machine import device
from attscale.machine.threads import limit_threads

KIND = "predictions"
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}


def find_images(names):
    """The image files among `names`, and those in the folders among them, sorted by name.

    Raises UserError for a folder without images, and for two that would have the same name in the results.
    """
    found = []
    for name in map(Path, names):
        if name.is_dir():
            inside = sorted(path for path in name.iterdir() if path.suffix.lower() in SUFFIXES)
            if not inside:
                raise UserError(f"{name}: has no images ({', '.join(sorted(SUFFIXES))})")
            found += inside
        else:
            found.append(name)
    stems = {}
    for path in found:
        if path.stem in stems:
            raise UserError(f"{path} and {stems[path.stem]} would both be {path.stem}.png")
        stems[path.stem] = path
    return found


@dataclasses.dataclass(frozen=True)
class Source:
    """An image to predict: its name in the results, what it is called in errors, its contents' digest, its pixels."""

    name: str
    path: str
    digest: Callable[[], str]
    read: Callable[[], np.ndarray]  # (H, W, 3) uint8 BGR


def files(paths, *, oriented):
    """Sources of image files. oriented: turn them as their EXIF tag says.

    Those of a data set are not turned, for their label maps are not.
    """
    return [
        Source(path.stem, str(path), partial(inventory.digest, path), partial(read_image, path, oriented=oriented))
        for path in map(Path, paths)
    ]


def frames(path):
    """Sources of a video's frames, in their order.

    Raises DataError where none can be decoded, and at the end where the file announces more frames than it holds.
    """
    if not Path(path).exists():
        raise DataError(f"{path}: no such video")
    video = cv2.VideoCapture(str(path))
    try:
        announced = int(video.get(cv2.CAP_PROP_FRAME_COUNT))  # 0 or less where the format does not say
        number = 0
        while True:
            done, frame = video.read()
            if not done:
                break
            number += 1
            name = f"frame_{number:06d}"
            yield Source(name, f"{path}, {name}", lambda number=number: str(number), lambda frame=frame: frame)
    finally:
        video.release()
    if not number:
        raise DataError(f"{path}: not a video that can be decoded")
    if number < announced:
        raise DataError(f"{path}: only {number} of its {announced} frames can be decoded; is it cut short?")


def digest_of_video(path):
    """Its contents' digest. Raises DataError where there is no such video."""
    try:
        return inventory.digest(path)
    except UserError:
        raise DataError(f"{path}: no such video") from None


class Output:
    """A folder of predictions: `<id>.png`, and on request `scores/<id>.npz` and `weight_maps/<id>.npz`.

    predictions.json says what they were made by, and predictions.jsonl of which images: others are refused.
    """

    def __init__(self, folder, made_by, notes=None, *, with_scores=False, with_weight_maps=False):
        self.folder = Path(folder)
        self._kinds = {"scores": with_scores, "weight_maps": with_weight_maps}
        self._inventory = inventory.Inventory(folder, KIND, made_by, notes)

    def has(self, source):
        """Whether everything asked for the Source is there. Raises UserError where it is another image's."""
        there = all(path.exists() for path in self._paths(source.name).values())
        return there and self._inventory.has(source.name, source.digest(), source.path)

    def write(self, source, maps, weight_maps):
        """Writes what was asked for; the label map last, so that it tells that the rest is there."""
        paths = self._paths(source.name)
        if "scores" in paths:
            scores.write(paths["scores"], maps)
        if "weight_maps" in paths and weight_maps is not None:
            scores.write(paths["weight_maps"], weight_maps)
        write_label(paths["labels"], maps.argmax(axis=0).astype(np.uint8))
        self._inventory.add(source.name, source.digest())

    def _paths(self, name):
        kinds = {kind: self.folder / kind / f"{name}{scores.SUFFIX}" for kind, asked in self._kinds.items() if asked}
        return {**kinds, "labels": self.folder / f"{name}.png"}


def output(
    folder, row, weights_path, *, with_scores=False, with_weight_maps=False, flip=False, scales=(1.0,), **options
):
    """The Output of a row's weights: experiment, the weights' contents and the options decide the predictions."""
    options |= {"flip": flip, "scales": list(scales)}
    made_by = {"experiment": row.name, "weights_sha256": inventory.digest(weights_path), **options}
    kinds = {"with_scores": with_scores, "with_weight_maps": with_weight_maps}
    return Output(folder, made_by, {"origin": provenance.of_weights(weights_path)}, **kinds)


def record_of_scores(folder, row):
    """What decides the CRF's results besides its options: the row, and what made the predictions in `folder`."""
    return {"experiment": row.name, "scores": provenance.of_predictions(folder).get(KIND)}


def predictor(row, weights_path, gpus, threads=None):
    """A Predictor on the device chosen, after a look at what the weights are of. Raises UserError."""
    provenance.check_weights(weights_path, row)
    limit_threads(row, threads)
    device.choose(gpus)
    return Predictor(row, weights_path)


def predict(predictor, images, output, *, flip=False, scales=(1.0,), progress=iter):
    """Predicts Sources into `output`; returns how many were not there yet."""
    count = 0
    for source in progress(images):
        if output.has(source):
            continue
        maps = averaged_scores(predictor, source.read(), flip=flip, scales=scales, name=source.path)
        weight_maps = predictor.weight_maps() if len(scales) == 1 and not flip else None
        output.write(source, maps, weight_maps)
        count += 1
    return count


def frame_rate(path):
    """Frames a second, 25 where the file does not say."""
    video = cv2.VideoCapture(str(path))
    try:
        rate = video.get(cv2.CAP_PROP_FPS)
    finally:
        video.release()
    return rate if 1 <= rate <= 240 else 25.0
