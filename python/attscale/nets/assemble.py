"""A row's nets: for training, from the data layer to the losses, and for testing, from an image to its scores."""

import caffe
from caffe import layers as L

from attscale.nets.blocks import Branch, python_layer
from attscale.nets.geometry import FINEST, STRIDE, label_shrink, merged_stride, scores_name, suffix
from attscale.nets.losses import softmax_loss
from attscale.nets.msc import msc_net
from attscale.nets.share_net import share_net
from attscale.ops.interp import SizeRule


def train_net(row, options):
    """The training net as NetParameter: SegData with these LoaderOptions, share-net or MSc, and the losses."""
    net = caffe.NetSpec()
    root = Branch(net)
    data, label = python_layer("SegData", options=options, ntop=2)
    root.add("data", data)
    root.add("label", label)
    names = {"classes": options.classes, "scores_name": scores_name(row)}
    if row.msc:
        fused = msc_net(row, net, data, full_resolution=False, **names)
        softmax_loss(root, "loss", fused, _shrunken(root, label, FINEST))
    else:
        _supervise(row, net, label, share_net(row, net, data, with_weights=False, **names))
    return _message(row, net)


def deploy_net(row, classes, size):
    """The test net as NetParameter: input `data` 1x3xSxS, output at S x S, before the softmax (`geometry.OUTPUTS`)."""
    net = caffe.NetSpec()
    root = Branch(net)
    data = root.add("data", L.Input(shape={"dim": [1, 3, size, size]}))
    names = {"classes": classes, "scores_name": scores_name(row)}
    if row.msc:
        msc_net(row, net, data, full_resolution=True, **names)
    else:
        scores = share_net(row, net, data, with_weights=True, **names)
        root.interp("fc8_interp", scores.merged, SizeRule(zoom_factor=merged_stride(row)))
    return _message(row, net)


def _supervise(row, net, label, scores):
    """A loss on the merged `Scores` and, with extra supervision, on each scale's own (section 3.3).

    Labels are shrunk to the map that they are held against: the merged one may be finer than the finest scale's own.
    """
    root = Branch(net)
    merged = _shrunken(root, label, FINEST, merged_stride(row))
    softmax_loss(root, "loss" if row.merge is None else "loss_fusion", scores.merged, merged)
    labels = {FINEST: merged} if merged_stride(row) == STRIDE else {}
    for scale in row.scales if row.extra_supervision else ():
        branch = Branch(net, suffix(scale))
        if row.supervise_at == "finest" and scale.numerator > 1:  # release: 3/4 at the finest size, 1/2 at its own
            softmax_loss(branch, "loss", scores.aligned[scale], merged)
            continue
        if scale not in labels:
            labels[scale] = _shrunken(branch, label, scale)
        softmax_loss(branch, "loss", scores.own[scale], labels[scale])


def _shrunken(branch, label, scale, stride=STRIDE):
    name = "label_shrink" if stride == STRIDE else "label_shrink_fusion"
    return branch.add(name, python_layer("LabelShrink", label, options=label_shrink(scale, stride)))


def _message(row, net):
    message = net.to_proto()
    message.name = row.name
    return message
