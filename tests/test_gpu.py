"""CPU against GPU, on a machine that has one: layers, the full attention net at real sizes, a solver's step.

Not run so far: no machine with a GPU was at hand (docs/gpu.md).
"""

import contextlib
import dataclasses

import caffe
import numpy as np
import pytest

from attscale import device, experiments, prototxt
from conftest import input_layer, python_layer

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def gpu():
    if not device._built_with("cuda") or not device._visible_gpus():
        pytest.skip("no CUDA device can be seen, or Caffe was built without CUDA")
    yield
    caffe.set_mode_cpu()


@contextlib.contextmanager
def on(where):
    if where == "gpu":
        caffe.set_device(0)
        caffe.set_mode_gpu()
    else:
        caffe.set_mode_cpu()
    yield
    caffe.set_mode_cpu()


def close(found, expected, name):
    """To 1e-3 of the largest value."""
    scale = np.abs(expected).max() + 1e-12
    worst = np.abs(found - expected).max() / scale
    assert worst <= 1e-3, f"{name}: {worst:.2e} of the largest value apart"


def both(text, tmp_path, weights=None):
    """Forward and backward of a net on both devices from the same inputs; blobs and gradients of each."""
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    results = []
    for where in ("cpu", "gpu"):
        with on(where):
            caffe.set_random_seed(0)
            net = caffe.Net(str(path), caffe.TRAIN)
            if weights:
                net.copy_from(str(weights))
            else:
                weights = tmp_path / "w.caffemodel"
                net.save(str(weights))
            rng = np.random.default_rng(0)
            for name in net.inputs:
                blob = net.blobs[name]
                blob.data[...] = rng.normal(size=blob.data.shape)
                if name == "label":
                    blob.data[...] = rng.choice([0, 1, 2, 255], blob.data.shape)
            net.forward()
            ones = {name: np.ones_like(net.blobs[name].data) for name in net.outputs if net.blobs[name].data.shape}
            net.backward(**ones)  # losses, which have no shape, start from their weight
            results.append(
                (
                    {name: blob.data.copy() for name, blob in net.blobs.items()},
                    {f"{n}[{i}]": b.diff.copy() for n, blobs in net.params.items() for i, b in enumerate(blobs)},
                )
            )
    return results


def compare(results):
    (cpu, cpu_gradients), (gpu, gpu_gradients) = results
    for name in cpu:
        close(gpu[name], cpu[name], name)
    for name in cpu_gradients:
        close(gpu_gradients[name], cpu_gradients[name], name)


def convolution(name, bottom, extra):
    filler = 'weight_filler { type: "msra" }'
    return (
        f'layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" force_backward: true '
        f"convolution_param {{ {extra} {filler} }} }}\n"
    ).replace(" force_backward: true", "")


@pytest.mark.parametrize(
    "extra",
    [
        "num_output: 64 kernel_size: 3 pad: 1",
        "num_output: 512 kernel_size: 3 pad: 2 dilation: 2",
        "num_output: 1024 kernel_size: 3 pad: 12 dilation: 12",
        "num_output: 1024 kernel_size: 1",
        "num_output: 512 kernel_size: 3 pad: 12 dilation: 12 engine: CAFFE",
    ],
)
def test_convolutions(extra, tmp_path):
    """Also dilated ones, which the patches send through cuDNN."""
    text = "force_backward: true\n" + input_layer("data", (2, 64, 41, 41)) + convolution("conv", "data", extra)
    compare(both(text, tmp_path))


@pytest.mark.parametrize(
    "pooling",
    [
        "pool: MAX kernel_size: 3 stride: 2 pad: 1",
        "pool: MAX kernel_size: 3 stride: 1 pad: 1",
        "pool: AVE kernel_size: 3 stride: 1 pad: 1",
    ],
)
def test_pooling(pooling, tmp_path):
    layer = f'layer {{ name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param {{ {pooling} }} }}\n'
    compare(both("force_backward: true\n" + input_layer("data", (2, 64, 81, 81)) + layer, tmp_path))


def test_python_layers_between_gpu_neighbours(tmp_path):
    text = "force_backward: true\n" + input_layer("data", (2, 8, 41, 41)) + input_layer("other", (2, 8, 41, 41))
    for name, bottom in (("a", "data"), ("b", "other")):
        text += convolution(name, bottom, "num_output: 21 kernel_size: 3 pad: 1")
    text += convolution("weights", "data", "num_output: 2 kernel_size: 1")
    text += python_layer("ScaleAttention", ["a", "b", "weights"], ["merged"])
    text += convolution("after", "merged", "num_output: 5 kernel_size: 1")
    compare(both(text, tmp_path))


def with_inputs(message, batch, crop):
    del message.layer[0]
    return input_layer("data", (batch, 3, crop, crop)) + input_layer("label", (batch, 1, crop, crop)) + str(message)


def full_row():
    """The full attention net, started from fillers and without dropout, whose draws differ between devices."""
    row = experiments.find("voc12_attention3_esupv")
    trunk = dataclasses.replace(row.trunk, from_scratch=True, dropout=0.0)
    return dataclasses.replace(row, trunk=trunk, pretraining=None)


def test_the_full_attention_net_at_321(tmp_path):
    text = with_inputs(prototxt.train_net(full_row()), 1, 321)  # labels have no gradient to force
    results = both(text, tmp_path)
    for blobs, _ in results:
        blobs.pop("label")
    compare(results)


def test_one_solver_step(tmp_path):
    row = full_row()
    (tmp_path / "train.prototxt").write_text(with_inputs(prototxt.train_net(row), 1, 161))
    message = prototxt.solver(row)
    message.net, message.random_seed = str(tmp_path / "train.prototxt"), 3
    (tmp_path / "solver.prototxt").write_text(str(message))
    stepped = []
    for where in ("cpu", "gpu"):
        with on(where):
            solver = caffe.get_solver(str(tmp_path / "solver.prototxt"))
            before = {name: blobs[0].data.copy() for name, blobs in solver.net.params.items()}
            rng = np.random.default_rng(0)
            solver.net.blobs["data"].data[...] = rng.normal(size=(1, 3, 161, 161)) * 50
            solver.net.blobs["label"].data[...] = rng.integers(0, 21, (1, 1, 161, 161))
            solver.step(1)
            stepped.append({name: blobs[0].data - before[name] for name, blobs in solver.net.params.items()})
    for name in stepped[0]:
        close(stepped[1][name], stepped[0][name], name)
