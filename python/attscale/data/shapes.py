"""The generated set `shapes`: discs, triangles, squares and stars, over a wide range of sizes, in VOC's layout.

Colours and textures of objects and backgrounds come from one distribution for all classes, so only the outline tells
them apart. Sizes are log-uniform over a factor of 18: at the feature stride of 8, small objects cover two cells and
need the finest scale, while the inside of a large one is farther from its outline than most of what an output sees at
scale 1 (docs/fidelity.md).
"""

import dataclasses
import json
import shutil
from pathlib import Path

import cv2
import numpy as np

from attscale import datasets
from attscale.data.images import write_image, write_label
from attscale.data.lists import write_list
from attscale.datasets import IGNORE
from attscale.errors import DataError, UserError, reading
from attscale.files import write_text

#: Side of the images and smallest and largest diameter of an object, in pixels.
SIDE, SMALLEST, LARGEST = 257, 12, 216
_VERSION = 1  # of the drawing rules: a set made by others is not taken for this one


@dataclasses.dataclass(frozen=True)
class Shape:
    """One object: class index, diameter of its circumscribed circle, centre (x, y) and turn in radians."""

    label: int
    diameter: float
    centre: tuple[float, float]
    turn: float

    def outline(self):
        """The polygon as (corners, 2) float pixels."""
        name = datasets.find("shapes").classes[self.label]
        corners = {"disc": 64, "triangle": 3, "square": 4, "star": 10}[name]
        angle = self.turn + 2 * np.pi * np.arange(corners) / corners
        radius = np.full(corners, self.diameter / 2)
        if name == "star":
            radius[1::2] *= 0.4
        return np.asarray(self.centre) + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)

    def mask(self, side):
        """(side, side) uint8, 1 inside."""
        fraction = 4  # bits of subpixel position, so that small outlines keep their form
        canvas = np.zeros((side, side), np.uint8)
        cv2.fillPoly(canvas, [np.round(self.outline() * 2**fraction).astype(np.int32)], 1, shift=fraction)
        return canvas


def draw_shapes(rng, side=SIDE, count=3):
    """`count` objects, largest first, each placed where it hides least of the earlier ones, of eight random places."""
    diameters = np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST), count))
    covered = np.zeros((side, side), bool)
    shapes = []
    for diameter in sorted(diameters, reverse=True):
        label, turn = int(rng.integers(1, len(datasets.find("shapes").classes))), float(rng.uniform(0, 2 * np.pi))
        places = rng.uniform(diameter / 2, side - diameter / 2, (8, 2))
        candidates = [Shape(label, float(diameter), (float(x), float(y)), turn) for x, y in places]
        shape = min(candidates, key=lambda candidate: np.count_nonzero(covered & (candidate.mask(side) > 0)))
        covered |= shape.mask(side) > 0
        shapes.append(shape)
    return shapes


def _texture(rng, side):
    """(side, side, 3) float32: a colour, a slow drift and noise of a random grain; the same law for all surfaces."""
    colour = rng.uniform(40, 215, 3)
    drift = cv2.resize(rng.normal(0, 14, (3, 3, 3)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    grain = int(rng.integers(2, 17))
    cells = -(-side // grain) + 1
    noise = cv2.resize(
        rng.normal(0, rng.uniform(4, 16), (cells, cells, 3)).astype(np.float32),
        (side, side),
        interpolation=cv2.INTER_LINEAR,
    )
    return colour.astype(np.float32) + drift + noise


def render(rng, shapes, side=SIDE):
    """Image (side, side, 3) uint8 BGR; class and instance maps (side, side) uint8 with a border of 255, as VOC's."""
    image = _texture(rng, side)
    classes = np.zeros((side, side), np.uint8)
    instances = np.zeros((side, side), np.uint8)
    for number, shape in enumerate(shapes, start=1):
        inside = shape.mask(side) > 0
        around = np.median(image[inside], axis=0)
        surface = _texture(rng, side)
        while np.abs(np.median(surface[inside], axis=0) - around).max() < 50:  # an outline must be there to be seen
            surface = _texture(rng, side)
        image[inside] = surface[inside]
        classes[inside], instances[inside] = shape.label, number
    border = cv2.morphologyEx(instances, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    classes[border] = instances[border] = IGNORE
    image = cv2.GaussianBlur(image, (3, 3), 0) + rng.normal(0, 3, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), classes, instances


def make(root, *, train, val, seed, progress=iter):
    """Writes the set to `root`; an existing one with the same numbers is kept, any other is refused (DataError).

    Returns whether it was made. `progress` wraps the iteration over image numbers (tqdm, say).
    """
    root = Path(root)
    recipe = {"version": _VERSION, "seed": seed, "train": train, "val": val}
    if root.exists():
        found = _recipe_of(root)
        if found == recipe:
            return False
        raise DataError(
            f"{root} holds {found or 'something else'!s:.100}, wanted {recipe}: remove it or choose another --root"
        )
    partial = root.with_name(root.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    names = [f"{number:06d}" for number in range(train + val)]
    for number in progress(range(train + val)):
        rng = np.random.default_rng([seed, number])
        image, classes, instances = render(rng, draw_shapes(rng))
        write_image(partial / "JPEGImages" / f"{names[number]}.jpg", image)
        write_label(partial / "SegmentationClass" / f"{names[number]}.png", classes)
        write_label(partial / "SegmentationObject" / f"{names[number]}.png", instances)
    for split, members in (("train", names[:train]), ("val", names[train:])):
        write_text(partial / "ImageSets" / "Segmentation" / f"{split}.txt", "".join(f"{name}\n" for name in members))
        pairs = [(f"JPEGImages/{name}.jpg", f"SegmentationClass/{name}.png") for name in members]
        write_list(partial, f"list/{split}.txt", pairs)
    write_text(partial / "shapes.json", json.dumps(recipe) + "\n")
    partial.rename(root)
    return True


def _recipe_of(root):
    try:
        with reading(root / "shapes.json"):
            return json.loads((root / "shapes.json").read_text())
    except UserError:
        return None
