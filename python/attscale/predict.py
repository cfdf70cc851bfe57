"""Predictions on disk: label maps, and on request scores and weight maps, an image at a time."""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np

from attscale import scores
from attscale.data.images import read_image, write_label
from attscale.errors import DataError, UserError
from attscale.files import make_folder, write_text
from attscale.infer import averaged_scores

RECORD = "predictions.json"
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


class Output:
    """A folder of predictions: `<id>.png`, and on request `scores/<id>.npz` and `weight_maps/<id>.npz`.

    What it was made by is recorded: results of other weights or options are refused, not mixed.
    """

    def __init__(self, folder, made_by, *, with_scores=False, with_weight_maps=False):
        self.folder = Path(folder)
        self._kinds = {"scores": with_scores, "weight_maps": with_weight_maps}
        path = self.folder / RECORD
        make_folder(self.folder)
        try:
            found = json.loads(path.read_text())
        except FileNotFoundError:
            write_text(path, json.dumps(made_by, indent=1) + "\n")
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: cannot be read: {error}") from None
        else:
            if other := sorted(key for key in made_by if found.get(key) != made_by[key]):
                raise UserError(
                    f"{self.folder}: holds predictions with {other[0]} {found.get(other[0])}, not {made_by[other[0]]}; "
                    "choose another --out"
                )

    def has(self, name):
        """Whether everything asked for `name` is there."""
        return all(path.exists() for path in self._paths(name).values())

    def write(self, name, maps, weight_maps):
        """Writes what was asked for; the label map last, so that it tells that the rest is there."""
        paths = self._paths(name)
        if "scores" in paths:
            scores.write(paths["scores"], maps)
        if "weight_maps" in paths and weight_maps is not None:
            scores.write(paths["weight_maps"], weight_maps)
        write_label(paths["labels"], maps.argmax(axis=0).astype(np.uint8))

    def _paths(self, name):
        kinds = {kind: self.folder / kind / f"{name}{scores.SUFFIX}" for kind, asked in self._kinds.items() if asked}
        return {**kinds, "labels": self.folder / f"{name}.png"}


def made_by(row, weights_path, **options):
    """What decides the predictions: the experiment, the weights' contents and the options."""
    try:
        with open(weights_path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{weights_path}: {error.strerror}") from None
    return {"experiment": row.name, "weights_sha256": digest, **options}


def predict(predictor, images, output, *, flip=False, scales=(1.0,), progress=iter):
    """Predicts (name, BGR image or a function that reads it) into `output`; returns how many were not there yet."""
    count = 0
    for name, read in progress(images):
        if output.has(name):
            continue
        image = read()
        maps = averaged_scores(predictor, image, flip=flip, scales=scales)
        weight_maps = predictor.weight_maps() if len(scales) == 1 and not flip else None
        output.write(name, maps, weight_maps)
        count += 1
    return count


def readers(paths, *, oriented):
    """(name, function that reads it) for image files. oriented: turn them as their EXIF tag says.

    Those of a data set are not turned, for their label maps are not.
    """
    return [(path.stem, lambda path=path: read_image(path, oriented=oriented)) for path in map(Path, paths)]


def frames(path):
    """The frames of a video, as (name, function that gives it). Raises DataError where none can be decoded."""
    video = cv2.VideoCapture(str(path))
    try:
        number = 0
        while True:
            done, frame = video.read()
            if not done:
                break
            number += 1
            yield f"frame_{number:06d}", lambda frame=frame: frame
        if not number:
            raise DataError(
                f"{path}: not a video that can be decoded" if Path(path).exists() else f"{path}: no such video"
            )
    finally:
        video.release()


def frame_rate(path):
    """Frames a second, 25 where the file does not say."""
    video = cv2.VideoCapture(str(path))
    try:
        rate = video.get(cv2.CAP_PROP_FPS)
    finally:
        video.release()
    return rate if 1 <= rate <= 240 else 25.0
