"""What `benchmark.py gpu` measures and prints: on the CPU at 65 pixels, and what it makes of a card's answers."""

import dataclasses
import json
import sys

import pytest

from attscale.bench import netspeed
from attscale.errors import RunError, UserError
from attscale.machine import device
from attscale.results import ratios
from conftest import one_line_error

TASKS = netspeed.tasks("data", gpus=(0,), crop=321, image=513, batch_size=10, iter_size=3, iterations=5)


def executable(path, script):
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_on_the_cpu_at_65_pixels(tool, tmp_path):
    done = tool(
        "benchmark", "gpu", "--device", "cpu", "--size", 65, "--iterations", 1, "--rounds", 1,
        "--batch-size", 1, "--iter-size", 2, "--out", "kept",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "CPU; medians of 1 round (range):"
    assert lines[2] == "| | voc12_largefov | voc12_attention3_esupv | ratio |"
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[4:8]]
    assert [row[0] for row in rows] == [
        "training, s an iteration of 1 x 2 images of 65x65",
        "memory in training, GiB",
        "inference, s an image of 65x65",
        "memory in inference, GiB",
    ]
    # at least the 20.5 million parameters of LargeFOV, 4 bytes each; with gradients and history in training
    assert float(rows[1][1]) > 3 * 0.076
    assert float(rows[3][1]) > 0.076
    assert all(float(row[3]) > 1 for row in rows)  # three scales cost more than one
    training, inference = ratios.find([tmp_path / "kept"])
    assert training.name == "training on the CPU, voc12_attention3_esupv"
    assert inference.beside == "voc12_largefov"
    assert 2 / training.beside_rate == pytest.approx(float(rows[0][1]), rel=0.01)  # two images an iteration


def test_without_a_gpu_it_says_so(tool):
    try:
        device.demand((0,))
    except RunError as error:
        one_line_error(tool("benchmark", "gpu"), str(error))
    else:
        pytest.skip("there is a GPU")


def test_a_size_where_the_scales_do_not_line_up(tool):
    one_line_error(tool("benchmark", "gpu", "--device", "cpu", "--size", 64), "crop_size is 64, expected 32k + 1")


def test_the_table_has_medians_and_ranges():
    """By hand: medians of three rounds; ratios round by round, 4/2, 9/3 and 4/1, in ascending order 2, 3, 4."""
    gib = 2**30
    seconds = {0: (2, 3, 1), 1: (4, 9, 4), 2: (0.5, 0.5, 0.5), 3: (1, 1, 1)}
    costs = {
        task: [netspeed.Cost(seconds=value, memory=gib * (number + 1)) for value in seconds[number]]
        for number, task in enumerate(TASKS)
    }
    card = netspeed.Card(name="Some Card", driver="1.2.3", memory=12 * gib)
    assert list(netspeed.table(costs, card)) == [
        "Some Card, 12 GiB, driver 1.2.3; medians of 3 rounds (range):",
        "",
        "| | voc12_largefov | voc12_attention3_esupv | ratio |",
        "|---|---|---|---|",
        "| training, s an iteration of 10 x 3 images of 321x321 | 2 (1 to 3) | 4 (4 to 9) | 3 (2 to 4) |",
        "| memory in training, GiB | 1 | 2 | 2 |",
        "| inference, s an image of 513x513 | 0.5 | 1 | 2 |",
        "| memory in inference, GiB | 3 | 4 | 1.33 |",
    ]
    training, inference = netspeed.ratios(costs, "Some Card")
    assert training.rates == (30 / 4, 30 / 9, 30 / 4)
    assert training.beside_rates == (15, 10, 30)
    assert inference.rates == (1, 1, 1)


def test_what_nvidia_smi_says(tmp_path, monkeypatch):
    executable(tmp_path / "nvidia-smi", '[ "$1" = --id=0000:07:00.0 ] && echo "Some Card, 1.2.3, 12288, 256"')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(device, "bus_id", {3: "0000:07:00.0"}.get)
    assert netspeed.card(3) == (netspeed.Card(name="Some Card", driver="1.2.3", memory=12 * 2**30), 2**28)


def test_the_memory_of_a_net_is_what_it_adds_to_the_card(tmp_path, monkeypatch):
    answers = iter([(None, 100), (None, 300)])
    monkeypatch.setattr(netspeed, "card", lambda gpu: next(answers))
    executable(tmp_path / "python", f"echo '{json.dumps({'seconds': 0.5, 'memory': 1000})}'")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    (costs,) = netspeed.measure(TASKS[:1], 2).values()
    assert [cost.memory for cost in costs] == [900, 700]


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
    executable(tmp_path / "python", script)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    task = dataclasses.replace(TASKS[0], gpus=(), batch_size=batch)
    with pytest.raises(UserError, match=f"^training of voc12_largefov at 321: {said}"):
        netspeed.measure([task], 1)
