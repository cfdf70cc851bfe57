"""The archive that VOC's evaluation server takes, checked before it is written.

results/VOC2012/Segmentation/<competition>_<split>_cls/<id>.png: indexed PNGs of the images' sizes, with VOC's colour
map and class indices 0 to 20 (VOC 2012 development kit, "Results file format"; docs/release.md, Protocol).
"""

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from attscale import datasets
from attscale.data.images import decode_label, read_bytes, voc_palette
from attscale.errors import DataError, reading
from attscale.files import write_whole


def write(path, predictions, images, competition, split, progress=iter):
    """Writes the archive `path` (.tgz) of the label maps of `images`, `<id>.png` in `predictions`, whole or not at all.

    Raises DataError for the first label map that the server would refuse; nothing is written then.
    """
    folder = f"results/VOC2012/Segmentation/{competition}_{split}_cls"
    if missing := [image.stem for image in images if not Path(predictions, f"{image.stem}.png").is_file()]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DataError(f"{predictions}: lacks {missing[0]}.png{more} of {len(images)}")
    members = [
        (f"{folder}/{image.stem}.png", checked(Path(predictions, f"{image.stem}.png"), image))
        for image in progress(images)
    ]

    def save(temporary):
        with tarfile.open(temporary, "w:gz") as archive:
            for name, data in members:
                info = tarfile.TarInfo(name)
                info.size, info.mode = len(data), 0o644
                archive.addfile(info, io.BytesIO(data))

    write_whole(path, save)


def checked(path, image_path):
    """The bytes of the label map `path`, after everything that the server asks of it was found right."""
    data = read_bytes(path)
    label = decode_label(data, path)
    with Image.open(io.BytesIO(data)) as image:
        palette = image.getpalette()
    with reading(image_path, DataError), Image.open(image_path) as image:
        width, height = image.size
    if palette is None:
        raise DataError(f"{path}: not an indexed PNG, expected one with VOC's colour map")
    used = len(datasets.find("voc12").classes)
    if palette[: 3 * used] != voc_palette()[:used].ravel().tolist():
        raise DataError(f"{path}: its colour map is not VOC's")
    if label.shape != (height, width):
        raise DataError(f"{path}: is {label.shape[1]}x{label.shape[0]} pixels, its image {width}x{height}")
    if label.max(initial=0) >= used:
        value = int(np.min(label[label >= used]))
        raise DataError(f"{path}: has the value {value}, expected classes 0 to {used - 1}")
    return data
