"""Score maps on disk: one compressed file an image, (classes, H, W) float16, before the softmax."""

import io
import zipfile
from pathlib import Path

import numpy as np

from attscale.data.images import read_bytes
from attscale.errors import DataError, reading
from attscale.files import write_bytes

SUFFIX = ".npz"


def write(path, scores):
    """Writes (classes, H, W) scores, or (S, H, W) weights, as float16, whole or not at all.

    Raises DataError for scores that float16 cannot hold (65504 is its largest).
    """
    if not (largest := max(scores.max(), -scores.min())) <= np.finfo(np.float16).max:  # nor NaN
        raise DataError(f"{path}: a score map holds at most 65504 (float16), the net gives {largest:g}")

    # As numpy.savez_compressed has it, but for the level: NumPy's takes twice the time to save a twentieth of the size.
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        member = io.BytesIO()
        np.lib.format.write_array(member, np.asarray(scores, np.float16), allow_pickle=False)
        file.writestr(zipfile.ZipInfo("scores.npy"), member.getbuffer(), zipfile.ZIP_DEFLATED, compresslevel=1)
    write_bytes(path, content.getbuffer())


def read(path):
    """The maps in the file `path` as float32. Raises DataError for one that is missing, cut short, or no score map."""
    return decode(read_bytes(path), path)


def decode(data, path):
    """As `read`, from the bytes of the file `path`."""
    with reading(path, DataError), zipfile.ZipFile(io.BytesIO(data)) as file:
        member = file.read("scores.npy")  # whole, or its checksum would not be looked at
        scores = np.load(io.BytesIO(member), allow_pickle=False).astype(np.float32)
    if scores.ndim != 3:
        raise DataError(f"{path}: holds numbers of shape {scores.shape}, expected (classes, height, width)")
    if not np.isfinite(scores).all():  # beyond float16, say: the CRF would make no number of every pixel
        raise DataError(f"{path}: holds values that are not finite")
    return scores


def classes_of(maps):
    """The class of the highest of the scores (classes, H, W) at each pixel, the first of equals: (H, W) uint8.

    That is argmax, which takes four times as long: it gathers the classes of one pixel after the other.
    """
    highest, found = maps[0].copy(), np.zeros(maps.shape[1:], np.uint8)
    for index, score in enumerate(maps[1:], start=1):
        found[score > highest] = index
        np.maximum(highest, score, out=highest)
    return found


def name(folder, image_path):
    """Where the score map of an image lies in `folder`."""
    return Path(folder, Path(image_path).stem + SUFFIX)
