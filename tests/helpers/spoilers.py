"""Ways to spoil the miniature set `mini`: each damages the pair 3 and returns a pattern of what is to be said."""

import os

import cv2
import numpy as np
from PIL import Image

from attscale.data.images import write_label


def spoil_missing(root):
    (root / "JPEGImages/3.jpg").unlink()
    return "3.jpg: no such file"


def spoil_pipe(root):
    """A FIFO that nobody writes to, which would be waited for for ever."""
    (root / "JPEGImages/3.jpg").unlink()
    os.mkfifo(root / "JPEGImages/3.jpg")
    return "3.jpg: is no regular file"


def spoil_device(root):
    """One that never ends."""
    (root / "SegmentationClass/3.png").unlink()
    (root / "SegmentationClass/3.png").symlink_to("/dev/zero")
    return "3.png: is no regular file"


def spoil_image(root):
    (root / "JPEGImages/3.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    return "3.jpg: not a readable image"


def spoil_empty_image(root):
    (root / "JPEGImages/3.jpg").write_bytes(b"")
    return "3.jpg: not a readable image"


def spoil_cut_image(root):
    """Cut, and ended as if it were whole: OpenCV fills the rest with grey."""
    path = root / "JPEGImages/3.jpg"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3] + b"\xff\xd9")
    assert cv2.imread(str(path)).shape == (50, 50, 3)
    return "3.jpg: a damaged JPEG: libjpeg says 'Corrupt JPEG data"


def spoil_image_inside(root):
    """200 bytes of its middle overwritten, none of them 255, with which markers begin."""
    path = root / "JPEGImages/3.jpg"
    data = bytearray(path.read_bytes())
    garbage = np.random.default_rng(0).integers(0, 255, 200, np.uint8).tobytes()
    data[len(data) // 2 : len(data) // 2 + 200] = garbage
    path.write_bytes(data)
    assert cv2.imread(str(path)).shape == (50, 50, 3)
    return "3.jpg: a damaged JPEG: libjpeg says 'Corrupt JPEG data"


def spoil_size(root):
    write_label(root / "SegmentationClass/3.png", np.zeros((50, 49), np.uint8))
    return "3.jpg is 50x50 pixels, its label .*3.png 49x50"


def spoil_value(root):
    label = np.zeros((50, 50), np.uint8)
    label[7, 7:10] = 38  # what a palette PNG's red becomes in grey
    write_label(root / "SegmentationClass/3.png", label)
    return "3.png: 3 pixels have the value 38, expected a class from 0 to 4 or 255"


def spoil_colour(root):
    path = root / "SegmentationClass/3.png"
    Image.open(path).convert("RGB").save(path)
    return "3.png: a label map must be .*; this one is colour"


def spoil_truncated_label(root):
    path = root / "SegmentationClass/3.png"
    path.write_bytes(path.read_bytes()[:-60])
    return "3.png: a damaged PNG: its chunk b'IDAT' is cut"


def spoil_label_format(root):
    cv2.imwrite(str(root / "x.jpg"), np.zeros((50, 50), np.uint8))
    (root / "x.jpg").rename(root / "SegmentationClass/3.png")
    return "3.png: a label map must be a PNG"


SPOILERS = [
    spoil_missing,
    spoil_pipe,
    spoil_device,
    spoil_image,
    spoil_empty_image,
    spoil_cut_image,
    spoil_image_inside,
    spoil_size,
    spoil_value,
    spoil_colour,
    spoil_truncated_label,
    spoil_label_format,
]
