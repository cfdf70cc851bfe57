"""The parts about nets: what is measured in turn, and what stands beside what. Each returns its Findings."""

import collections
import contextlib
import dataclasses
import importlib.metadata
import json
import tempfile
from pathlib import Path

from google.protobuf import json_format

from attscale import datasets, experiments, processes
from attscale.bench import ours, speeds
from attscale.bench.task import CAFFE, CHANNELS_LAST, COMPILED, EAGER, Task, in_turn
from attscale.errors import RunError
from attscale.machine import device, inspection
from attscale.prototxt import Model
from attscale.results.benchmarks import Findings, LayerTime, NetTime, Ratio

BASELINE, ATTENTION, DEMO = "voc12_largefov", "voc12_attention3_esupv", "shapes"
#: What CAFFE_STOCK may name.
STOCK = ("winograd", "gemm", "layers", "memory", "all")
#: What is asked, as shares of PyTorch's best time and of its memory (in training or not), and of the multiply-adds.
OF_PEER, OF_PEERS_MEMORY, OF_MULTIPLY_ADDS = 0.75, {True: 1.1, False: 1.2}, 1.05
#: All cores beside one; layers in Python and waiting for data beside the whole step.
OF_ONE_CORE, IN_PYTHON, WAITING = 1.7, 0.02, 0.01


def step(*, names=(BASELINE, ATTENTION), crop, batch_size, iterations, rounds, progress=iter):
    """Attention's training step beside the baseline's: at most 1.05 times the ratio of their multiply-adds."""
    tasks = _training(names, size=crop, batch_size=batch_size, iterations=iterations)
    return _beside_the_baseline(*tasks, rounds, progress)


def infer(*, names=(BASELINE, ATTENTION), image, iterations, rounds, progress=iter):
    """Attention's inference beside the baseline's, as `step`."""
    return _beside_the_baseline(*_inference(names, size=image, iterations=iterations), rounds, progress)


def _training(names, **options):
    return [Task(name=name, training=True, **options) for name in names]


def _inference(names, **options):
    return [Task(name=name, training=False, **options) for name in names]


def _beside_the_baseline(baseline, attention, rounds, progress):
    work, less = (inspection.total(_inspected(task)).multiply_adds for task in (attention, baseline))
    costs, _ = in_turn([baseline, attention], rounds, progress=progress)
    times = f"{attention.name} has {work / less:.2f} times the multiply-adds of {baseline.name}, forward"
    return Findings(
        ratios=(_ratio(costs, attention, baseline, at_most=OF_MULTIPLY_ADDS * work / less),),
        notes=(f"{times}; at most {OF_MULTIPLY_ADDS} times that is asked of the seconds.",),
    )


def _inspected(task):
    return inspection.inspect(Model.of(task.row))


def peer(*, names=(BASELINE, ATTENTION), on="cpu", crop, image, batch_size, iterations, rounds, progress=iter):
    """Caffe's seconds beside PyTorch's, as it comes, channels last, and compiled where that works: at most 0.75.

    on: "gpu", the first, or "cpu". Raises RunError where that or PyTorch is not there.
    """
    common = {"iterations": iterations, "gpus": _gpus(on)}
    tasks = _training(names, size=crop, batch_size=batch_size, **common)
    tasks += _inference(names, size=image, **common)
    pairs, costs, notes = _beside_pytorch(tasks, (EAGER, CHANNELS_LAST, COMPILED), rounds, progress)
    return Findings(ratios=tuple(_ratio(costs, *pair, at_most=OF_PEER) for pair in pairs), notes=notes)


def memory(*, names=(BASELINE, ATTENTION), crop, image, batch_size, rounds, progress=iter):
    """The most memory of a process that predicts, and of one that trains, beside PyTorch's."""
    tasks = _inference(names, size=image, iterations=1)
    tasks += _training(names, size=crop, batch_size=batch_size, iterations=1)
    pairs, costs, _ = _beside_pytorch(tasks, (EAGER, CHANNELS_LAST), rounds, progress)
    return Findings(
        ratios=tuple(_memory(costs, own, other, at_most=OF_PEERS_MEMORY[own.training]) for own, other in pairs)
    )


def _beside_pytorch(tasks, engines, rounds, progress):
    """((task, its like in PyTorch), ...), {task: its Costs}, notes on what could not be compiled. Raises RunError."""
    if _torch() is None:
        raise RunError("PyTorch is not installed, which this is measured beside: make torch")
    with tempfile.TemporaryDirectory() as folder:
        pairs = [(task, _in_pytorch(task, engine, folder)) for task in tasks for engine in engines]
        each = dict.fromkeys(task for pair in pairs for task in pair)
        costs, failed = in_turn(each, rounds, progress=progress, may_fail=lambda task: task.engine == COMPILED)
    notes = tuple(f"PyTorch, {task.engine}, could not be measured: {why}." for task, why in failed.items())
    return [pair for pair in pairs if pair[1] in costs], costs, notes


def _torch():
    """The version of PyTorch; None without it."""
    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return None


def _in_pytorch(task, engine, folder):
    """The task for PyTorch, its net as JSON: a process that imported Caffe would have Caffe's memory as well."""
    model = Model.of(task.row)
    message = model.train if task.training else model.deploy
    layers = [json_format.MessageToDict(layer, preserving_proto_field_name=True) for layer in message.layer]
    path = Path(folder, f"{task.name}_{'train' if task.training else 'deploy'}_{task.size}.json")
    path.write_text(json.dumps(layers))
    return dataclasses.replace(task, engine=engine, net=str(path))


def threads(*, name=DEMO, iterations, rounds, progress=iter):
    """A training step of the demo's net on all cores beside one: at least 1.7 times as fast. Raises RunError on one."""
    cores = processes.threads_at_hand()
    if cores == 1:
        raise RunError("there is one core: nothing to compare")
    row = experiments.find(name)
    (on_all,) = _training([row.name], size=row.crop_size, batch_size=row.solver.batch_size, iterations=iterations)
    on_one = dataclasses.replace(on_all, threads=1)
    costs, _ = in_turn([on_one, on_all], rounds, progress=progress)
    rates = [tuple(1 / cost.seconds for cost in costs[task]) for task in (on_all, on_one)]
    words = f"{on_all.title}, {cores} cores", "one core"
    return Findings(ratios=(_of(words, rates, "steps/s", at_least=OF_ONE_CORE),))


def layers(*, name=ATTENTION, crop, batch_size, iterations, rounds, progress=iter):
    """The share of the layers in Python in a training step, at most 2 %, and of waiting for data, at most 1 %."""
    with _photos() as data:
        options = {"batch_size": batch_size, "iterations": iterations, "data": data, "by_layer": True}
        (task,) = _training([name], size=crop, **options)
        ((costs,), _) = (list(found.values()) for found in in_turn([task], rounds, progress=progress))
    whole = [cost.seconds for cost in costs]
    kinds = {layer.name: _kind(layer) for layer in Model.of(task.row).train.layer if layer.type == "Python"}
    ratios = []
    for words, wanted, share in (
        ("layers in Python", lambda kind: kind != "SegData", IN_PYTHON),
        ("waiting for data", lambda kind: kind == "SegData", WAITING),
    ):
        mine = [sum(sum(cost.layers[name]) for name, kind in kinds.items() if wanted(kind)) for cost in costs]
        ratios.append(_of((words, task.title), (mine, whole), "s", at_most=share))
    return Findings(ratios=tuple(ratios))


def _kind(layer):
    return layer.python_param.layer if layer.type == "Python" else layer.type


@contextlib.contextmanager
def _photos():
    """A folder of data sets, with VOC's training list in images of noise; as a str."""
    dataset = datasets.find("voc12")
    with tempfile.TemporaryDirectory() as data:
        speeds.make_photos(Path(data, dataset.root), 40, source=dataset.list_of(dataset.train))
        yield data


def parts(*, name=ATTENTION, crop, image, batch_size, iterations, rounds, progress=iter):
    """Our Caffe with one of our parts switched off, beside the whole; without a part that gains it is slower."""
    whole = _training([name], size=crop, batch_size=batch_size, iterations=iterations)
    whole += _inference([name], size=image, iterations=iterations)
    without = {task: [dataclasses.replace(task, stock=stock) for stock in STOCK] for task in whole}
    each = [task for own in whole for task in (own, *without[own])]
    costs, _ = in_turn(each, rounds, progress=progress)
    ratios = []
    for own in whole:
        for other in without[own]:
            words = f"{own.title}, stock {other.stock}", "all of ours"
            if other.stock != "memory":
                ratios.append(_of(words, _seconds(costs, other, own), "s", at_least=1.0))
            if other.stock in ("memory", "all"):
                ratios.append(_of((f"{words[0]}, memory", words[1]), _mib(costs, other, own), "MiB", at_least=1.0))
    return Findings(ratios=tuple(ratios))


def net(*, names=(BASELINE, ATTENTION), crop, batch_size, rounds, progress=iter):
    """Every convolution's seconds and GFLOP/s, and the seconds of all others by their type, in a training step."""
    tasks = _training(names, size=crop, batch_size=batch_size, iterations=1, by_layer=True)
    costs, _ = in_turn(tasks, rounds, progress=progress)
    times = [_by_layer(task, costs[task]) for task in tasks]
    ratios = []
    for one in times:
        for way in ("forward", "backward"):
            gflop = sum(getattr(layer, f"{way}_gflop") for layer in one.layers)
            seconds = [sum(each) for each in zip(*(getattr(layer, way) for layer in one.layers), strict=True)]
            rates = [gflop / value for value in seconds], one.sgemm
            ratios.append(_of((f"{one.title}, {way}", "a product of large matrices"), rates, "GFLOP/s"))
    return Findings(ratios=tuple(ratios), nets=tuple(times))


def _by_layer(task, costs):
    work = {layer.name: layer.cost.multiply_adds for layer in _inspected(task)}
    learned, others, result = set(), collections.defaultdict(list), []
    for layer in ours.InMemory.of(task.row).train_net().layer:
        forward, backward = (tuple(cost.layers[layer.name][way] for cost in costs) for way in (0, 1))
        of_learned = not learned.isdisjoint(layer.bottom)  # whose gradient is wanted
        if of_learned or layer.type == "Convolution":
            learned.update(layer.top)
        if layer.type != "Convolution":
            others[_kind(layer)].append((forward, backward))
            continue
        gflop = 2 * work[layer.name] * task.batch_size / 1e9
        both = {"forward_gflop": gflop, "backward_gflop": (1 + of_learned) * gflop}
        result.append(LayerTime(name=layer.name, forward=forward, backward=backward, **both))
    for kind, each in others.items():
        sums = [tuple(map(sum, zip(*way, strict=True))) for way in zip(*each, strict=True)]
        result.append(LayerTime(name=f"{kind}, {len(each)} in all", forward=sums[0], backward=sums[1]))
    return NetTime(title=task.title, sgemm=tuple(cost.sgemm for cost in costs), layers=tuple(result))


def gpu(
    *, names=(BASELINE, ATTENTION), on="gpu", crop, image, batch_size, iter_size, iterations, rounds, progress=iter
):
    """Attention's seconds and memory on the first GPU, or `on` the "cpu", beside the baseline's; training by SegData.

    Raises UserError where there is no GPU, or too small a one.
    """
    common = {"iterations": iterations, "gpus": _gpus(on)}
    with _photos() as data:
        pairs = [
            _training(names, size=crop, batch_size=batch_size, iter_size=iter_size, data=data, **common),
            _inference(names, size=image, **common),
        ]
        costs, _ = in_turn([task for pair in pairs for task in pair], rounds, progress=progress)
    return Findings(ratios=tuple(ratio(costs, own, other) for other, own in pairs for ratio in (_ratio, _memory)))


def _gpus(on):
    gpus = (0,) if on == "gpu" else ()
    device.demand(gpus)
    return gpus


def _ratio(costs, own, other, **target):
    return _of((own.title, _called(other)), _seconds(costs, own, other), "s", **target)


def _memory(costs, own, other, **target):
    return _of((f"{own.title}, memory", _called(other)), _mib(costs, own, other), "MiB", **target)


def _called(task):
    return task.title if task.engine == CAFFE else f"PyTorch, {task.engine}"


def _seconds(costs, *tasks):
    return [tuple(cost.seconds for cost in costs[task]) for task in tasks]


def _mib(costs, *tasks):
    return [tuple(cost.memory / 2**20 for cost in costs[task]) for task in tasks]


def _of(words, values, unit, **target):
    """The Ratio of two things, given what both are called, their values in each round, and the unit of these."""
    (name, beside), (own, other) = words, map(tuple, values)
    return Ratio(name=name, values=own, beside=beside, beside_values=other, unit=unit, **target)
