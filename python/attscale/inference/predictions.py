"""Predictions on disk: label maps, and on request scores and weight maps, an image at a time."""

import dataclasses
import time
from pathlib import Path

import numpy as np

from attscale.data.images import write_label
from attscale.errors import UserError
from attscale.inference import estimate as estimates
from attscale.inference import provenance, scores
from attscale.inference.beside import Behind, ahead
from attscale.inference.inventory import Inventory
from attscale.inference.predictor import Predictor, averaged_scores
from attscale.machine import device
from attscale.machine.threads import limit_threads
from attscale.weights import caffemodel


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What is kept besides the label maps, and what is averaged (`averaged_scores`)."""

    scores: bool = False
    weight_maps: bool = False
    flip: bool = False
    scales: tuple[float, ...] = (1.0,)

    def __post_init__(self):
        if self.weight_maps and (self.flip or len(self.scales) > 1):
            raise UserError("--weight-maps are of one pass: without --flip and --scales")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Done:
    """How many images were predicted, in how many seconds, and how many were there already."""

    count: int
    seconds: float
    there: int


class Output:
    """A folder of predictions: `<id>.png`, and on request `scores/<id>.npz` and `weight_maps/<id>.npz`.

    predictions.json says what made them, which is the experiment, the weights and the options, and predictions.jsonl
    of which images: others are refused, and weight maps of a net that has none.
    """

    def __init__(self, folder, model, weights, options):
        if options.weight_maps and model.merge is None:
            raise UserError(f"{model.name} merges no scales, and so has no weight maps")
        self.folder, self.options, self.colours = Path(folder), options, model.dataset.colours
        made_by = {
            "experiment": model.name,
            "weights_sha256": weights.sha256,
            "flip": options.flip,
            "scales": list(options.scales),
        }
        self._inventory = Inventory(folder, provenance.PREDICTIONS, made_by, {"origin": provenance.origin(weights)})

    def has(self, source):
        """Whether everything asked for the Source is there. Raises UserError where it is another image's."""
        there = all(path.exists() for path in self._paths(source.name).values())
        return there and self._inventory.has(source.name, source.digest, source.path)

    def write(self, source, maps, weight_maps, attention):
        """Writes what was asked for; the label map last, so that it tells that the rest is there.

        attention: (S, H, W), whose means are noted; None where there is none.
        """
        paths = self._paths(source.name)
        if self.options.scores:
            scores.write(paths["scores"], maps)
        if weight_maps is not None:
            scores.write(paths["weight_maps"], weight_maps)
        write_label(paths["labels"], scores.classes_of(maps), self.colours)
        means = {} if attention is None else {"attention": attention.mean(axis=(1, 2), dtype=np.float64).tolist()}
        self._inventory.add(source.name, source.digest, **means)

    def _paths(self, name):
        asked = [kind for kind in ("scores", "weight_maps") if getattr(self.options, kind)]
        return {kind: scores.name(self.folder / kind, name) for kind in asked} | {"labels": self.folder / f"{name}.png"}


def folder_of(model, split):
    """Where a model's predictions of a split go by default, or those of images that are of none (None)."""
    return Path("predictions", model.name, split or "")


def load_predictor(model, weights, gpus, threads=None):
    """A Predictor with the Caffemodel `weights`, on the device chosen. Raises WeightsError for those of another net."""
    provenance.check_weights(weights, model)
    limit_threads(model, threads)
    device.choose(gpus)
    return Predictor(model, weights)


def predict(model, weights_path, images, folder, options, *, gpus=(), threads=None, progress=iter):
    """Predicts the Sources `images` into `folder`, those that are not there yet; returns what was Done.

    weights_path: the model's caffemodel, which is read once, as each image is. Raises UserError. The image before is
    written, and the next one read, while the net runs.
    """
    weights = caffemodel.read(weights_path)
    output = Output(folder, model, weights, options)
    predictor = load_predictor(model, weights, gpus, threads)
    count = there = 0
    started = time.monotonic()
    with Behind() as behind:
        for source in progress(ahead(images)):
            if output.has(source):
                there += 1
                continue
            maps = _scores(predictor, source, options)
            weight_maps = predictor.weight_maps() if options.weight_maps else None
            one_pass = not options.flip and len(options.scales) == 1
            behind.call(output.write, source, maps, weight_maps, predictor.attention() if one_pass else None)
            count += 1
    return Done(count=count, seconds=time.monotonic() - started, there=there)


def estimate(model, weights_path, images, total, options, *, gpus=(), threads=None):
    """Yields lines on what `predict` would need for `total` images (None: unknown) like the first of `images`."""
    predictor = load_predictor(model, caffemodel.read(weights_path), gpus, threads)
    source = next(images)
    yield from estimates.lines(lambda: _scores(predictor, source, options), source.path, total, gpus)


def _scores(predictor, source, options):
    return averaged_scores(predictor, source.pixels(), flip=options.flip, scales=options.scales, name=source.path)
