"""python whole_net.py FILE NAME CROP: one pass of a training net at full width, with everything that came out of it."""

import dataclasses
import sys
import tempfile
from pathlib import Path

import caffe
import numpy as np
from google.protobuf import text_format

from attscale import experiments, prototxt
from helpers.net_cases import with_inputs


def main(out, name, crop):
    row = experiments.find(name)
    row = dataclasses.replace(row, trunk=dataclasses.replace(row.trunk, from_scratch=True), pretraining=None)
    message = with_inputs(prototxt.train_net(dataclasses.replace(row, crop_size=crop)), 2, crop)
    caffe.set_random_seed(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.prototxt")
        path.write_text(text_format.MessageToString(message))
        net = caffe.Net(str(path), caffe.TRAIN)
    rng = np.random.default_rng(0)
    net.blobs["data"].data[...] = rng.normal(0, 60, net.blobs["data"].data.shape)
    labels = rng.integers(0, 22, net.blobs["label"].data.shape)
    net.blobs["label"].data[...] = np.where(labels == 21, 255, labels)
    losses = {f"loss {top}": value for top, value in net.forward().items()}
    net.backward()
    scores = {f"scores {top}": net.blobs[top].data for top in net.blobs if top.startswith("fc8") and "label" not in top}
    gradients = {f"gradient {key} {i}": blob.diff for key, blobs in net.params.items() for i, blob in enumerate(blobs)}
    np.savez(out, **losses, **scores, **gradients)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
