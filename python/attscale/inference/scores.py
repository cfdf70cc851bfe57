"""Score maps on disk: one compressed file an image, (classes, H, W) float16, before the softmax."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from attscale.errors import DataError
from attscale.files import write_whole

SUFFIX = ".npz"


def write(path, scores):
    """Writes (classes, H, W) scores, or (S, H, W) weights, as float16, whole or not at all."""

    def save(temporary):
        with open(temporary, "wb") as file:
            np.savez_compressed(file, scores=np.asarray(scores, np.float16))

    write_whole(path, save)


def read(path):
    """The maps in the file `path` as float32. Raises DataError for one that is missing, cut short, or no score map."""
    try:
        with np.load(path, allow_pickle=False) as file:
            scores = file["scores"]
    except FileNotFoundError:
        raise DataError(f"{path}: no such score map") from None
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: not a score map, or cut short: {error}") from None
    if scores.ndim != 3 or scores.dtype != np.float16 or not scores.size:
        raise DataError(f"{path}: holds {scores.dtype} of shape {scores.shape}, expected float16 (classes, H, W)")
    scores = scores.astype(np.float32)
    if not np.isfinite(scores).all():
        raise DataError(f"{path}: holds values that are not finite")
    return scores


def name(folder, image_path):
    """Where the score map of an image lies in `folder`."""
    return Path(folder, Path(image_path).stem + SUFFIX)
