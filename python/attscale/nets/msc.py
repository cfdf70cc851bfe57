"""DeepLab-MSc-LargeFOV: classifiers on image and pool1 to pool4, added to a frozen LargeFOV's scores (release)."""

from caffe import layers as L
from caffe import params as P

from attscale.nets import vgg16
from attscale.nets.blocks import Branch
from attscale.nets.geometry import MSC_CHANNELS, STRIDE
from attscale.ops.interp import SizeRule

_SMALL, _USUAL = {"type": "gaussian", "std": 0.001}, {"type": "gaussian", "std": 0.01}
_POOL4 = {"type": "gaussian", "std": 0.005}
# (branch, stride of its first convolution in training, its zoom at test time, fillers of X_fc and X_ms)
BRANCHES = (
    ("data", 8, 1, _SMALL, _USUAL),
    ("pool1", 4, 2, _SMALL, _USUAL),
    ("pool2", 2, 4, _SMALL, _USUAL),
    ("pool3", 1, 8, _SMALL, _USUAL),  # authors' copy; DeepLab's release has none, which is zero
    ("pool4", 1, 8, _POOL4, _USUAL),
)


def msc_net(row, net, data, *, classes, scores_name, full_resolution):
    """Adds trunk and branches to `net`; returns the fused score map, fc_fusion.

    The trunk has lr 0 and is to be loaded with trained LargeFOV weights: the first of the two training steps. In
    training all branches come out at stride 8; with `full_resolution` (the release's test net) the branches keep
    their own resolution and are zoomed to that of the image (2, 4, 8, 8; fc8 by 8) before they are added.
    """
    trunk = Branch(net, frozen=True)
    tops = {"data": data, **vgg16.largefov(trunk, data, row.trunk)}
    fc8 = vgg16.classifier(trunk, scores_name, tops["fc7"], classes, lr_mult=row.solver.final_lr_mult)
    root = Branch(net)
    scores = []
    for name, stride, zoom, fc_filler, ms_filler in BRANCHES:
        stride = 1 if full_resolution else stride
        top = _branch(root, name, tops[name], classes, stride, row.trunk.dropout, fc_filler, ms_filler)
        scores.append(_zoomed(root, f"{name}_ms", top, zoom) if full_resolution else top)
    scores.append(_zoomed(root, scores_name, fc8, STRIDE) if full_resolution else fc8)
    return root.add("fc_fusion", L.Eltwise(*scores, operation=P.Eltwise.SUM))


def _branch(root, name, top, classes, stride, dropout, fc_filler, ms_filler):
    """X_conv, X_fc and X_ms on the top X."""
    top = root.conv(f"{name}_conv", top, MSC_CHANNELS, stride=stride, filler=_SMALL)
    top = root.dropout(f"{name}_conv_drop", root.relu(f"{name}_conv_relu", top), dropout)
    top = root.conv(f"{name}_fc", top, MSC_CHANNELS, kernel_size=1, filler=fc_filler)
    top = root.dropout(f"{name}_fc_drop", root.relu(f"{name}_fc_relu", top), dropout)
    return root.conv(f"{name}_ms", top, classes, kernel_size=1, filler=ms_filler)


def _zoomed(root, name, top, factor):
    return top if factor == 1 else root.interp(f"{name}_interp", top, SizeRule(zoom_factor=factor))
