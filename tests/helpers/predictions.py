"""Shared by the tests of predictions: weights and images to predict with, and the command."""

import caffe
import cv2
import numpy as np

from attscale import experiments, prototxt
from attscale.data import shapes
from attscale.inference.predictor import Predictor
from attscale.prototxt import Model
from attscale.weights import caffemodel


def make_untrained(folder):
    """Weights of the shapes net by its fillers, and a val split of three images, in `folder`; returns it."""
    caffe.set_random_seed(1)
    shapes.make(folder / "data/shapes", train=1, val=3, seed=0)
    prototxt_path = folder / "net.prototxt"
    refining = ("shapes_refine2_esupv", "shapes_refine2_esupv_bias")
    for name in ("shapes", "shapes_max3_esupv", "shapes_average3_esupv", "shapes_largefov", *refining):
        prototxt_path.write_text(str(prototxt.deploy_net(experiments.find(name))))
        caffe.Net(str(prototxt_path), caffe.TEST).save(str(folder / f"{name}.caffemodel"))
    return folder


def of(untrained, name):
    """The Predictor of one of these nets."""
    return Predictor(Model.of(experiments.find(name)), caffemodel.read(untrained / f"{name}.caffemodel"))


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def run(tool, untrained, *arguments, weights="shapes"):
    given = ("--weights", untrained / f"{weights}.caffemodel", "--data", untrained / "data")
    return tool("predict", "shapes", *given, *arguments)


def clip(path, count=3, seed=0):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (64, 48))
    for i in range(count):
        writer.write(picture(48, 64, seed + i))
    writer.release()
