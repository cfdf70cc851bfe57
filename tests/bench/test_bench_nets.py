"""What stands beside what, and what is asked: worked out by hand from costs that are given."""

import importlib
import inspect
import re

import pytest

from attscale import experiments
from attscale.bench import nets
from attscale.bench.catalogue import OPTIONS, PARTS
from attscale.bench.task import Cost
from attscale.errors import RunError
from attscale.prototxt import Model
from attscale.results.benchmarks import LayerTime
from conftest import REPO

BASELINE, ATTENTION = NAMES = "voc12_largefov_narrow", "voc12_attention3_esupv_narrow"
#: VGG-16 at an eighth of the width: stride and channels of every 3x3 convolution's output
VGG = [(1, 8)] * 2 + [(2, 16)] * 2 + [(4, 32)] * 3 + [(8, 64)] * 6


@pytest.fixture
def given(monkeypatch):
    """Has every task cost what a function says of it and of the round; returns the tasks, as they were measured."""
    seen = []

    def use(cost, failing=lambda task: False):
        def in_turn(tasks, rounds, *, progress=iter, may_fail=lambda task: False):
            seen.extend(tasks)
            failed = {task: "it does not compile" for task in tasks if failing(task) and may_fail(task)}
            return {task: [cost(task, n) for n in range(rounds)] for task in tasks if task not in failed}, failed

        monkeypatch.setattr(nets, "in_turn", in_turn)
        return seen

    return use


def multiply_adds(size, scales, classes=21, filters=0):
    """Of the convolutions of LargeFOV at each scale, and of the attention model where it has filters."""
    total = 0
    for scale in scales:
        side, inputs = int((size - 1) * scale) + 1, 3
        for stride, outputs in VGG:
            total += ((side - 1) // stride + 1) ** 2 * 9 * inputs * outputs
            inputs = outputs
        pixels = (-(-(side - 1) // 8) + 1) ** 2
        total += pixels * (9 * 64 * 128 + 128 * 128 + 128 * classes)
    finest = ((size - 1) // 8 + 1) ** 2
    return total + (finest * (9 * 3 * 128 * filters + 3 * filters) if filters else 0)


def test_a_step_beside_the_baselines(given):
    """Rounds of 4 to 2, 9 to 3 and 4 to 1 s; asked are 1.05 times the multiply-adds, all but convolutions being few."""
    seconds = {BASELINE: (2, 3, 1), ATTENTION: (4, 9, 4)}
    seen = given(lambda task, n: Cost(seconds=seconds[task.name][n], memory=1))
    found = nets.step(names=NAMES, crop=65, batch_size=2, iterations=3, rounds=3)
    (ratio,) = found.ratios
    assert ratio.texts == (
        "voc12_attention3_esupv_narrow, training step at 65, batch 2",
        "4.00 s",
        "voc12_largefov_narrow, training step at 65, batch 2",
        "2.00 s",
        "3.00 (2.00 to 4.00)",
    )
    filters = experiments.find(ATTENTION).attention.filters
    times = multiply_adds(65, (1, 0.75, 0.5), filters=filters) / multiply_adds(65, (1,))
    assert ratio.at_most == pytest.approx(1.05 * times, rel=0.02)
    assert f" has {ratio.at_most / 1.05:.2f} times the multiply-adds of " in found.notes[0]
    assert [(task.name, task.training, task.iterations) for task in seen] == [(BASELINE, True, 3), (ATTENTION, True, 3)]


def test_inference_beside_the_baselines(given):
    given(lambda task, n: Cost(seconds=1 + (task.name == ATTENTION), memory=1))
    (ratio,) = nets.infer(names=NAMES, image=97, iterations=3, rounds=2).ratios
    assert ratio.texts[0] == "voc12_attention3_esupv_narrow, inference at 97"
    assert ratio.ratios == [2, 2]


def test_beside_pytorch(given, monkeypatch):
    """Caffe takes 3 s; PyTorch 4, or 6 channels last; compiled, training takes 5 and inference fails."""
    monkeypatch.setattr(nets, "_torch", lambda: "2.13.0")
    seconds = {"caffe": 3, "eager": 4, "channels-last": 6, "compiled": 5}
    seen = given(
        lambda task, n: Cost(seconds=seconds[task.engine], memory=1),
        failing=lambda task: task.engine == "compiled" and not task.training,
    )
    found = nets.peer(names=[BASELINE], crop=33, image=65, batch_size=1, iterations=1, rounds=2)
    titles = "voc12_largefov_narrow, training step at 33", "voc12_largefov_narrow, inference at 65"
    assert [(one.name, one.beside, one.ratios[0], one.target[1]) for one in found.ratios] == [
        (titles[0], "PyTorch, eager", 0.75, True),
        (titles[0], "PyTorch, channels-last", 0.5, True),
        (titles[0], "PyTorch, compiled", 0.6, True),
        (titles[1], "PyTorch, eager", 0.75, True),
        (titles[1], "PyTorch, channels-last", 0.5, True),
    ]
    assert found.notes == ("PyTorch, compiled, could not be measured: it does not compile.",)
    assert [task.engine for task in seen] == 2 * ["caffe", "eager", "channels-last", "compiled"]


def test_memory_beside_pytorch(given, monkeypatch):
    monkeypatch.setattr(nets, "_torch", lambda: "2.13.0")
    mib = {"caffe": 300, "eager": 200, "channels-last": 400}
    given(lambda task, n: Cost(seconds=1, memory=mib[task.engine] << 20))
    found = nets.memory(names=[BASELINE], crop=33, image=65, batch_size=2, rounds=1)
    assert [(one.name, one.texts[1], one.texts[3], one.ratios[0], one.at_most) for one in found.ratios] == [
        ("voc12_largefov_narrow, inference at 65, memory", "300 MiB", "200 MiB", 1.5, 1.2),
        ("voc12_largefov_narrow, inference at 65, memory", "300 MiB", "400 MiB", 0.75, 1.2),
        ("voc12_largefov_narrow, training step at 33, batch 2, memory", "300 MiB", "200 MiB", 1.5, 1.1),
        ("voc12_largefov_narrow, training step at 33, batch 2, memory", "300 MiB", "400 MiB", 0.75, 1.1),
    ]


def test_without_pytorch_it_says_so(monkeypatch):
    monkeypatch.setattr(nets, "_torch", lambda: None)
    with pytest.raises(RunError, match=r"^PyTorch is not installed, .*: make torch$"):
        nets.memory(crop=33, image=65, batch_size=1, rounds=1)


def test_all_cores_beside_one(given, monkeypatch):
    """0.5 s instead of 1.25: 2 steps a second beside 0.8."""
    monkeypatch.setattr(nets.processes, "threads_at_hand", lambda: 2)
    given(lambda task, n: Cost(seconds=1.25 if task.threads == 1 else 0.5, memory=1))
    (ratio,) = nets.threads(iterations=4, rounds=1).ratios
    assert ratio.texts[1:4] == ("2.00 steps/s", "one core", "0.800 steps/s")
    assert ratio.name == "shapes_attention3_esupv, training step at 193, 2 cores"
    assert ratio.target == ("at least 1.70", True)
    monkeypatch.setattr(nets.processes, "threads_at_hand", lambda: 1)
    with pytest.raises(RunError, match="there is one core"):
        nets.threads(iterations=4, rounds=1)


def test_shares_of_layers_in_python_and_of_waiting(given):
    """Each layer takes 0.25 s forward and 0.5 backward, of 100 s; the data layer 0.25 and 2."""
    message = Model.of(experiments.find(ATTENTION)).train
    python = [layer.name for layer in message.layer if layer.type == "Python" and layer.name != "data"]
    assert len(python) > 5
    times = {layer.name: (0.25, 2.0 if layer.name == "data" else 0.5) for layer in message.layer}
    given(lambda task, n: Cost(seconds=100, memory=1, layers=times))
    share, waiting = nets.layers(name=ATTENTION, crop=65, batch_size=1, iterations=1, rounds=1).ratios
    assert share.ratios == [pytest.approx(0.0075 * len(python))]
    assert (waiting.ratios, waiting.target) == ([0.0225], ("at most 0.0100", False))


def test_parts_left_to_stock_caffe(given):
    """Stock takes twice as long and 1.5 times the memory; but without `gemm` it is faster: that part is no gain."""

    def cost(task, n):
        seconds = {"": 2, "gemm": 1.5}.get(task.stock, 4)
        return Cost(seconds=seconds, memory=(3 if task.stock in ("memory", "all") else 2) << 20)

    seen = given(cost)
    found = nets.parts(name=BASELINE, crop=33, image=65, batch_size=1, iterations=1, rounds=1)
    assert len(seen) == 2 * (1 + len(nets.STOCK))
    training = [one for one in found.ratios if "training" in one.name]
    verdicts = {one.name.split(", stock ")[1]: (one.unit, one.ratios[0], one.target[1]) for one in training}
    assert verdicts["winograd"] == ("s", 2, True)
    assert verdicts["gemm"] == ("s", 0.75, False)
    assert verdicts["memory, memory"] == verdicts["all, memory"] == ("MiB", 1.5, True)
    assert "memory" not in verdicts  # it is for memory
    assert {one.beside for one in training} == {"all of ours"}


def test_parts_are_those_of_the_code():
    """Every name that our code asks CAFFE_STOCK for can be switched off here."""
    files = [path for path in (REPO / "docker/fast").rglob("*") if path.suffix in (".cpp", ".hpp", ".patch")]
    asked = {name for path in files for name in re.findall(r'\bstock\("(\w+)"\)', path.read_text())}
    assert asked | {"all"} == set(nets.STOCK)


def test_a_net_by_layers(given):
    """conv1_1 of each scale has no gradient by the image, so half of the others' work in its backward pass."""
    message = Model.of(experiments.find(ATTENTION)).train
    times = {layer.name: (0.5, 1.0) for layer in message.layer}
    given(lambda task, n: Cost(seconds=100, memory=1, layers=times, sgemm=100.0))
    found = nets.net(names=[ATTENTION], crop=65, batch_size=2, rounds=2)
    (net,) = found.nets
    layers = {layer.name: layer for layer in net.layers}
    first = 2 * 2 * 65 * 65 * 9 * 3 * 8 / 1e9
    both = {"forward": (0.5, 0.5), "backward": (1.0, 1.0)}
    assert layers["conv1_1"] == LayerTime(name="conv1_1", forward_gflop=first, backward_gflop=first, **both)
    coarse = 2 * 2 * 33 * 33 * 9 * 3 * 8 / 1e9
    assert layers["conv1_1_res05"].backward_gflop == layers["conv1_1_res05"].forward_gflop == pytest.approx(coarse)
    second = 2 * 2 * 65 * 65 * 9 * 8 * 8 / 1e9
    assert layers["conv1_2"] == LayerTime(name="conv1_2", forward_gflop=second, backward_gflop=2 * second, **both)
    relus = sum(layer.type == "ReLU" for layer in message.layer)
    assert layers[f"ReLU, {relus} in all"].backward == (relus, relus)
    assert layers["Input, 1 in all"].forward == (0.5, 0.5)  # a batch in memory, and no SegData
    convolutions = sum(layer.type == "Convolution" for layer in message.layer)
    assert sum(layer.forward_gflop > 0 for layer in net.layers) == convolutions
    forward, backward = found.ratios
    gflop = sum(layer.forward_gflop for layer in net.layers)
    assert forward.values == (pytest.approx(gflop / (0.5 * len(message.layer))),) * 2
    assert forward.beside_values == (100, 100)
    assert backward.name == "voc12_attention3_esupv_narrow, training step at 65, batch 2, backward"


def test_on_a_gpu_seconds_and_memory_stand_beside_the_baselines(given, monkeypatch):
    monkeypatch.setattr(nets.device, "demand", lambda gpus: None)
    seen = given(lambda task, n: Cost(seconds=1 + (task.name == ATTENTION), memory=(4 - 2 * task.training) << 20))
    options = {"crop": 33, "image": 65, "batch_size": 5, "iter_size": 2, "iterations": 1, "rounds": 1}
    found = nets.gpu(names=NAMES, **options)
    assert [(one.name, one.unit, one.ratios) for one in found.ratios] == [
        ("voc12_attention3_esupv_narrow, training step at 33, batch 5 x 2", "s", [2]),
        ("voc12_attention3_esupv_narrow, training step at 33, batch 5 x 2, memory", "MiB", [1]),
        ("voc12_attention3_esupv_narrow, inference at 65", "s", [2]),
        ("voc12_attention3_esupv_narrow, inference at 65, memory", "MiB", [1]),
    ]
    assert {task.gpus for task in seen} == {(0,)}
    assert [bool(task.data) for task in seen] == [True, True, False, False]


@pytest.mark.slow
def test_memory_in_processes():
    pytest.importorskip("torch", reason="PyTorch is in the optional group bench")
    found = nets.memory(names=[BASELINE], crop=33, image=65, batch_size=1, rounds=1)
    assert all(50 < value < 5000 for one in found.ratios for value in (*one.values, *one.beside_values))


def test_every_part_has_its_options():
    """The functions that the catalogue names take what it offers."""
    for name, part in PARTS.items():
        module, function = part.where.split(".")
        wanted = inspect.signature(getattr(importlib.import_module(f"attscale.bench.{module}"), function)).parameters
        required = {key for key, one in wanted.items() if one.default is one.empty}
        assert required <= set(part.options) <= set(wanted) & set(OPTIONS), name
        assert "progress" in wanted
