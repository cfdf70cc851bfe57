"""Shared by the tests of pictures: what can be seen in them."""

import cv2
import numpy as np


def pixels(path, colour):
    """How many pixels of a picture have a colour, BGR, but for what a picture's scaling does to it."""
    image = cv2.imread(str(path)).astype(int)
    return int((np.abs(image - colour).max(axis=-1) <= 3).sum())
