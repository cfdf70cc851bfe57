"""List files: a line names an image and its label map, both below the data set's root."""

import os
from pathlib import Path

from attscale.errors import DataError, reading
from attscale.files import write_text


def read_list(root, name, *, labels=True):
    """The pairs (image path, label path) of the list file `root/name`; without `labels`, pairs may end in None.

    Lines are those of the original release: `/JPEGImages/x.jpg /SegmentationClassAug/x.png`; the leading slash
    means the root. Raises DataError for a missing or empty list and for a line that is not a pair. Whether the files
    exist is checked when they are read.
    """
    root, path = Path(root), Path(root, name)
    if not path.exists():
        raise DataError(f"{path}: no such list file; prepare the data first (python tools/prepare_data.py --help)")
    with reading(path, DataError):
        lines = path.read_text().splitlines()
    pairs = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        names = line.split()
        if len(names) != 2 and (labels or len(names) != 1):
            raise DataError(f"{path}:{number}: {line!r}: expected an image and a label map")
        paths = [root / name.lstrip("/") for name in names]
        pairs.append((paths[0], paths[1] if labels else None))
    if not pairs:
        raise DataError(f"{path}: the list is empty")
    return pairs


def has_labels(root, name):
    """Whether the list `root/name` is one of label maps, too: VOC's test list has images alone. Raises DataError."""
    path = Path(root, name)
    with reading(path, DataError):
        return {len(line.split()) for line in path.read_text().splitlines() if line.strip()} != {1}


def write_list(root, name, pairs):
    """Writes pairs of paths relative to `root` as the list file `root/name`, in the release's format."""
    write_text(Path(root, name), list_text(pairs))


def list_text(pairs):
    """The text of a list file of `pairs`, image and label map relative to the root."""
    return "".join(f"/{image} /{label}\n" for image, label in pairs)


def check_pairs(pairs, path):
    """Raises DataError for the first pair that is not there, with how many are missing."""
    missing = [name for pair in pairs for name in pair if not os.path.exists(name)]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DataError(f"{path} names {missing[0]}{more}, which does not exist")


def read_split(dataset, data_root, split):
    """The pairs of a split of `dataset` (`attscale.datasets.DataSet`) below the folder `data_root`, all there."""
    root, name = Path(data_root, dataset.root), dataset.list_of(split)
    pairs = read_list(root, name)
    check_pairs(pairs, root / name)
    return pairs


def read_images(dataset, data_root, split):
    """The images of a split, all there, whether they have label maps or not (VOC's test set has none)."""
    return images_of(dataset, data_root, dataset.list_of(split))


def images_of(dataset, data_root, name):
    """The images of the list `name`, as `read_images`."""
    root = Path(data_root, dataset.root)
    images = [image for image, _ in read_list(root, name, labels=False)]
    check_pairs([(image,) for image in images], root / name)
    return images
