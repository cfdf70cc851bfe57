"""The layers of docker/fast beside stock Caffe's (CAFFE_STOCK=layers), on one thread and on several."""

import caffe
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from conftest import input_layer

LARGE = (2, 5, 61, 67)  # 40870 elements: three threads have something to do


def layer(kind, bottoms, tops, param=""):
    ends = " ".join([*(f'bottom: "{name}"' for name in bottoms), *(f'top: "{name}"' for name in tops)])
    return f'layer {{ name: "{kind}" type: "{kind}" {ends} {param} }}\n'


def passes(net, inputs, diffs):
    """One forward and backward pass -> every top, every gradient by an input or a parameter, and the statistics."""
    caffe.set_random_seed(3)
    kept = {name: [blob.data.copy() for blob in blobs] for name, blobs in net.params.items()}
    for name, value in inputs.items():
        net.blobs[name].data[...] = value
        net.blobs[name].diff[...] = 7  # to be written, not added to
    net.clear_param_diffs()
    net.forward()
    tops = {name: net.blobs[name].data.copy() for name in net.outputs}
    net.backward(**diffs)
    found = {f"top {name}": value for name, value in tops.items()}
    found |= {f"gradient by {name}": net.blobs[name].diff.copy() for name in inputs}
    for name, blobs in net.params.items():
        for index, blob in enumerate(blobs):
            found[f"gradient by {name}[{index}]"] = blob.diff.copy()
            found[f"{name}[{index}]"] = blob.data.copy()
            blob.data[...] = kept[name][index]
    return found


def compare(make_net, monkeypatch, text, inputs, *, tops=("y",), tolerance=0.0):
    """Three threads do as one does, to the bit, and as stock Caffe does, to `tolerance` of the largest value."""
    net = make_net("force_backward: true\n" + "".join(input_layer(k, v.shape) for k, v in inputs.items()) + text)
    rng = np.random.default_rng(1)
    for blobs in net.params.values():
        for blob in blobs:
            blob.data[...] = rng.uniform(0.5, 2, blob.data.shape)
    diffs = {name: rng.normal(size=net.blobs[name].data.shape).astype(np.float32) for name in tops}
    found = {}
    for threads in (1, 3):
        with threadpool_limits(limits=threads, user_api="openmp"):
            found[threads] = passes(net, inputs, diffs)
    monkeypatch.setenv("CAFFE_STOCK", "layers")
    stock = passes(net, inputs, diffs)
    for name, expected in stock.items():
        np.testing.assert_array_equal(found[1][name], found[3][name], err_msg=f"{name}: one thread and three")
        bound = tolerance * np.nanmax(np.abs(expected), initial=0)
        np.testing.assert_allclose(found[1][name], expected, rtol=0, atol=bound, err_msg=f"{name}: stock")


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def flat(*shape, seed=0):
    """Few different values, so that windows have several largest ones."""
    return np.random.default_rng(seed).integers(-2, 3, shape).astype(np.float32)


WINDOWS = [  # kernel, stride, pad
    "kernel_size: 3 stride: 1 pad: 1",
    "kernel_size: 3 stride: 2 pad: 1",
    "kernel_size: 3 stride: 2",
    "kernel_size: 2 stride: 2",
    "kernel_size: 2 stride: 1",
    "kernel_size: 5 stride: 3 pad: 2",
    "kernel_h: 3 kernel_w: 4 stride_h: 2 stride_w: 1 pad_h: 1 pad_w: 2",
    "kernel_size: 3 stride: 2 pad: 1 round_mode: FLOOR",
    "global_pooling: true",
]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("shape", [LARGE, (1, 3, 5, 4), (1, 64, 41, 41)])
@pytest.mark.parametrize("pool", ["MAX", "AVE"])
def test_pooling(make_net, monkeypatch, pool, shape, window):
    text = layer("Pooling", ["x"], ["y"], f"pooling_param {{ pool: {pool} {window} }}")
    compare(make_net, monkeypatch, text, {"x": flat(*shape)})


def test_the_mask_of_a_pool_as_a_top(make_net, monkeypatch):
    text = layer("Pooling", ["x"], ["y", "mask"], "pooling_param { pool: MAX kernel_size: 3 stride: 2 pad: 1 }")
    compare(make_net, monkeypatch, text, {"x": flat(*LARGE)}, tops=("y", "mask"))


@pytest.mark.parametrize("window", WINDOWS[:4])
def test_pooling_of_nan(make_net, monkeypatch, window):
    """A window that begins with NaN keeps it; others are passed over. All of them have an index to go back to."""
    x = flat(*LARGE)
    x[np.random.default_rng(2).random(x.shape) < 0.3] = np.nan
    x[0, 0] = np.nan
    text = layer("Pooling", ["x"], ["y"], f"pooling_param {{ pool: MAX {window} }}")
    compare(make_net, monkeypatch, text, {"x": x})


def test_max_pool_by_hand(make_net):
    """Rows 1 5 5 2 | 0 3 9 9 | 4 4 4 4, kernel 3, stride 2, pad 1: the gradient goes to the first of equal ones."""
    net = make_net(
        "force_backward: true\n" + input_layer("x", (1, 1, 3, 4))
        + layer("Pooling", ["x"], ["y"], "pooling_param { pool: MAX kernel_size: 3 stride: 2 pad: 1 }")
    )  # fmt: skip
    net.blobs["x"].data[...] = np.array([[1, 5, 5, 2], [0, 3, 9, 9], [4, 4, 4, 4]])
    net.forward()
    np.testing.assert_array_equal(net.blobs["y"].data[0, 0], [[5, 9, 9], [4, 9, 9]])
    net.backward(y=np.array([[1, 2, 4], [8, 16, 32]], np.float32)[None, None])
    np.testing.assert_array_equal(net.blobs["x"].diff[0, 0], [[0, 1, 0, 0], [0, 0, 2 + 16, 4 + 32], [8, 0, 0, 0]])


@pytest.mark.parametrize("shape", [LARGE, (1, 2, 7, 6)])
@pytest.mark.parametrize(
    "window",
    [
        "kernel_size: 3 pad: 1",
        "kernel_size: 3 pad: 2 dilation: 2",
        "kernel_size: 3 pad: 4 dilation: 4",
        "kernel_size: 3 stride: 2 pad: 1",
        "kernel_size: 1 stride: 2",
        "kernel_size: 5 stride: 3",
        "kernel_h: 2 kernel_w: 3 stride_h: 1 stride_w: 2 pad_h: 0 pad_w: 3 dilation: 2",
    ],
)
def test_im2col(make_net, monkeypatch, window, shape):
    compare(
        make_net, monkeypatch, layer("Im2col", ["x"], ["y"], f"convolution_param {{ {window} }}"), {"x": normal(*shape)}
    )


X = ["x"]
POINTWISE = {
    "relu": (layer("ReLU", X, ["y"]), 0),
    "relu in place": (layer("ReLU", X, X), 0),
    "leaky relu": (layer("ReLU", X, ["y"], "relu_param { negative_slope: 0.1 }"), 0),
    "sigmoid": (layer("Sigmoid", X, ["y"]), 0),
    "dropout": (layer("Dropout", X, ["y"], "dropout_param { dropout_ratio: 0.3 }"), 0),
    "dropout in place": (layer("Dropout", X, X), 0),
    "power": (layer("Power", X, ["y"], "power_param { scale: 0.015625 shift: 20 power: 0.5 }"), 0),
    "softmax": (layer("Softmax", X, ["y"]), 1e-6),
    "softmax of rows": (layer("Softmax", X, ["y"], "softmax_param { axis: 3 }"), 1e-6),
    "scale": (layer("Scale", X, ["y"]), 1e-6),
    "scale in place": (layer("Scale", X, X, "scale_param { bias_term: true }"), 1e-6),
    "scale of an axis": (layer("Scale", X, ["y"], "scale_param { axis: 2 num_axes: 1 bias_term: true }"), 1e-6),
    "scale by one number": (layer("Scale", X, ["y"], "scale_param { axis: 0 num_axes: 0 }"), 1e-6),
    "bias": (layer("Bias", X, ["y"]), 1e-6),
    "bias of all": (layer("Bias", X, ["y"], "bias_param { axis: 0 num_axes: -1 }"), 1e-6),
    "batch norm": (layer("BatchNorm", X, ["y"]), 3e-6),
    "batch norm in place": (layer("BatchNorm", X, X), 3e-6),
    "frozen batch norm": (layer("BatchNorm", X, X, "batch_norm_param { use_global_stats: true }"), 0),
    "slice": (layer("Slice", X, ["y", "z"], "slice_param { axis: 1 slice_point: 2 }"), 0),
    "slice of rows": (layer("Slice", X, ["y", "z"], "slice_param { axis: 3 slice_point: 1 }"), 0),
    "split": (layer("Split", X, ["y", "z", "w"]), 0),
}


@pytest.mark.parametrize("shape", [LARGE, (2, 3, 1, 5)])
@pytest.mark.parametrize("case", POINTWISE)
def test_one_bottom(make_net, monkeypatch, case, shape):
    text, tolerance = POINTWISE[case]
    tops = [name for name in ("x", "y", "z", "w") if f'top: "{name}"' in text]
    compare(make_net, monkeypatch, text, {"x": normal(*shape)}, tops=tops, tolerance=tolerance)


def test_dropout_draws_the_same_numbers(make_net, monkeypatch):
    """Many numbers, few, and many again: each layer goes on where the one before it ended."""
    shape = (1, 7, 131, 127)
    text = "".join(
        input_layer(name, size) + layer("Dropout", [name], [f"y{name}"], f"dropout_param {{ dropout_ratio: {ratio} }}")
        for name, size, ratio in (("a", shape, 0.5), ("b", (1, 3, 5, 7), 0.9), ("c", shape, 0.25))
    )
    net = make_net(text)
    for name in "abc":
        net.blobs[name].data[...] = 1
    found = {}
    for part in ("", "layers"):
        monkeypatch.setenv("CAFFE_STOCK", part)
        caffe.set_random_seed(3)
        for _ in range(2):
            net.forward()
        found[part] = [net.blobs[f"y{name}"].data.copy() for name in "abc"]
    for ours, stock in zip(found[""], found["layers"], strict=True):
        np.testing.assert_array_equal(ours, stock)
    assert abs(np.mean(found[""][2] == 0) - 0.25) < 0.005  # of 116459: 0.0013 is one standard deviation


ABC = ["a", "b", "c"]
SEVERAL = {
    "sum": layer("Eltwise", ABC, ["y"]),
    "weighted sum": layer("Eltwise", ABC, ["y"], "eltwise_param { coeff: 0.5 coeff: -1 coeff: 3 }"),
    "product": layer("Eltwise", ABC, ["y"], "eltwise_param { operation: PROD }"),
    "quotient": layer("Eltwise", ABC, ["y"], "eltwise_param { operation: PROD stable_prod_grad: false }"),
    "largest": layer("Eltwise", ABC, ["y"], "eltwise_param { operation: MAX }"),
    "concat": layer("Concat", ABC, ["y"]),
    "concat of images": layer("Concat", ABC, ["y"], "concat_param { axis: 0 }"),
    "concat of rows": layer("Concat", ABC, ["y"], "concat_param { axis: 3 }"),
}


@pytest.mark.parametrize("shape", [LARGE, (1, 3, 1, 2)])
@pytest.mark.parametrize("case", SEVERAL)
def test_several_bottoms(make_net, monkeypatch, case, shape):
    make = flat if case == "largest" else normal
    inputs = {name: make(*shape, seed=seed) for seed, name in enumerate(ABC)}
    compare(make_net, monkeypatch, SEVERAL[case], inputs, tolerance=1e-6 if case == "weighted sum" else 0)


@pytest.mark.parametrize(
    ("param", "size"),
    [("axis: 2 offset: 3 offset: 5", (2, 5, 50, 60)), ("axis: 1 offset: 1", (2, 4, 60, 66)), ("axis: 3", (1, 1, 1, 9))],
)
def test_crop(make_net, monkeypatch, param, size):
    text = layer("Crop", ["x", "size"], ["y"], f"crop_param {{ {param} }}")
    net = make_net("force_backward: true\n" + input_layer("x", LARGE) + input_layer("size", size) + text)
    x, diff = normal(*LARGE), normal(*net.blobs["y"].data.shape, seed=1)
    net.blobs["x"].data[...] = x
    found = {}
    for part in ("", "layers"):
        monkeypatch.setenv("CAFFE_STOCK", part)
        net.forward()
        net.backward(y=diff)
        found[part] = net.blobs["y"].data.copy(), net.blobs["x"].diff.copy()
    np.testing.assert_array_equal(found[""][0], found["layers"][0])
    np.testing.assert_array_equal(found[""][1], found["layers"][1])


@pytest.mark.parametrize("mode", ["VALID", "BATCH_SIZE", "NONE"])
@pytest.mark.parametrize("size", [(3, 5), (61, 67)])
def test_softmax_with_loss(make_net, monkeypatch, size, mode):
    labels = np.random.default_rng(1).choice([0, 1, 2, 3, 4, 255], (2, 1, *size))
    text = layer(
        "SoftmaxWithLoss", ["x", "label"], ["loss"],
        f"loss_param {{ ignore_label: 255 normalization: {mode} }} propagate_down: true propagate_down: false",
    )  # fmt: skip
    inputs = {"x": 3 * normal(2, 5, *size)}
    net_text = "force_backward: true\n" + input_layer("x", (2, 5, *size)) + input_layer("label", labels.shape) + text
    net = make_net(net_text)
    net.blobs["label"].data[...] = labels
    found = {}
    for part, threads in (("", 1), ("", 3), ("layers", 1)):
        monkeypatch.setenv("CAFFE_STOCK", part)
        with threadpool_limits(limits=threads, user_api="openmp"):
            found[part, threads] = passes(net, inputs, {})
    for name in ("top loss", "gradient by x"):
        np.testing.assert_array_equal(found["", 1][name], found["", 3][name])
        expected = found["layers", 1][name]
        # Stock Caffe adds thousands of losses in single precision.
        tolerance = (2e-5 if name == "top loss" else 1e-6) * np.abs(expected).max()
        np.testing.assert_allclose(found["", 1][name], expected, rtol=0, atol=tolerance)
    x = inputs["x"].astype(np.float64)
    log = x - np.log(np.exp(x).sum(1, keepdims=True))
    taken = np.take_along_axis(log, np.where(labels == 255, 0, labels), 1)[labels != 255]
    count = {"VALID": taken.size, "BATCH_SIZE": 2, "NONE": 1}[mode]
    np.testing.assert_allclose(found["", 1]["top loss"], -taken.sum() / count, rtol=1e-6)


SIZE = 40_000
RATE, MOMENTUM, DECAY = 0.1, 0.9, 0.01


def weights_after(tmp_path, steps, kind, **more):
    """Weights w that move from 0 towards x, by the loss |w - x|^2 / 2, after some steps; and x."""
    data = " ".join([f"dim: {SIZE}"])
    net = "force_backward: true\n" + "".join(
        f'layer {{ name: "{name}" type: "DummyData" top: "{name}" dummy_data_param {{ shape {{ dim: 1 {data} }} '
        f"data_filler {{ type: \"{filler}\" }} }} }}\n"
        for name, filler in (("zero", "constant"), ("x", "gaussian"))
    ) + layer("Bias", ["zero"], ["w"]) + layer("EuclideanLoss", ["w", "x"], ["loss"])  # fmt: skip
    (tmp_path / "net.prototxt").write_text(net)
    options = {"base_lr": RATE, "momentum": MOMENTUM, "weight_decay": DECAY, **more}
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path / "net.prototxt"}" lr_policy: "fixed" type: "{kind}" random_seed: 5 max_iter: 9 '
        + " ".join(f"{name}: {value}" for name, value in options.items())
    )
    solver = caffe.get_solver(str(tmp_path / "solver.prototxt"))
    gradients, weights = [], []
    for _ in range(steps):
        before = solver.net.params["Bias"][0].data.copy()
        solver.step(1)
        gradients.append(before - solver.net.blobs["x"].data[0])
        weights.append(solver.net.params["Bias"][0].data.copy())
    return gradients, weights


@pytest.mark.parametrize("threads", [1, 3])
def test_sgd(tmp_path, threads):
    """h <- rate (g + decay w) + momentum h; w <- w - h."""
    with threadpool_limits(limits=threads, user_api="openmp"):
        gradients, weights = weights_after(tmp_path, 3, "SGD")
    w, h = np.zeros(SIZE), np.zeros(SIZE)
    for gradient, found in zip(gradients, weights, strict=True):
        h = RATE * (gradient + DECAY * w) + MOMENTUM * h
        w = w - h
        np.testing.assert_allclose(found, w, atol=1e-6)


@pytest.mark.parametrize("threads", [1, 3])
def test_adam(tmp_path, threads):
    """Algorithm 1 of Kingma and Ba (2015), with epsilon added before the correction of the beginning, as Caffe does."""
    with threadpool_limits(limits=threads, user_api="openmp"):
        gradients, weights = weights_after(tmp_path, 3, "Adam", momentum2=0.999, delta=1e-8)
    w, m, v = (np.zeros(SIZE) for _ in range(3))
    for step, (gradient, found) in enumerate(zip(gradients, weights, strict=True), start=1):
        g = gradient + DECAY * w
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        w = w - RATE * np.sqrt(1 - 0.999**step) / (1 - 0.9**step) * m / (np.sqrt(v) + 1e-8)
        np.testing.assert_allclose(found, w, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "more"),
    [("SGD", {}), ("SGD", {"iter_size": 3}), ("SGD", {"regularization_type": '"L1"'}), ("SGD", {"clip_gradients": 1.0}),
     ("Adam", {"momentum2": 0.999}), ("Nesterov", {})],
)  # fmt: skip
def test_solvers_do_as_stock_caffe(tmp_path, monkeypatch, kind, more):
    weights = weights_after(tmp_path, 3, kind, **more)[1][-1]
    monkeypatch.setenv("CAFFE_STOCK", "layers")
    np.testing.assert_allclose(weights, weights_after(tmp_path, 3, kind, **more)[1][-1], rtol=0, atol=1e-6)
