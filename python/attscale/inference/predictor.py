"""Prediction with a deploy net: the release's test protocol."""

import numpy as np

from attscale import prototxt
from attscale.data import transforms
from attscale.errors import UserError, WeightsError
from attscale.inference.scores import classes_of
from attscale.machine import limits
from attscale.ops.interp import interp
from attscale.weights import load

_WEIGHTS, _FACTORS = "attention", "recalibration"  # blobs: of the weights, and of what scores are multiplied by


class Predictor:
    """A Model's deploy net with weights. Images of any size: the net is reshaped where its own size is too small.

    Questions about the last images, `scores` and the rest, take the image's number among them.
    """

    def __init__(self, model, weights=None, *, share_with=None):
        """A Caffemodel's weights, or those of the Model's training net, whose every step is then seen here."""
        self.model, self.parts = model, model.deployed
        self.net = prototxt.load(model.deploy)
        self._weights = f"the weights of {weights.path}" if share_with is None else "the weights in training"
        if share_with is not None:
            self.net.share_with(share_with)
        else:
            load.load(self.net, weights, complete=True)
        maps = {_WEIGHTS, _FACTORS} & set(self.net.blobs)
        if hasattr(self.net, "share_blobs"):  # ours has that, BVLC's own has not
            self.net.share_blobs(keep=[*self.parts.scores.values(), *maps])  # the output is kept by itself

    @property
    def classes(self):
        """How many classes the net tells apart."""
        return self.net.blobs[self.parts.output].data.shape[1]

    def forward(self, *images, names=()):
        """Runs the net on images (H, W, 3) uint8 BGR: less the mean, zero-padded bottom and right (release protocol).

        Height and width are each padded to the net's own size, or to the next 32k + 1 for the highest or widest
        image. Raises UserError, with the images' `names` where they are given, for images that are too large for Caffe,
        and WeightsError for weights that make no finite number of them.
        """
        sides = np.max([image.shape[:2] for image in images], axis=0)
        shape = (len(images), 3, *(max(self.parts.size, -(-(int(n) - 1) // 32) * 32 + 1) for n in sides))
        if self.net.blobs["data"].data.shape != shape:
            self._check_size(shape, images, names)
            self.net.blobs["data"].reshape(*shape)
            self.net.reshape()
        data = self.net.blobs["data"].data
        data[...] = 0
        for blob, image in zip(data, images, strict=True):
            height, width = image.shape[:2]
            blob[:, :height, :width] = image.transpose(2, 0, 1) - np.float32(self.model.dataset.mean)[:, None, None]
        self.sizes = [image.shape[:2] for image in images]
        with np.errstate(all="ignore"):  # an overflow in our layers is told once, below
            self.net.forward()
        self._check_finite(names)

    def _check_finite(self, names):
        """Raises WeightsError where an activation overflowed: argmax would make class 0 of it, without a word."""
        read = {self.parts.output, *self.parts.scores.values(), *({_WEIGHTS} & set(self.net.blobs))}
        if not all(np.isfinite(self.net.blobs[name].data).all() for name in read):
            image = ", ".join(map(str, names)) or "image"
            raise WeightsError(f"{image}: {self._weights} give scores that are not finite: an activation overflowed")

    def _check_size(self, shape, images, names):
        """Raises UserError where the net would be too large: Caffe would end the process."""
        if words := limits.excess(self.net, shape[0], *shape[2:]):
            said = " and ".join(f"{image.shape[1]}x{image.shape[0]}" for image in images)
            fits = limits.largest_side(self.net)
            raise UserError(
                f"{', '.join(map(str, names)) or 'image'}: {said} pixels are too large for {self.model.name}: padded "
                f"to {shape[3]}x{shape[2]}, {words}; {fits}x{fits} would fit"
            )

    def scores(self, number=0):
        """The merged scores of an image at full resolution, (classes, H, W), before the softmax."""
        return self._crop(self.net.blobs[self.parts.output].data[number], number)

    def labels(self, number=0):
        """The predicted class indices of an image, (H, W) uint8."""
        return classes_of(self.scores(number))

    def branch_labels(self, number=0):
        """What each scale's own score map would have predicted: {scale: (H, W) uint8}."""
        return {scale: classes_of(own) for scale, own in self._branch_scores(number)}

    def attention(self, number=0):
        """The weight maps of an image, (S, H, W) float32, summing to 1; None where the net has no attention."""
        return self._upsample(_WEIGHTS, number) if _WEIGHTS in self.net.blobs else None

    def recalibration(self, number=0):
        """How each class's scores of an image were recalibrated, (classes, H, W); None where the net does not do it.

        What they were multiplied by, 0 to 1, or what was added to them (`parts.recalibration`).
        """
        return self._upsample(_FACTORS, number) if _FACTORS in self.net.blobs else None

    def weight_maps(self, number=0):
        """How much each scale had to say, (S, H, W), summing to 1; None for a single scale.

        Attention's own weights; for max pooling 1 where a scale gave the predicted class its score, the finer one
        where two did; for average pooling 1 / S everywhere.
        """
        if self.parts.merge == "attention":
            return self.attention(number)
        if self.parts.merge is None:
            return None
        count = len(self.parts.scales)
        if self.parts.merge == "average":
            return np.full((count, *self.sizes[number]), 1 / count, np.float32)
        labels = self.labels(number)[None]
        own = [np.take_along_axis(maps, labels, axis=0)[0] for _, maps in self._branch_scores(number)]
        winner = np.argmax(own, axis=0)
        return (winner == np.arange(count)[:, None, None]).astype(np.float32)

    def _branch_scores(self, number):
        for scale, name in self.parts.scores.items():
            yield scale, self._upsample(name, number)

    def _upsample(self, name, number):
        """The maps of that name at the padded image's size, and so at the image's."""
        maps = self.net.blobs[name].data[number : number + 1]
        return self._crop(interp(maps, *self.net.blobs["data"].shape[2:])[0], number)

    def _crop(self, maps, number):
        height, width = self.sizes[number]
        return maps[:, :height, :width]


def averaged_scores(predictor, image, *, flip=False, scales=(1.0,), name="image"):
    """The mean of the scores (classes, H, W) that `image` gets at each of `scales`, and mirrored as well with `flip`.

    Neither is of the paper, whose own scales are inside of the net. At 1.0 without flip this is `predictor.scores`.
    Raises UserError for an image that is too large, by its `name`.
    """
    total = None
    for scale in scales:
        resized = transforms.scaled(image, scale)
        for mirrored in (False, True) if flip else (False,):
            predictor.forward(np.ascontiguousarray(resized[:, ::-1]) if mirrored else resized, names=[name])
            scores = predictor.scores()
            scores = scores[..., ::-1] if mirrored else scores
            if scores.shape[1:] != image.shape[:2]:
                scores = interp(np.ascontiguousarray(scores)[None], *image.shape[:2])[0]
            if total is None:
                total = scores.copy()
            else:
                total += scores
    total /= len(scales) * (2 if flip else 1)
    return total
