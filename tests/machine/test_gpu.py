"""CPU against GPU, on a machine that has one: every layer at real sizes, the nets, a solver's step, the paper's batch.

Not run on a GPU so far: no machine with one was at hand (docs/gpu.md). Each test has a slow twin that needs none and
tries the test itself: the CPU against the CPU with weights changed in their last bits, as another device's sums are.
"""

import contextlib
import dataclasses
import functools
import re

import caffe
import numpy as np
import pytest
from google.protobuf import text_format

from attscale import experiments, prototxt
from attscale.bench import speeds
from attscale.data.images import read_image, read_label
from attscale.data.loader import LoaderOptions
from attscale.machine import device
from attscale.machine.build import built_with
from conftest import REPO
from helpers.gpu_cases import DROPOUTS, LAYERS, NORMS, fed_by_seg_data
from helpers.net_cases import solver_on, with_inputs

TOLERANCE = 1e-3  # of the largest value
#: Of the gradient's norm, in nets as a whole: where two values are as good as equal, rounding decides which of them a
#: maximum is, or whether a ReLU is on, and gradients go another way. On the CPU alone, weights changed by a millionth
#: move LargeFOV's gradients by up to 1.4e-3 on a photograph and 5e-3 on noise, its values by far less than TOLERANCE.
#: Layers by themselves have the same inputs on both devices, and TOLERANCE holds for their gradients.
GRADIENT_TOLERANCE = 1e-2
#: By the statistics of the batch a change goes further: the same moves the gradients of ResNet-34's conv1 by 1.5e-2.
BATCH_NORM_TOLERANCE = 5e-2


@pytest.fixture(params=[pytest.param("gpu", marks=pytest.mark.gpu), pytest.param("cpu", marks=pytest.mark.slow)])
def other(request):
    """What the CPU is compared with."""
    if request.param == "gpu" and not (built_with("cuda") and device.visible_gpus()):
        pytest.skip("no CUDA device can be seen, or Caffe was built without CUDA")
    return request.param


@contextlib.contextmanager
def on(where):
    if where == "gpu":
        caffe.set_device(0)
        caffe.set_mode_gpu()
    else:
        caffe.set_mode_cpu()
    try:
        yield
    finally:
        caffe.set_mode_cpu()


def close(found, expected, name):
    """To TOLERANCE of the largest value; no number is close to what is none."""
    scale = np.abs(expected).max() + 1e-12
    worst = np.abs(found - expected).max() / scale
    assert worst <= TOLERANCE, f"{name}: {worst:.2e} of the largest value apart"


def close_in_norm(found, expected, name, tolerance=GRADIENT_TOLERANCE):
    """A whole net's gradients: to a share of their norm."""
    apart = np.linalg.norm(found - expected) / (np.linalg.norm(expected) + 1e-12)
    assert apart <= tolerance, f"{name}: {apart:.2e} of the norm apart"


def nudge(net):
    """Changes the weights by a millionth."""
    rng = np.random.default_rng(1)
    done = set()
    for blobs in net.params.values():
        for blob in blobs:
            if blob.data.ctypes.data not in done:  # shared ones once
                blob.data[...] *= 1 + 1e-6 * rng.normal(size=blob.data.shape)
                done.add(blob.data.ctypes.data)


def fill(net):
    """Random inputs; labels from 0 to 6 and 255."""
    rng = np.random.default_rng(0)
    for name in net.inputs:
        shape = net.blobs[name].data.shape
        values = rng.choice([*range(7), 255], shape) if name == "label" else rng.normal(size=shape)
        net.blobs[name].data[...] = values


def fill_with_statistics(net):
    """The same, and for every BatchNorm means and variances of its own."""
    fill(net)
    rng = np.random.default_rng(3)
    for name, blobs in net.params.items():
        if net.layer_dict[name].type == "BatchNorm":
            blobs[0].data[...] = rng.normal(size=blobs[0].data.shape)
            blobs[1].data[...] = rng.uniform(1, 3, blobs[1].data.shape)
            blobs[2].data[...] = 1  # both are divided by it


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    """Fills a net that is fed by hand with a photograph of 321x321 and its labels, 0 to 6 and 255."""
    root = tmp_path_factory.mktemp("photograph")
    speeds.make_photos(root, 1)
    image, label = read_image(root / "JPEGImages/0.jpg"), read_label(root / "SegmentationClass/0.png")

    def feed(net):
        net.blobs["data"].data[...] = image[:321, :321].transpose(2, 0, 1) - np.float32(110)
        labels = label[:321, :321] % 7
        labels[:20] = 255
        net.blobs["label"].data[...] = labels

    return feed


def results(net, backward):
    """After forward and, from random gradients of the outputs, backward: {name: values} of all that came out.

    The gradients are those of weights and, where the net forces them, of inputs.
    """
    net.forward()
    found = {name: blob.data.copy() for name, blob in net.blobs.items()}
    if not backward:
        return found
    rng = np.random.default_rng(2)
    outputs = {name: net.blobs[name].data.shape for name in net.outputs}
    # losses, which have no shape, start from their weight
    net.backward(**{name: rng.normal(size=shape).astype(np.float32) for name, shape in outputs.items() if shape})
    for name, blobs in net.params.items():
        found |= {f"gradient of {name}[{number}]": blob.diff.copy() for number, blob in enumerate(blobs)}
    found |= {f"gradient of {name}": net.blobs[name].diff.copy() for name in net.inputs if name != "label"}
    return found


def compare(text, other, tmp_path, phase=caffe.TRAIN, backward=True, feed=fill, same_gradients=close):
    """Asserts that a net gives the same on both devices, from the same weights and inputs; returns `other`'s."""
    path, weights = tmp_path / "net.prototxt", tmp_path / "w.caffemodel"
    path.write_text(text)
    with on("cpu"):
        net = caffe.Net(str(path), phase)
        net.save(str(weights))
        feed(net)
        expected = results(net, backward)
        del net  # a large one, and its memory
    with on(other):
        net = caffe.Net(str(path), phase)
        net.copy_from(str(weights))
        if other == "cpu":
            nudge(net)
        feed(net)
        found = results(net, backward)
        del net
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        same = same_gradients if name.startswith("gradient of ") else close
        same(found[name], values, name)
    return found


def form(message):
    """What a layer computes: its type and parameters, less names, counts of filters, fillers and what it reads."""
    kept = type(message)()
    kept.CopyFrom(message)
    for field in ("name", "bottom", "top", "param", "input_param"):
        kept.ClearField(field)
    for field in ("num_output", "weight_filler", "bias_filler") if kept.type == "Convolution" else ():
        kept.convolution_param.ClearField(field)
    if kept.python_param.layer == "SegData":
        kept.python_param.ClearField("param_str")
    in_place = list(message.bottom) == list(message.top)
    return text_format.MessageToString(kept, as_one_line=True), len(message.bottom), len(message.top), in_place


def forms(texts):
    for text in texts:
        message = text_format.Parse(text, caffe.proto.caffe_pb2.NetParameter())
        yield from ((form(layer), layer) for layer in message.layer)


def test_every_layer_of_the_nets_is_compared():
    """Needs no GPU: a layer that a net has in a form of its own is in the list of those that are compared."""
    listed = {key for key, _ in forms([*LAYERS.values(), *DROPOUTS.values(), fed_by_seg_data(seg_data("data"))])}
    paths = [path for kind in ("train", "deploy") for path in sorted(REPO.glob(f"prototxt/*/*/{kind}.prototxt"))]
    assert len(paths) > 100
    missing = {}
    for path in paths:
        for key, layer in forms([path.read_text()]):
            if key not in listed:
                missing.setdefault(key, f"{path.relative_to(REPO)}: {layer.name}: {key}")
    assert not missing, "\n".join(missing.values())


def test_what_is_further_apart_is_not_close():
    expected = np.array([1.0, -200.0, 3.0])
    close(np.array([1.19, -200, 2.81]), expected, "within a thousandth of 200")
    for found in (np.array([1.21, -200, 3]), np.array([np.nan, -200, 3]), np.zeros(3)):
        with pytest.raises(AssertionError, match="of the largest value apart"):
            close(found, expected, "further")
    close_in_norm(np.array([3.0, 4.04]), np.array([3.0, 4.0]), "0.04 of 5")
    for found in (np.array([3.0, 4.06]), np.array([3.0, np.nan])):
        with pytest.raises(AssertionError, match="of the norm apart"):
            close_in_norm(found, np.array([3.0, 4.0]), "0.06 of 5")


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name, other, tmp_path):
    """Also those in Python, between neighbours that run on the GPU."""
    compare(LAYERS[name], other, tmp_path)


@pytest.mark.parametrize("phase", NORMS)
def test_batch_norm_by_the_statistics_of_the_weights(phase, other, tmp_path):
    compare(NORMS[phase], other, tmp_path, phase=getattr(caffe, phase), feed=fill_with_statistics)


@pytest.mark.parametrize("ratio", DROPOUTS)
def test_dropout_when_testing(ratio, other, tmp_path):
    compare(DROPOUTS[ratio], other, tmp_path, phase=caffe.TEST)


@pytest.mark.parametrize("ratio", DROPOUTS)
def test_dropout_when_training(ratio, other, make_net):
    """That share of the values is dropped, the rest grows as much, and gradients go where values went."""
    with on(other):
        net = make_net(DROPOUTS[ratio].replace('top: "data" dropout_param', 'top: "dropped" dropout_param'))
        net.blobs["data"].data[...] = 1
        net.forward()
        dropped = net.blobs["dropped"].data.copy()
        net.backward(dropped=np.ones_like(dropped))
        assert np.unique(dropped).tolist() == pytest.approx([0, 1 / (1 - ratio)])
        assert abs((dropped == 0).mean() - ratio) < 0.01  # of 3.4 million draws: 37 standard deviations
        assert np.array_equal(net.blobs["data"].diff, dropped)


def seg_data(root):
    return LoaderOptions(
        root=str(root), source="list/train.txt", classes=21, crop_size=321, batch_size=4, mirror=True,
        shuffle=True, workers=2, scale_range=(0.6, 1.4), seed=3,
    )  # fmt: skip


def test_seg_data_feeds_both_devices_alike(other, tmp_path):
    speeds.make_photos(tmp_path / "set", 6)
    found = compare(fed_by_seg_data(seg_data(tmp_path / "set")), other, tmp_path)
    assert set(np.unique(found["label"])) - {255} <= set(range(21))
    assert found["data"].std() > 10  # photographs, not zeros


def from_scratch(name, dropout=0.5):
    """A row that starts from fillers, so that no net is all zeros."""
    row = experiments.find(name)
    trunk = dataclasses.replace(row.trunk, from_scratch=True, dropout=dropout)
    return dataclasses.replace(row, trunk=trunk, pretraining=None)


NETS = [
    "voc12_largefov",
    "voc12_msc_largefov",
    "voc12_max3_esupv",
    "voc12_average3_esupv",
    "voc12_attention3_esupv",
    "voc10_part_attention4_esupv",
    "voc12_refine2_esupv",
    "ade20k_resnet34_refine2_esupv",
]
#: In testing alone: of two images, a bin 1x1 has two values a channel, and BatchNorm makes plus and minus one of the
#: least difference, which is another's on another device.
WITH_PYRAMID = "ade20k_resnet34_psp_refine2_esupv"


@pytest.mark.parametrize("name", NETS)
def test_training_nets_at_321(name, other, photograph, tmp_path):
    """Forward and backward, without dropout, whose draws differ between devices; by the batch's own statistics."""
    text = text_format.MessageToString(with_inputs(prototxt.train_net(from_scratch(name, dropout=0.0)), 1, 321))
    tolerance = BATCH_NORM_TOLERANCE if "resnet34" in name else GRADIENT_TOLERANCE
    same = functools.partial(close_in_norm, tolerance=tolerance)
    found = compare(text, other, tmp_path, feed=photograph, same_gradients=same)
    losses = [float(values) for values in found.values() if not values.shape]
    assert all(0 < loss < 1000 for loss in losses)
    assert len(losses) == {"esupv": 1 + len(experiments.find(name).scales)}.get(name.rpartition("_")[2], 1)


@pytest.mark.parametrize("name", [*NETS, WITH_PYRAMID])
def test_deploy_nets_at_513(name, other, tmp_path):
    text = text_format.MessageToString(prototxt.deploy_net(from_scratch(name)))
    found = compare(text, other, tmp_path, phase=caffe.TEST, backward=False, feed=fill_with_statistics)
    assert found["fc_fusion" if "msc" in name else "fc8_interp"].shape[2:] == (513, 513)


def test_one_solver_step(other, photograph, tmp_path):
    """Of the attention net at 321: what each device takes off its weights is what it found, and the same on both."""
    row = from_scratch("voc12_attention3_esupv", dropout=0.0)

    def stepped(where, start=None):
        with on(where):
            solver = solver_on(tmp_path, row, with_inputs(prototxt.train_net(row), 1, 321), random_seed=3)
            if start is None:
                solver.net.save(str(tmp_path / "w.caffemodel"))
            else:
                solver.net.copy_from(str(start))
                if where == "cpu":
                    nudge(solver.net)
            photograph(solver.net)
            blobs = {f"{n}[{i}]": blob for n, own in solver.net.params.items() for i, blob in enumerate(own)}
            before = {name: blob.data.copy() for name, blob in blobs.items()}
            solver.step(1)
            for name, blob in blobs.items():
                close(blob.data, before[name] - blob.diff, name)
            return {name: blob.diff.copy() for name, blob in blobs.items()}

    expected = stepped("cpu")
    found = stepped(other, start=tmp_path / "w.caffemodel")
    assert np.abs(expected["conv1_1[0]"]).max() > 0
    for name, values in expected.items():
        close_in_norm(found[name], values, name)


@pytest.fixture
def voc(tmp_path):
    """VOC 2012 in miniature, 30 images of its own size, below data; and a trunk of random weights to start from."""
    speeds.make_photos(tmp_path / "data/VOC2012", 30, source="list/train_aug.txt")
    net = prototxt.load(prototxt.deploy_net(from_scratch("voc12_largefov"), 33))
    net.params["conv1_1"][0].data[...] /= 64  # pixels are up to 150: losses would explode
    net.save(str(tmp_path / "start.caffemodel"))
    return tmp_path


def test_the_papers_batch_trains(other, voc, tool):
    """30 images at 321 on three scales, split by the memory that there is; on the CPU only two, one by one."""
    how = ("--device", "gpu") if other == "gpu" else ("--device", "cpu", "--batch-size", 1, "--iter-size", 2)
    done = tool("train", "voc12_attention3_esupv", "--dry-run", "--weights", voc / "start.caffemodel", *how)
    assert done.returncode == 0, done.stdout + done.stderr
    assert images_of_split(done.stdout, other) == (30 if other == "gpu" else 2), done.stdout
    loss = float(re.search(r"loss (\S+) after two iterations", done.stdout)[1])
    assert 0 < loss < 100


def images_of_split(said, other):
    """Images an iteration by the split that a dry run says; on a GPU it says how it was chosen."""
    if other == "cpu":
        return int(re.search(r": (\d+) images an iteration", said)[1])
    chosen = re.search(r"the split chosen by measured memory: --batch-size (\d+) --iter-size (\d+)", said)
    return int(chosen[1]) * int(chosen[2])
