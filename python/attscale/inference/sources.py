"""What is predicted: images of a data set, images by name, and the frames of a video, each read once."""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from attscale.data.images import SUFFIXES, decode_image, read_bytes
from attscale.data.lists import read_images
from attscale.errors import DataError, UserError, reading
from attscale.inference import inventory


@dataclasses.dataclass(frozen=True)
class Source:
    """An image to predict: its name in the results, what errors call it, its digest, and what gives its pixels."""

    name: str
    path: str
    digest: str
    pixels: Callable[[], np.ndarray]  # (H, W, 3) uint8 BGR


def choose(dataset, names, split, data_root):
    """The image files to work on, and the split that they are: those `names`, which are of no split (None), if any.

    Without names: those of the split of the data set (None: its validation set) below the folder `data_root`.
    """
    if names:
        return find_images(names), None
    split = split or dataset.val
    return read_images(dataset, data_root, split), split


def find_images(names):
    """The image files among `names`, and those in the folders among them, sorted by name.

    Raises UserError for a folder without images, and for two that would have the same name in the results.
    """
    found = {}
    for name in map(Path, names):
        inside = [name]
        if name.is_dir():
            inside = sorted(path for path in name.iterdir() if path.suffix.lower() in SUFFIXES)
            if not inside:
                raise UserError(f"{name}: has no images ({', '.join(sorted(SUFFIXES))})")
        for path in inside:
            if path.stem in found:
                raise UserError(f"{path} and {found[path.stem]} would both be {path.stem}.png")
            found[path.stem] = path
    return list(found.values())


def files(paths, *, oriented):
    """Yields Sources of image files. oriented: turn them as their EXIF tag says.

    Those that are named are turned; those of a data set are not, for their label maps are not. Raises DataError.
    """
    for path in map(Path, paths):
        data = read_bytes(path)
        pixels = partial(decode_image, data, path, oriented=oriented)
        yield Source(path.stem, str(path), inventory.digest(data), pixels)


def frames(path):
    """Yields Sources of a video's frames, in their order.

    Raises DataError where none can be decoded, and at the end where the file announces more frames than it holds.
    """
    video = _opened(path)
    announced = int(video.get(cv2.CAP_PROP_FRAME_COUNT))  # 0 or less where the format does not say
    number = 0
    while True:
        done, frame = video.read()
        if not done:
            break
        number += 1
        name = f"frame_{number:06d}"
        yield Source(name, f"{path}, {name}", inventory.digest(frame), lambda frame=frame: frame)
    if not number:
        raise DataError(f"{path}: not a video that can be decoded")
    if number < announced:
        raise DataError(f"{path}: only {number} of its {announced} frames can be decoded; is it cut short?")


def frame_count(path):
    """How many frames a video announces; None where its format does not say."""
    announced = int(cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT))
    return announced if announced > 0 else None


def frame_rate(path):
    """Frames a second of a video, 25 where the file does not say."""
    rate = _opened(path).get(cv2.CAP_PROP_FPS)
    return rate if 1 <= rate <= 240 else 25.0


def _opened(path):
    with reading(path, DataError):  # refuses what is no file, and so might never end
        Path(path).stat()
    return cv2.VideoCapture(str(path))
