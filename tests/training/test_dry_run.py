"""Whether a run would fit: dry runs, the memory that they measure, and batches that are too large."""

import json

import numpy as np
import pytest

from attscale import cli
from attscale.errors import RunError
from attscale.machine import device
from attscale.training import dryrun, journal, runs
from conftest import one_line_error
from helpers.training_runs import stand_in, train


def test_dry_run_makes_no_run(home):
    done = train(home, "--dry-run", "--out", "dry")
    assert done.returncode == 0, done.stderr
    assert "memory: " in done.stdout
    assert "so 24 iterations in about" in done.stdout
    assert not (home / "dry").exists()


@pytest.mark.parametrize("how", ["--dry-run", "--out=large"])
def test_a_batch_that_caffe_cannot_hold_is_refused_at_once(home, how):
    """conv1_1 has 8 channels x 193^2 = 297,992 values for an image, 7206 times into 2^31 - 1."""
    done = train(home, "--batch-size", 100_000, how)
    words = "conv1_1 would need 29,799,200,000 values at once, Caffe holds 2,147,483,647"
    one_line_error(done, f"--batch-size 100000: {words}; for shapes_attention3_esupv 7206 is the largest")
    assert not (home / "large").exists()


MEASURED = {
    "loss": 1.5, "seconds": 9.0, "seconds_of_the_last": 2.0, "memory_mib": 1024, "gpu_memory_mib": 1536,
    "gpu_memory_of_mib": 4096, "weights_bytes": 2**20, "tops_bytes": 2**30, "parameters": 2**20,
    "histories": 1, "needs_weights": True,
}  # fmt: skip


def test_the_dry_run_goes_down_to_the_split_that_fits(tmp_path, monkeypatch):
    """30 images: 10 at once and 6 do not fit, 5 do."""
    (tmp_path / "measured").write_text(json.dumps(MEASURED))
    full = "error == cudaSuccess (2 vs. 0)  out of memory"
    stand_in(tmp_path, monkeypatch, full, "10|6", then=f"cp {tmp_path}/measured $3/measured.json")
    size = {"max_iter": 1800, "batch_size": 10, "iter_size": 3}
    options = runs.RunOptions(experiment="voc12_attention3_esupv", data="data", gpus=(0,), **size)
    lines = list(dryrun.report(options))
    assert lines[:3] == [
        "--batch-size 10 --iter-size 3: out of memory",
        "--batch-size 6 --iter-size 5: out of memory",
        "voc12_attention3_esupv: 30 images an iteration, 5 at once",
    ]
    assert "GPU memory: 1.50 of 4.00 GiB in use after two iterations, by all processes on that GPU" in lines
    assert "so 1800 iterations in about 1.0 h" in lines
    assert lines[-1] == "the split chosen by measured memory: --batch-size 5 --iter-size 6"
    stand_in(tmp_path, monkeypatch, full, ".*")
    with pytest.raises(RunError, match=r"^Caffe stopped: .* out of memory \(one image at a time is the least; [^;]*$"):
        list(dryrun.report(options))
    stand_in(tmp_path, monkeypatch, "something else", ".*")
    with pytest.raises(RunError, match=r"^Caffe stopped: Check failed: something else$"):
        next(dryrun.report(options))


def test_want_of_memory_in_a_layer_of_ours_is_one_line_too(tmp_path, monkeypatch):
    """NumPy's MemoryError, by the command line's handler, in a child of the dry run: the next split is tried."""
    (tmp_path / "measured").write_text(json.dumps({**MEASURED, "gpu_memory_mib": None}))

    def main(_):
        raise np._core._exceptions._ArrayMemoryError((2, 3), np.dtype(np.float32))

    with pytest.raises(SystemExit) as raised:
        cli.run(main)
    said = str(raised.value)
    assert said.startswith("error: out of memory: Unable to allocate")
    script = f"grep -q '\"batch_size\": 2,' $3/run.json && {{ echo '{said}' >&2; exit 1; }}"
    stand_in(tmp_path, monkeypatch, "no", "0", then=f"{script}\ncp {tmp_path}/measured $3/measured.json")
    lines = list(dryrun.report(runs.RunOptions(experiment="voc", data="d", max_iter=1, batch_size=2, iter_size=1)))
    assert lines[0] == "--batch-size 2 --iter-size 1: out of memory"
    assert lines[-1] == "the split chosen by measured memory: --batch-size 1 --iter-size 2"


def test_gpu_memory_is_measured_while_the_net_is_there(home, tmp_path, monkeypatch):
    """A stand-in for the driver: its second answer is of the second iteration, its third after the net is gone."""
    answers = iter([(1400, 4096), (1500, 4096), (100, 4096)])
    monkeypatch.setattr(device, "gpu_memory", lambda: next(answers))
    run = runs.RunOptions(
        experiment="shapes", data=str(home / "data"), max_iter=2, batch_size=3, iter_size=1, gpus=(0,), log_interval=1
    )
    measured = dryrun.measure(run, tmp_path)
    assert (measured["gpu_memory_mib"], measured["gpu_memory_of_mib"]) == (1500, 4096)
    assert set(measured) == set(MEASURED)
    assert [record["gpu_memory_mib"] for record in journal.read(tmp_path)] == [1400, 1500]


def test_gpu_memory_as_the_driver_says(monkeypatch):
    class Driver:
        status = 0

        def cuInit(self, _):  # noqa: N802, the driver's own names
            return 0

        def cuMemGetInfo_v2(self, free, there):  # noqa: N802
            free._obj.value, there._obj.value = 3 << 30, 8 << 30
            return self.status

    monkeypatch.setattr(device.ctypes, "CDLL", lambda _: Driver())
    assert device.gpu_memory() == (5 << 10, 8 << 10)
    Driver.status = 201  # no context
    assert device.gpu_memory() is None
