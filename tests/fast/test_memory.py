"""Blobs in one another's memory: the same numbers as with memory of their own, in less of it."""

import itertools
import subprocess
import sys

import caffe
import numpy as np
import pytest

from attscale import experiments, prototxt
from attscale.inference.predictor import Predictor
from attscale.machine.threads import limit_threads
from attscale.prototxt import Model
from attscale.training import runs, solvers
from attscale.weights import caffemodel
from conftest import input_layer, python_layer
from helpers.net_cases import narrow, with_inputs
from helpers.predictions import picture

pytestmark = pytest.mark.skipif(
    not hasattr(caffe.Net, "share_blobs"), reason="this Caffe was built without docker/fast: its blobs share no memory"
)

ROWS = [
    "voc12_attention3_esupv",
    "voc10_part_msc_largefov",
    "voc12_max2",
    "voc12_refine2_esupv_bias",
    "ade20k_resnet34_psp_refine2_esupv",
]


def fill(net):
    """Weights that leave no activation at zero, and small enough for none to overflow."""
    rng = np.random.default_rng(0)
    for name, blobs in net.params.items():
        kind = net.layer_dict[name].type
        for number, blob in enumerate(blobs):
            shape = blob.data.shape
            if kind == "BatchNorm":
                blob.data[...] = (0, 100, 1)[number]
            elif number == 0 and len(shape) == 4:
                blob.data[...] = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
            else:
                blob.data[...] = rng.uniform(0.1, 1, shape)


def feed(net, shape, seed):
    """An image, and labels where the net has them, of that shape (N, H, W)."""
    rng = np.random.default_rng(seed)
    n, *sides = shape
    if net.blobs["data"].data.shape != (n, 3, *sides):
        for name in net.inputs:
            net.blobs[name].reshape(n, net.blobs[name].shape[1], *sides)
        net.reshape()
    net.blobs["data"].data[...] = rng.normal(0, 60, (n, 3, *sides))
    if "label" in net.blobs:
        net.blobs["label"].data[...] = rng.choice([0, 1, 2, 3, 255], (n, 1, *sides))


def places(net, part="data"):
    """Bytes at each address where a blob has its data, or diff."""
    sizes = {}
    for blob in net.blobs.values():
        values = getattr(blob, part)
        sizes[values.ctypes.data] = max(sizes.get(values.ctypes.data, 0), values.nbytes)
    return sizes


def layer(kind, bottoms, tops, rest="", name=""):
    ends = " ".join([*(f'bottom: "{blob}"' for blob in bottoms), *(f'top: "{blob}"' for blob in tops)])
    return f'layer {{ name: "{name or tops[0]}" type: "{kind}" {ends} {rest} }}\n'


def convolution(bottom, top, channels=4):
    filler = 'weight_filler { type: "gaussian" std: 0.3 } bias_filler { type: "constant" value: 0.1 }'
    return layer(
        "Convolution", [bottom], [top], f"convolution_param {{ num_output: {channels} kernel_size: 3 pad: 1 {filler} }}"
    )


def chain(count):
    """x, then x + 1, x + 2 ...: y1 to y<count>."""
    names = ["x", *(f"y{i}" for i in range(1, count + 1))]
    return "".join(
        layer("Power", [bottom], [top], "power_param { shift: 1 }") for bottom, top in itertools.pairwise(names)
    )


# --- forward ------------------------------------------------------------------------------------------------------


def test_a_chain_takes_two_places(make_net):
    """Each layer reads one place and writes the other; x, put in, and y7, the result, have their own."""
    net = make_net(input_layer("x", (1, 2, 5, 5)) + chain(7))
    net.share_blobs()
    net.blobs["x"].data[...] = 1
    net.forward()
    assert np.all(net.blobs["y7"].data == 8)
    where = {name: blob.data.ctypes.data for name, blob in net.blobs.items()}
    assert where["y1"] == where["y3"] == where["y5"]
    assert where["y2"] == where["y4"] == where["y6"]
    assert len(set(where.values())) == 4
    assert np.all(net.blobs["y1"].data == 6)  # y5 is there
    assert np.all(net.blobs["x"].data == 1)


def test_what_is_kept_is_there_afterwards(make_net):
    text = input_layer("x", (1, 2, 5, 5)) + chain(7)
    net = make_net(text)
    net.share_blobs(keep=["y2", "y3"])
    net.forward()
    assert [net.blobs[name].data.max() for name in ("y2", "y3", "y7")] == [2, 3, 7]
    assert len(places(net)) == 6
    with pytest.raises(ValueError, match=r"^no blob of the net is named y9$"):
        make_net(text).share_blobs(keep=["y9"])


def test_larger_and_smaller_values_find_places_that_hold_them(make_net):
    """The large blobs are y2 and y3, in a place of 400 bytes each; y1 waits for the Eltwise behind them in a third."""
    net = make_net(
        input_layer("x", (1, 1, 5, 5))
        + convolution("x", "y1", 1)
        + convolution("y1", "y2")
        + convolution("y2", "y3")
        + convolution("y3", "y4", 1)
        + layer("Eltwise", ["y1", "y4"], ["y5"])
        + convolution("y5", "y6", 1)
    )
    net.share_blobs()
    net.forward()
    where = {name: blob.data.ctypes.data for name, blob in net.blobs.items()}
    assert where["y4"] == where["y2"]
    assert len({where[name] for name in ("y1", "y2", "y3", "x", "y6")}) == 5
    assert where["y5"] in (where["y2"], where["y3"])


@pytest.mark.parametrize("name", ROWS)
def test_a_net_says_the_same_at_all_sizes(name):
    """Bit for bit, larger, smaller and in batches; beside it the net that keeps all."""
    message = prototxt.deploy_net(narrow(experiments.find(name)))
    own, shared = prototxt.load(message), prototxt.load(message)
    fill(own)
    shared.share_with(own)
    read = [*own.outputs, *({"attention", "recalibration", "fc_fusion"} & set(own.blobs))]
    shared.share_blobs(keep=read)
    for seed, shape in enumerate([(1, 97, 97), (1, 65, 129), (2, 129, 97), (1, 97, 97), (1, 129, 129)]):
        for net in (own, shared):
            feed(net, shape, seed)
            net.forward()
        for blob in read:
            assert np.isfinite(own.blobs[blob].data).all()
            assert np.array_equal(own.blobs[blob].data, shared.blobs[blob].data), (blob, shape)
    assert np.ptp(own.blobs[read[0]].data) > 0.01
    assert len(places(shared)) < 0.6 * len(places(own))


def test_a_net_that_has_grown_by_itself_is_right_and_takes_its_places_the_next_time(make_net):
    """Only the input is reshaped, as when a data layer does so: blobs have memory of their own for a pass."""
    net = make_net(input_layer("x", (1, 2, 5, 5)) + chain(7))
    net.share_blobs()
    net.forward()
    for size, own in ((9, 8), (9, 4), (3, 4), (9, 4), (12, 8), (12, 4)):
        net.blobs["x"].reshape(1, 2, size, size)
        net.blobs["x"].data[...] = size
        net.forward()
        assert np.all(net.blobs["y7"].data == size + 7)
        assert len(places(net)) == own
    net.blobs["x"].reshape(2, 2, 15, 15)
    net.reshape()
    assert len(places(net)) == 4


def test_a_net_that_shares_its_blobs_goes_forward_only(make_net):
    net = make_net("force_backward: true\n" + input_layer("x", (1, 2, 5, 5)) + chain(3))
    net.share_blobs()
    net.forward()
    with pytest.raises(RuntimeError, match=r"^the net shares its blobs: it goes forward only$"):
        net.backward()
    with pytest.raises(RuntimeError, match=r"^the net shares them already$"):
        net.share_blobs()


# --- backward -----------------------------------------------------------------------------------------------------


def test_gradients_of_a_chain_take_two_places(make_net):
    """y <- 2 y, three times: 5 becomes 40 at the input, whose gradient is its own, and so is the one that is put in."""
    double = "power_param { scale: 2 }"
    net = make_net(
        "force_backward: true\n"
        + input_layer("x", (1, 2, 5, 5))
        + layer("Power", ["x"], ["y1"], double)
        + layer("ReLU", ["y1"], ["y1"], name="in_place")
        + layer("Power", ["y1"], ["y2"], double)
        + layer("Power", ["y2"], ["y3"], double)
    )
    net.share_diffs()
    net.blobs["x"].data[...] = 1
    for gradient in (5, 3):
        net.forward()
        net.backward(y3=np.full((1, 2, 5, 5), gradient, np.float32))
        assert np.all(net.blobs["x"].diff == 8 * gradient)
        assert np.all(net.blobs["y3"].diff == gradient)
    assert len(places(net, "diff")) == 4


def test_gradients_that_nobody_writes_stay_zero(make_net):
    """Of the two channels y2 has no way to a loss, and y1 two, one of which is closed: 3 a pixel is what comes back.

    The loss, the sum of z4, gives its own gradient, 1, before the first pass.
    """
    net = make_net(
        input_layer("x", (1, 2, 5, 5))
        + layer("Convolution", ["x"], ["y"], "convolution_param { num_output: 2 kernel_size: 1 }")
        + layer("Slice", ["y"], ["y1", "y2"])
        + layer("Silence", ["y2"], [], name="silence")
        + layer("Power", ["y1"], ["z1"], "power_param { scale: 3 }")
        + layer("Power", ["y1"], ["z2"], "power_param { scale: 100 } propagate_down: false")
        + layer("Concat", ["z1"], ["z3"])
        + layer("Eltwise", ["z3", "z2"], ["z4"], "loss_weight: 1")
    )
    net.share_diffs()
    for _ in range(2):
        net.clear_param_diffs()
        net.forward()
        net.backward()
        assert net.params["y"][1].diff.tolist() == [3 * 25, 0]


IGNORED = "loss_param { ignore_label: 255 }"
ASSORTED = (
    convolution("data", "a")
    + layer("BatchNorm", ["a"], ["a"], name="norm")
    + layer("Scale", ["a"], ["a"], "scale_param { bias_term: true }", name="scale")
    + layer("ReLU", ["a"], ["a"], name="relu")
    + convolution("a", "b")
    + layer("Slice", ["b"], ["b1", "b2"])
    + layer("Concat", ["b2"], ["b3"])
    + layer("Flatten", ["b1"], ["flat"])
    + layer("Reshape", ["flat"], ["back"], "reshape_param { shape { dim: 0 dim: 2 dim: -1 dim: 12 } }")
    + layer("Concat", ["back", "b3"], ["c"])
    + layer("Dropout", ["c"], ["c"], name="dropout")
    + layer("Eltwise", ["a", "c"], ["d"], "eltwise_param { operation: PROD }")
    + layer("Pooling", ["d"], ["e"], "pooling_param { kernel_size: 3 stride: 1 pad: 1 }")
    + convolution("e", "scores", 5)
    + convolution("d", "others", 5)
    + python_layer("Interp", ["others"], ["interp"], '{"height": 12, "width": 12}')
    + layer("Sigmoid", ["interp"], ["gate"])
    + layer("Eltwise", ["scores", "gate"], ["gated"], "eltwise_param { operation: PROD }")
    + layer("SoftmaxWithLoss", ["gated", "label"], ["loss"], IGNORED)
    + layer("SoftmaxWithLoss", ["scores", "label"], ["loss2"], f"{IGNORED} loss_weight: 0.5")
    + layer("Convolution", ["e"], ["aside"], "convolution_param { num_output: 5 kernel_size: 1 } propagate_down: false")
    + layer("SoftmaxWithLoss", ["aside", "label"], ["loss3"], IGNORED)
    + convolution("d", "like")
    + layer("Crop", ["e", "like"], ["cropped"])
    + layer("Eltwise", ["cropped", "like"], ["joined"])
    + convolution("joined", "scores4", 5)
    + layer("SoftmaxWithLoss", ["scores4", "label"], ["loss4"], IGNORED)
)  # fmt: skip


def check_gradients(own, shared, feeds):
    """Passes over all feeds, a pair of them an iteration, as with iter_size 2: bit for bit the same gradients."""
    fill(own)
    shared.share_with(own)
    shared.share_diffs()
    for first in range(0, len(feeds), 2):
        for net in (own, shared):
            net.clear_param_diffs()
            caffe.set_random_seed(first)  # of dropout
            for number in (first, first + 1):
                feed(net, feeds[number], number)
                net.forward()
                net.backward()
        for name, blobs in own.params.items():
            for number, blob in enumerate(blobs):
                assert np.isfinite(blob.diff).all()
                assert np.array_equal(blob.diff, shared.params[name][number].diff), (name, number)
        assert any(blob.diff.any() for blobs in own.params.values() for blob in blobs)


def test_gradients_of_assorted_layers(make_net):
    text = input_layer("data", (1, 3, 12, 12)) + input_layer("label", (1, 1, 12, 12)) + ASSORTED
    own, shared = make_net(text), make_net(text)
    check_gradients(own, shared, [(1, 12, 12)] * 2 + [(2, 12, 12)] * 2 + [(1, 12, 12)] * 2)
    assert len(places(shared, "diff")) < 0.85 * len(places(own, "diff"))


@pytest.mark.parametrize("name", ROWS)
def test_gradients_of_a_net_are_the_same_at_all_sizes(name):
    message = with_inputs(prototxt.train_net(narrow(experiments.find(name))), 1, 97)
    own, shared = (prototxt.load(message, caffe.TRAIN) for _ in range(2))
    check_gradients(own, shared, [(1, 97, 97), (2, 97, 97), (2, 129, 97), (2, 65, 65)])
    assert len(places(shared, "diff")) < 0.85 * len(places(own, "diff"))


# --- at work ------------------------------------------------------------------------------------------------------


def test_a_predictor_shares_what_it_does_not_read(tmp_path):
    model = Model.of(narrow(experiments.find("voc12_refine2_esupv")))
    own = prototxt.load(model.deploy)
    fill(own)
    own.save(str(tmp_path / "w.caffemodel"))
    predictor = Predictor(model, caffemodel.read(tmp_path / "w.caffemodel"))
    for size in (97, 129):
        predictor.forward(picture(size, size))
        own.blobs["data"].reshape(1, 3, size, size)
        own.blobs["data"].data[...] = predictor.net.blobs["data"].data
        own.forward()
        read = [model.deployed.output, *model.deployed.scores.values(), "attention", "recalibration"]
        for name in read:
            assert np.array_equal(predictor.net.blobs[name].data, own.blobs[name].data), name
    assert len(places(predictor.net)) < 0.5 * len(places(own))


def test_training_shares_gradients(mini, tmp_path):
    model = Model.of(experiments.find("shapes_attention2_esupv"))
    limit_threads(model)
    solver = solvers.make(model, tmp_path, runs.RunOptions.of(model.row, data=mini.parent), 0, 0)
    assert len(places(solver.net, "diff")) < 0.75 * len(places(solver.net, "data"))


HELD = """
import re, sys
from pathlib import Path
import caffe

held = lambda: int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
nets = []
for share in (True, False):
    net = caffe.Net(sys.argv[1], caffe.TEST)
    nets.append(net)
    before = held()
    if share:
        net.share_blobs()
    for size in (1000, 1100):
        net.blobs["x"].reshape(1, 1, size, size)
        net.reshape()
        net.forward()
    print(held() - before)
"""


@pytest.mark.parametrize("stock", ["", "convolution,memory"])
def test_the_memory_of_a_process(stock, tmp_path, monkeypatch):
    """A chain of 20 blobs of 1100 x 1100 values, 4.6 MiB each: 97 MiB with the input, or four of them, 18 MiB."""
    (tmp_path / "net.prototxt").write_text(input_layer("x", (1, 1, 10, 10)) + chain(20))
    monkeypatch.setenv("CAFFE_STOCK", stock)
    command = [sys.executable, "-c", HELD, tmp_path / "net.prototxt"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    shared, own = map(float, done.stdout.split())
    assert 85 < own < 120
    if stock:
        assert 85 < shared < 120  # nothing was shared
    else:
        assert shared < 30
