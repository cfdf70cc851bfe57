"""The layers of the generated nets as nets of their own, at the sizes that crops of 321 and 513 give them."""

from attscale.options import encode
from conftest import input_layer

FORCED = "force_backward: true\n"  # gradients of the inputs, too


def layer(kind, bottoms, tops, param=""):
    ends = " ".join([*(f'bottom: "{name}"' for name in bottoms), *(f'top: "{name}"' for name in tops)])
    return f'layer {{ name: "{tops[0]}_{kind}" type: "{kind}" {ends} {param} }}\n'


def conv(bottom, top, outputs, form="kernel_size: 1"):
    return layer(
        "Convolution",
        [bottom],
        [top],
        f'convolution_param {{ num_output: {outputs} {form} weight_filler {{ type: "msra" }} }}',
    )


def python(name, bottoms, tops, param_str=""):
    param = f'module: "attscale.layers" layer: "{name}"' + (f" param_str: {param_str!r}" if param_str else "")
    return layer("Python", bottoms, tops, f"python_param {{ {param} }}")


def _one(kind, shape, param="", top="top"):
    """A layer on `data` of this shape."""
    return FORCED + input_layer("data", shape) + layer(kind, ["data"], [top], param)


def _several(kind, count, shape, param=""):
    names = [f"data{number}" for number in range(count)]
    return FORCED + "".join(input_layer(name, shape) for name in names) + layer(kind, names, ["top"], param)


_CONVOLUTIONS = [  # shape of the bottom, outputs, form
    ((1, 3, 321, 321), 64, "kernel_size: 3 pad: 1"),  # conv1_1
    ((1, 64, 321, 321), 64, "kernel_size: 3 pad: 1"),  # conv1_2
    ((1, 64, 241, 241), 64, "kernel_size: 3 pad: 1"),  # at scale 3/4
    ((2, 256, 81, 81), 256, "kernel_size: 3 pad: 1"),  # conv3
    ((2, 512, 41, 41), 512, "kernel_size: 3 pad: 2 dilation: 2"),  # conv5
    ((1, 512, 65, 65), 512, "kernel_size: 3 pad: 2 dilation: 2"),
    ((2, 512, 41, 41), 1024, "kernel_size: 3 pad: 12 dilation: 12"),  # fc6
    ((1, 512, 65, 65), 1024, "kernel_size: 3 pad: 12 dilation: 12"),
    ((1, 512, 21, 21), 1024, "kernel_size: 3 pad: 12 dilation: 12"),  # at scale 1/2
    ((2, 512, 41, 41), 512, "kernel_size: 3 pad: 12 dilation: 12 engine: CAFFE"),  # without cuDNN
    ((2, 1024, 41, 41), 1024, "kernel_size: 1"),  # fc7
    ((1, 1024, 65, 65), 21, "kernel_size: 1"),  # fc8
    ((1, 3072, 41, 41), 512, "kernel_size: 3 pad: 1"),  # att_conv1
    ((2, 512, 41, 41), 3, "kernel_size: 1"),  # att_fc
    ((1, 3, 321, 321), 128, "kernel_size: 3 pad: 1 stride: 8"),  # MSc's branches in training
    ((1, 64, 161, 161), 128, "kernel_size: 3 pad: 1 stride: 4"),
    ((2, 128, 81, 81), 128, "kernel_size: 3 pad: 1 stride: 2"),
    ((1, 960, 97, 97), 256, "kernel_size: 3 pad: 12 dilation: 12"),  # att_dilated, on the stages of ResNet-34
]
_RESNET = [  # without bias, BatchNorm and Scale behind it, at the sizes of crops of 385
    ((2, 3, 385, 385), 64, "kernel_size: 7 pad: 3 stride: 2"),  # conv1
    ((2, 64, 97, 97), 64, "kernel_size: 3 pad: 1"),
    ((2, 64, 97, 97), 128, "kernel_size: 3 pad: 1 stride: 2"),  # layer2
    ((2, 64, 97, 97), 128, "kernel_size: 1 stride: 2"),  # and its bottom's
    ((2, 256, 49, 49), 256, "kernel_size: 3 pad: 2 dilation: 2"),  # layer3
    ((2, 128, 49, 49), 256, "kernel_size: 1"),
    ((2, 512, 49, 49), 512, "kernel_size: 3 pad: 4 dilation: 4"),  # layer4
    ((2, 512, 25, 25), 512, "kernel_size: 3 pad: 4 dilation: 4"),  # at scale 1/2
    ((2, 512, 6, 6), 512, "kernel_size: 1"),  # of the pyramid's bins
    ((2, 2560, 49, 49), 512, "kernel_size: 3 pad: 1"),  # and what joins them
]


def normalised(shape, outputs, form, statistics=""):
    text = FORCED + input_layer("data", shape) + conv("data", "top", outputs, f"{form} bias_term: false")
    text += layer("BatchNorm", ["top"], ["top"], statistics)
    return text + layer("Scale", ["top"], ["top"], "scale_param { bias_term: true }")


#: By what statistics: those that the weights hold, in testing and, where they are frozen, in training.
NORMS = {
    "TEST": normalised(*_RESNET[1]),
    "TRAIN": normalised(*_RESNET[1], "batch_norm_param { use_global_stats: true }"),
}

_POOLINGS = [
    ((1, 64, 321, 321), "pool: MAX kernel_size: 3 stride: 2 pad: 1"),
    ((2, 128, 161, 161), "pool: MAX kernel_size: 3 stride: 2 pad: 1"),
    ((1, 64, 241, 241), "pool: MAX kernel_size: 3 stride: 2 pad: 1"),
    ((2, 512, 41, 41), "pool: MAX kernel_size: 3 stride: 1 pad: 1"),
    ((1, 512, 65, 65), "pool: MAX kernel_size: 3 stride: 1 pad: 1"),
    ((2, 512, 41, 41), "pool: AVE kernel_size: 3 stride: 1 pad: 1"),
    ((1, 512, 65, 65), "pool: AVE kernel_size: 3 stride: 1 pad: 1"),
]

_MAPS = (2, 21, 41, 41)
_THIRD = 0.3333333432674408
_MERGES = [  # kind, bottoms, shape, parameters
    ("Eltwise", 2, _MAPS, "eltwise_param { operation: MAX }"),
    ("Eltwise", 3, (1, 21, 65, 65), "eltwise_param { operation: MAX }"),
    ("Eltwise", 2, _MAPS, "eltwise_param { operation: SUM coeff: 0.5 coeff: 0.5 }"),
    ("Eltwise", 3, (1, 21, 65, 65), f"eltwise_param {{ operation: SUM {f'coeff: {_THIRD} ' * 3} }}"),
    ("Eltwise", 6, _MAPS, "eltwise_param { operation: SUM }"),  # MSc's sum in training
    ("Eltwise", 6, (1, 21, 513, 513), "eltwise_param { operation: SUM }"),  # and its deploy net's
    ("Concat", 2, (2, 1024, 41, 41), ""),
    ("Concat", 3, (1, 1024, 65, 65), ""),
    ("Concat", 4, (2, 1024, 41, 41), ""),
    ("Concat", 5, (2, 512, 49, 49), ""),  # the pyramid
    ("Eltwise", 2, (2, 512, 49, 49), "eltwise_param { operation: SUM }"),  # a block of ResNet-34; a bias
    ("Eltwise", 2, (2, 150, 97, 97), "eltwise_param { operation: PROD }"),  # recalibration
]

_POINTWISE = [
    ("ReLU", (2, 512, 41, 41), "", "data"),  # in place, as in every net
    ("ReLU", (1, 64, 321, 321), "", "data"),
    ("Power", (1, 3, 193, 193), "power_param { scale: 0.015625 }", "top"),
    ("Softmax", (2, 21, 41, 41), "", "top"),
    ("Softmax", (1, 3, 65, 65), "", "top"),
    ("Sigmoid", (2, 150, 97, 97), "", "top"),
    ("Split", (2, 150, 97, 97), "", "top"),
]


def _loss(size, classes=21):
    return (
        FORCED
        + input_layer("data", (2, classes, size, size))
        + input_layer("label", (2, 1, size, size))
        + layer("SoftmaxWithLoss", ["data", "label"], ["loss"], "loss_param { ignore_label: 255 }")
    )


def _attention(scales, size, with_weights):
    """ScaleAttention between convolutions: a score map for each scale and the attention scores, then one more."""
    text = FORCED + input_layer("data", (1, 64, size, size))
    maps = [f"map{number}" for number in range(scales)]
    text += "".join(conv("data", name, 21, "kernel_size: 3 pad: 1") for name in maps)
    text += conv("data", "scores", scales)
    text += python("ScaleAttention", [*maps, "scores"], ["merged", "weights"] if with_weights else ["merged"])
    return text + conv("merged", "after", 5) + (conv("weights", "after_weights", 5) if with_weights else "")


_INTERPS = [  # channels and size of the bottom, size rule
    (3, 321, '{"shrink_factor": 2}'),  # data at the coarser scales
    (3, 513, '{"shrink_factor": 2}'),
    (3, 321, '{"shrink_factor": 4, "zoom_factor": 3}'),
    (3, 513, '{"shrink_factor": 4, "zoom_factor": 3}'),
    (3, 321, '{"shrink_factor": 4}'),
    (1024, 21, '{"zoom_factor": 2}'),  # fc7 of scale 1/2
    (21, 33, '{"zoom_factor": 2}'),
    (1024, 31, '{"shrink_factor": 3, "zoom_factor": 4}'),  # fc7 of scale 3/4
    (21, 49, '{"shrink_factor": 3, "zoom_factor": 4}'),
    (21, 11, '{"zoom_factor": 4}'),  # scale 1/4
    (21, 65, '{"zoom_factor": 8}'),  # the deploy net's zoom
]


def _interp(channels, size, rule):
    text = FORCED + input_layer("data", (1, 8, size, size)) + conv("data", "before", channels)
    return text + python("Interp", ["before"], ["resized"], rule) + conv("resized", "after", 5)


def _pyramid(bins, channels, side):
    """A bin size of the pyramid: pooled, and brought back to the size of what it was pooled from."""
    text = FORCED + input_layer("data", (2, 8, side, side)) + conv("data", "before", channels)
    text += python("AdaptivePool", ["before"], ["pooled"], f'{{"bins": {bins}}}') + conv("pooled", "between", channels)
    return text + python("Interp", ["between", "before"], ["resized"]) + conv("resized", "after", 5)


_SHRINKS = [  # size rule, size of the scores
    ('{"shrink_factor": 4}', 81),
    ('{"shrink_factor": 8}', 41),
    ('{"shrink_factor": 32, "zoom_factor": 3}', 31),
    ('{"shrink_factor": 16}', 21),
    ('{"shrink_factor": 32}', 11),
]


def _supervised(rule, size):
    """A loss on shrunken labels, which have no gradient to force."""
    text = input_layer("data", (1, 64, size, size)) + input_layer("label", (1, 1, 321, 321))
    text += conv("data", "scores", 21) + python("LabelShrink", ["label"], ["label_shrink"], rule)
    return text + layer("SoftmaxWithLoss", ["scores", "label_shrink"], ["loss"], "loss_param { ignore_label: 255 }")


def _named():
    def size(shape):
        return "x".join(map(str, shape))

    for shape, outputs, form in _CONVOLUTIONS:
        yield (
            f"Convolution {size(shape)} to {outputs}, {form}",
            FORCED + input_layer("data", shape) + conv("data", "top", outputs, form),
        )
    for shape, outputs, form in _RESNET:
        yield f"Convolution {size(shape)} to {outputs}, {form}, BatchNorm and Scale", normalised(shape, outputs, form)
    for shape, form in _POOLINGS:
        yield f"Pooling {size(shape)}, {form}", _one("Pooling", shape, f"pooling_param {{ {form} }}")
    for kind, count, shape, param in _MERGES:
        yield f"{kind} of {count} {size(shape)} {param}", _several(kind, count, shape, param)
    for kind, shape, param, top in _POINTWISE:
        yield f"{kind} {size(shape)}", _one(kind, shape, param, top)
    for side in (41, 65):
        yield f"SoftmaxWithLoss {side}", _loss(side)
    for scales in (1, 2, 3, 4):
        yield f"ScaleAttention of {scales}, 41", _attention(scales, 41, with_weights=False)
        yield f"ScaleAttention of {scales}, 65, weights", _attention(scales, 65, with_weights=True)
    for channels, side, rule in _INTERPS:
        yield f"Interp {channels}x{side}x{side} {rule}", _interp(channels, side, rule)
    for bins in (1, 2, 3, 6):
        for side in (49, 25):
            yield f"AdaptivePool {bins} and back, 512x{side}x{side}", _pyramid(bins, 512, side)
    for rule, side in _SHRINKS:
        yield f"LabelShrink {rule}", _supervised(rule, side)


#: What to call it -> a net's prototxt, whose inputs (and labels, by that name) are to be filled in.
LAYERS = dict(_named())
#: By their ratios. Compared in the TEST phase only: in training, the devices draw differently.
DROPOUTS = {
    ratio: _one("Dropout", (2, 1024, 41, 41), f"dropout_param {{ dropout_ratio: {ratio} }}", top="data")
    for ratio in (0.5, 0.1)
}


def fed_by_seg_data(options):
    """SegData, with these LoaderOptions, before a convolution and a loss on shrunken labels."""
    text = python("SegData", [], ["data", "label"], encode(options))
    text += conv("data", "scores", options.classes, "kernel_size: 3 pad: 1 stride: 8")
    text += python("LabelShrink", ["label"], ["label_shrink"], '{"shrink_factor": 8}')
    return text + layer("SoftmaxWithLoss", ["scores", "label_shrink"], ["loss"], "loss_param { ignore_label: 255 }")
