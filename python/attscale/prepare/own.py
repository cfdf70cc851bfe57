"""A user's own data set: its lists, out of a folder of images and one of label maps, and what to say of it."""

import math
import random
from pathlib import Path, PurePosixPath

from attscale.data.images import SUFFIXES, image_size
from attscale.data.lists import read_list, write_list
from attscale.datasets import FILE, IGNORE
from attscale.errors import DataError

#: Pixels a side of the largest square image that nets of full width take at test time, by paper: what Caffe can hold.
LARGEST = {"Attention to Refine": 1249, "Attention to Scale": 1921}


def lists(dataset):
    """The list files that are made of a set's folders, relative to its root."""
    return [dataset.list_of(split) for split in (dataset.train, dataset.val)] if dataset.folders else []


def make_lists(dataset, root):
    """Writes the training and the validation list of a set with `folders`; returns {split: how many images}.

    An image's label map has its name, but for the suffix .png. Which images are for validation is drawn by the seed.
    Raises DataError, before anything is written, for images without label map, for two of one name, and for names
    with spaces, which lists cannot hold.
    """
    folders, root = dataset.folders, Path(root)
    images = _images(root / folders.images)
    for name in (name for image in images for name in _pair(image, folders)):
        if len(name.split()) > 1:
            raise DataError(f"{root / name}: has a space in its name, which a list cannot hold; rename it")
    missing = [image for image in images if not (root / folders.labels / f"{image.stem}.png").is_file()]
    if missing:
        more = f", nor have {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DataError(f"{missing[0]} has no label map {root / folders.labels / missing[0].stem}.png{more}")
    count = min(len(images) - 1, max(1, round(folders.val * len(images))))
    val = set(random.Random(folders.seed).sample(images, count))
    chosen = {dataset.train: [i for i in images if i not in val], dataset.val: [i for i in images if i in val]}
    for split, members in chosen.items():
        write_list(root, dataset.list_of(split), [_pair(image, folders) for image in members])
    return {split: len(members) for split, members in chosen.items()}


def remarks(dataset, root, reports):
    """Yields a line on each thing that is no fault, but may not be meant.

    The largest image, and classes that are nowhere in the training list. reports: {list file: its Report by verify}.
    """
    yield _largest(dataset, Path(root))
    train = Path(root, dataset.list_of(dataset.train))
    if train in reports and (line := _unseen(dataset, reports[train].pixels)):
        yield f"{train}: {line}"


def _largest(dataset, root):
    """What to say of the largest image of all lists, label maps or not."""
    lists = {split.list for split in dataset.splits.values() if (root / split.list).exists()}
    images = {image for name in lists for image, _ in read_list(root, name, labels=False)}
    sizes = {image: image_size(image) for image in sorted(images)}
    image = max(sizes, key=lambda image: (_padded(sizes[image]), math.prod(sizes[image])))
    said = f"largest image: {image}, {sizes[image][1]}x{sizes[image][0]} pixels"
    if _padded(sizes[image]) <= min(LARGEST.values()) ** 2:
        return said
    limits = ", ".join(f"of {paper} more than {side}x{side}" for paper, side in LARGEST.items())
    return f"{said}; nets of full width may not take it at test time ({limits}): make it and its label map smaller"


def _padded(size):
    """How many pixels an image of that (height, width) has for a net: sides are padded to 32k + 1."""
    height, width = (-(-(side - 1) // 32) * 32 + 1 for side in size)
    return height * width


def _unseen(dataset, pixels):
    """What to say of the classes of which the training list has no pixel, if there are any; pixels: by value."""
    unseen = [name for index, name in enumerate(dataset.classes) if not pixels[index]]
    if not unseen:
        return None
    said = f"no pixel is of {', '.join(map(repr, unseen))}, which nets cannot learn"
    if pixels[IGNORE] and not dataset.map:
        said += f"; where {IGNORE} stands for a class, {FILE} has to say so: map = {{ {IGNORE} = 1, 0 = 0 }}"
    return said


def _pair(image, folders):
    """What a list says of an image: it and its label map, below the root."""
    return (
        (PurePosixPath(folders.images) / image.name).as_posix(),
        (PurePosixPath(folders.labels) / f"{image.stem}.png").as_posix(),
    )


def _images(folder):
    """The images of a folder, sorted by name, less hidden ones, which macOS leaves beside the others."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder, of images")
    shown = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    found = [path for path in shown if path.suffix.lower() in SUFFIXES]
    if len(found) < 2:
        raise DataError(f"{folder}: has {len(found)} images ({', '.join(sorted(SUFFIXES))}), expected 2 or more")
    stems = {}
    for path in found:
        if path.stem in stems:
            raise DataError(f"{path} and {stems[path.stem]} would have the same label map, {path.stem}.png")
        stems[path.stem] = path
    return found
