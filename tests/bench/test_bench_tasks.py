"""Measurements in processes of their own: Caffe's in small, and what becomes of one that fails."""

import dataclasses
import json
import os
import subprocess
import sys

import caffe
import pytest

from attscale import prototxt
from attscale.bench import card, nets, ours, task
from attscale.bench.task import Task, in_turn
from attscale.errors import UserError
from attscale.machine import device
from attscale.options import encode

TASK = Task(name="voc12_largefov", training=True, size=321, iterations=5, batch_size=10, iter_size=3)
SMALL = Task(name="voc12_attention3_esupv_narrow", training=True, size=33, iterations=2, threads=1)


def executable(path, script):
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def python_is(path, script, monkeypatch):
    """Has every child be the shell script."""
    executable(path / "python", script)
    monkeypatch.setattr(sys, "executable", str(path / "python"))


def test_titles():
    assert TASK.title == "voc12_largefov, training step at 321, batch 10 x 3"
    assert SMALL.title == "voc12_attention3_esupv_narrow, training step at 33"
    assert dataclasses.replace(SMALL, training=False).title == "voc12_attention3_esupv_narrow, inference at 33"


def test_training_by_layers():
    """Every layer takes some of the time, and all of them no more than the step."""
    ((cost,),) = in_turn([dataclasses.replace(SMALL, by_layer=True)], 1)[0].values()
    assert set(cost.layers) >= {"data", "conv1_1", "conv5_3_res05", "fc8_fusion", "loss_fusion", "label_shrink"}
    forward, backward = (sum(times) for times in zip(*cost.layers.values(), strict=True))
    assert min(time for times in cost.layers.values() for time in times) >= 0
    assert cost.layers["conv1_2"][0] > 0
    assert cost.layers["conv1_2"][1] > 0
    assert forward + backward <= cost.seconds
    batch = ours.InMemory.of(SMALL.row).train_net().layer[0]
    assert (batch.name, batch.type) == ("data", "Input")  # in memory, it takes no time
    assert cost.sgemm > 0.1
    assert 2**25 < cost.memory < 2**31


def test_inference():
    ((cost,),) = in_turn([dataclasses.replace(SMALL, training=False, size=65)], 1)[0].values()
    assert 0 < cost.seconds < 10
    assert cost.layers == {}


@pytest.mark.slow
def test_training_by_the_data_layer():
    with nets._photos() as data:
        both = dataclasses.replace(SMALL, data=data, by_layer=True, iterations=1)
        ((cost,),) = in_turn([both], 1)[0].values()
    assert cost.layers["data"][0] > 0


def test_what_libraries_read_when_they_are_loaded():
    assert TASK.environment == {}
    assert SMALL.environment == {"OMP_NUM_THREADS": "1"}
    assert dataclasses.replace(SMALL, threads=0, stock="winograd").environment == {"CAFFE_STOCK": "winograd"}


def test_the_child_sets_them_before_there_is_caffe():
    """By a child of its own, which ends where Caffe would be loaded and says what it sees."""
    code = """
import os, sys
from attscale.bench import child
class Watch:
    def find_spec(name, path, target=None):
        if name == "caffe":
            sys.exit(f"{os.environ.get('CAFFE_STOCK')} {os.environ.get('OMP_NUM_THREADS')}")
sys.meta_path.insert(0, Watch)
child.main(sys.argv[1:])
"""
    one = dataclasses.replace(SMALL, stock="winograd", threads=3)
    command = [sys.executable, "-c", code, encode(one), str(os.getpid())]
    environment = {key: value for key, value in os.environ.items() if key not in ("OMP_NUM_THREADS", "CAFFE_STOCK")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stderr.strip() == "winograd 3"


def test_tasks_take_turns(monkeypatch):
    seen = []
    monkeypatch.setattr(task, "_in_process", lambda one: seen.append(one) or len(seen))
    costs, failed = in_turn([TASK, SMALL], 2)
    assert seen == [TASK, SMALL, TASK, SMALL]
    assert (costs, failed) == ({TASK: [1, 3], SMALL: [2, 4]}, {})


def test_one_that_may_fail_is_left_out_once_it_has(monkeypatch):
    seen = []

    def run(one):
        seen.append(one)
        if one == SMALL:
            raise UserError("it does not compile")
        return len(seen)

    monkeypatch.setattr(task, "_in_process", run)
    costs, failed = in_turn([SMALL, TASK], 2, may_fail=lambda one: one == SMALL)
    assert (costs, failed) == ({TASK: [2, 3]}, {SMALL: "it does not compile"})
    with pytest.raises(UserError, match=r"^it does not compile$"):
        in_turn([TASK, SMALL], 2)


@pytest.mark.parametrize(
    ("batch", "script", "said"),
    [
        (
            10,
            "echo 'F1121 02:15:00.1  7 syncedmem.cpp:71] Check failed: error == cudaSuccess (2 vs. 0)  out of memory' "
            ">&2; kill -ABRT $$",
            "Caffe stopped: Check failed: .* out of memory; try a smaller --batch-size$",
        ),
        (1, "echo 'error: no such thing' >&2; exit 1", "no such thing$"),
        (1, "kill -KILL $$", "the process was ended by SIGKILL"),
    ],
)
def test_a_failure_is_one_line_that_names_the_task(batch, script, said, tmp_path, monkeypatch):
    python_is(tmp_path, script, monkeypatch)
    one = dataclasses.replace(TASK, batch_size=batch, iter_size=1)
    with pytest.raises(UserError, match=f"^voc12_largefov, training step at 321(, batch 10)?: {said}"):
        in_turn([one], 1)


def test_what_nvidia_smi_says(tmp_path, monkeypatch):
    executable(tmp_path / "nvidia-smi", '[ "$1" = --id=0000:07:00.0 ] && echo "Some Card, 1.2.3, 12288, 256"')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(device, "bus_id", {3: "0000:07:00.0"}.get)
    found = card.read(3)
    assert found == card.Card(name="Some Card", driver="1.2.3", memory=12 * 2**30, used=2**28)
    assert str(found) == "Some Card, 12 GiB, driver 1.2.3"


def test_the_memory_of_a_net_is_what_it_adds_to_the_card(tmp_path, monkeypatch):
    answers = iter([100, 300])
    monkeypatch.setattr(task, "_used", lambda one: next(answers))
    python_is(tmp_path, f"echo '{json.dumps({'seconds': 0.5, 'memory': 1000})}'", monkeypatch)
    (costs,) = in_turn([TASK], 2)[0].values()
    assert [cost.memory for cost in costs] == [900, 700]


def test_a_batch_in_memory():
    """Noise as large as an image's values, labels of every class, some ignored: at least each of 22 in 33 x 33."""
    model = ours.InMemory.of(SMALL.row)
    net = prototxt.load(model.train_net(), caffe.TRAIN)
    ours.fill(net, 21)
    assert set(net.blobs["label"].data.ravel()) == {*map(float, range(21)), 255.0}
    assert net.blobs["data"].data.std() == pytest.approx(60, rel=0.1)
    assert net.blobs["data"].data.shape == (1, 3, 33, 33)
