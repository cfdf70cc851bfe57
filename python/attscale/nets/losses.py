"""The 1 + S cross entropy losses, each of weight one (section 3.3)."""

from caffe import layers as L

from attscale.datasets import IGNORE


def softmax_loss(branch, name, scores, label):
    """Mean over the pixels of the batch that are not 255 (Caffe's default normalisation, VALID)."""
    return branch.add(name, L.SoftmaxWithLoss(scores, label, loss_param={"ignore_label": IGNORE}))
