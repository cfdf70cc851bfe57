"""Training on several GPUs, without one: how the images are shared, and that all ranks stop together."""

import dataclasses
import gc
import signal
import subprocess
import sys
import weakref
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from google.protobuf import text_format

from attscale import datasets, experiments
from attscale.data.images import write_label
from attscale.errors import DataError, RunError, UserError
from attscale.machine import device
from attscale.prototxt import Model
from attscale.training import loop, runs, solvers, stopping
from helpers.training_runs import PATIENCE, narrow, wait_for


@pytest.mark.parametrize(
    ("name", "gpus", "batch", "iters", "expected"),
    [
        ("voc12_largefov", 0, None, None, (10, 3)),
        ("voc12_largefov", 1, None, None, (10, 3)),
        ("voc12_largefov", 3, None, None, (10, 1)),
        ("voc12_largefov", 2, 5, None, (5, 3)),
        ("voc12_largefov", 1, 30, None, (30, 3)),  # a batch size alone changes the images an iteration
        ("voc12_largefov", 2, 8, 1, (8, 1)),
        ("voc", 2, None, None, (3, 5)),  # ten batches of 3
    ],
)
def test_thirty_images_are_shared_by_the_gpus(name, gpus, batch, iters, expected):
    split = runs.split_batch(experiments.find(name).solver, gpus, batch, iters)
    assert (split["batch_size"], split["iter_size"]) == expected


def test_thirty_images_that_do_not_divide():
    with pytest.raises(UserError, match="30 images an iteration are no multiple of 4 GPUs times batches of 10"):
        runs.split_batch(experiments.find("voc12_largefov").solver, 4, None, None)


def test_gradients_are_summed_over_the_gpus_once_and_whole(mini, tmp_path):
    """What Caffe's own solver was told. Layer by layer, its default, it aborts for nets with shared weights.

    And without shared weights it would wait for sums that nobody has begun, and each GPU would train alone.
    """
    model = Model.of(narrow())
    model.solver.ClearField("layer_wise_reduce")  # as an edited solver may have it
    solver = solvers.make(model, tmp_path, runs.RunOptions.of(model.row, data=mini.parent), 0, 0)
    assert not solver.param.layer_wise_reduce


def test_the_first_rank_alone_checks_the_data_and_speaks(mini, tmp_path, monkeypatch, capfd):
    """A list that names a missing image is no matter for the second, which goes on to make its net."""
    model = Model.of(narrow())
    options = runs.RunOptions.of(model.row, data=str(mini.parent), gpus=(0, 1))
    (mini / "JPEGImages/0.jpg").unlink()
    begun = []
    monkeypatch.setattr(solvers, "make", lambda *arguments: begun.append(arguments) or sys.exit("made"))
    with pytest.raises(DataError, match=r"0\.jpg"):
        loop.train(model, tmp_path / "r", options, rank=0)
    assert not begun
    (tmp_path / "r/snapshots/iter_5").mkdir(parents=True)  # damaged: it has nothing
    with pytest.raises(SystemExit, match="made"):
        loop.train(model, tmp_path / "r", options, rank=1)
    assert capfd.readouterr().err == ""


class Watched:
    """A solver that, as Caffe's, holds nothing of what it is to call."""

    def __init__(self, solver):
        self._solver = solver

    def add_callback(self, called):
        self.called = weakref.ref(called)

    def __getattr__(self, name):
        return getattr(self._solver, name)


class Nccl:
    """In the place of Caffe's, which owns the weights' memory on the GPU, and frees it when it goes."""

    def __init__(self, solver, group):
        self.group = group

    def bcast(self):
        pass


def test_what_owns_the_weights_memory_lives_as_long_as_the_run(mini, tmp_path, monkeypatch):
    made, real = [], solvers.make
    monkeypatch.setattr(solvers, "make", lambda *arguments: made.append(Watched(real(*arguments))) or made[0])
    monkeypatch.setattr(loop.caffe, "NCCL", Nccl)
    model = Model.of(narrow())
    options = runs.RunOptions.of(model.row, data=str(mini.parent), gpus=(0, 1))
    run = loop._begin(model, tmp_path / "r", options, 0, stopping.Stop(), b"id", measured=True)
    gc.collect()
    assert made[0].called().group == b"id"
    del run
    gc.collect()
    assert made[0].called() is None


def test_a_groups_id_has_all_its_bytes(tmp_path, monkeypatch):
    """Of a library that stands for NCCL; pycaffe's new_uid would end at the first zero, the third byte here."""
    source, library = tmp_path / "nccl.c", tmp_path / "nccl.so"
    source.write_text(
        "int ncclGetUniqueId(char *id) { for (int i = 0; i < 128; ++i) id[i] = i == 2 ? 0 : 128 + i; return 0; }"
    )
    subprocess.run(["g++", "-shared", "-fPIC", "-x", "c", source, "-o", library], check=True)
    monkeypatch.setattr(device.caffe, "_caffe", SimpleNamespace(__file__=str(library)))
    expected = [(128 + i) % 256 for i in range(128)]
    expected[2] = 0
    assert list(device.new_nccl_id()) == expected
    source.write_text("int ncclGetUniqueId(char *id) { return 5; }")
    subprocess.run(["g++", "-shared", "-fPIC", "-x", "c", source, "-o", tmp_path / "other.so"], check=True)
    monkeypatch.setattr(device.caffe, "_caffe", SimpleNamespace(__file__=str(tmp_path / "other.so")))
    with pytest.raises(RunError, match="NCCL makes no id for a group of GPUs: its status is 5"):
        device.new_nccl_id()


@pytest.mark.parametrize(("several", "said"), [(True, []), (False, ["end of NCCL"])])
def test_a_rank_that_fails_does_not_wait_for_the_others(several, said):
    """Nor does it run what NCCL's object does at its end, in which it would."""
    script = (
        "import weakref\nfrom attscale import cli\nfrom attscale.errors import RunError\n"
        "from attscale.training import trainer\n"
        "class Nccl: pass\n"
        "def main(argv):\n"
        "    nccl = Nccl()\n"
        "    weakref.finalize(nccl, print, 'end of NCCL')\n"
        f"    with trainer.ending_alone({several}):\n"
        "        raise RunError('iteration 3: loss is nan')\n"
        "cli.run(main)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1
    assert done.stderr == "error: iteration 3: loss is nan\n"
    assert done.stdout.splitlines() == said


_READ = """
import sys
import caffe
net = caffe.Net(sys.argv[1], caffe.TRAIN)
for batch in range(int(sys.argv[2])):
    net.forward()
    for label in net.blobs["label"].data:
        print(int(label[0, 0, 0]))
"""


def test_ranks_see_each_image_once_an_epoch(mini, tmp_path):
    """The data layers of the nets that two ranks train, each in a process of its own; an image tells by its label.

    Six images, each of one label, 0 to 5; two ranks of batches of one: three batches each are an epoch.
    """
    for i in range(6):
        write_label(mini / f"SegmentationClass/{i}.png", np.full((70, 70), i, np.uint8))
        cv2.imwrite(str(mini / f"JPEGImages/{i}.jpg"), np.zeros((70, 70, 3), np.uint8))
    row = dataclasses.replace(narrow(batch_size=1, iter_size=1), dataset=datasets.find("voc12"))
    (mini.parent / "VOC2012").symlink_to(mini)
    (mini / "list/train_aug.txt").write_text((mini / "list/train.txt").read_text())
    processes = []
    for rank in (0, 1):
        net = Model.of(row).train_net(mini.parent, rank=rank, ranks=2, seed=3)
        del net.layer[1:]
        path = tmp_path / f"{rank}.prototxt"
        path.write_text(text_format.MessageToString(net))
        reading = [sys.executable, "-c", _READ, str(path), "6"]
        processes.append(subprocess.Popen(reading, stdout=subprocess.PIPE, text=True))
    seen = [[int(line) for line in process.communicate(timeout=PATIENCE)[0].split()] for process in processes]
    for epoch in (slice(0, 3), slice(3, 6)):
        assert sorted(seen[0][epoch] + seen[1][epoch]) == [0, 1, 2, 3, 4, 5]


_RANK = """
import mmap, pathlib, signal, sys, time
from attscale import experiments
from attscale.prototxt import Model
from attscale.training import loop, runs, stopping
rank, folder, seconds = int(sys.argv[1]), pathlib.Path(sys.argv[2]), float(sys.argv[3])
row = experiments.find("shapes")
model = Model.of(row).having(max_iter=10**9)  # it ends by the signal
run = object.__new__(loop._Run)
intervals = {"test_interval": 3, "log_interval": 1000, "snapshot_interval": 1000}
run.model, run.rank, run.start, run.best, run.sums = model, rank, 0, None, {}
run.options = runs.RunOptions.of(row, data="", gpus=(0, 1), **intervals)

def step(iteration):
    "In NCCL's place: nobody leaves an iteration that the other has not entered."
    (folder / f"{rank}-{iteration}").touch()
    deadline = time.monotonic() + 60
    while not (folder / f"{1 - rank}-{iteration}").exists():
        if time.monotonic() > deadline:
            sys.exit(f"rank {rank} waits in iteration {iteration} for ever")
        time.sleep(0.001)

run._step, run._log = step, lambda iteration: None
run._test = lambda iteration: time.sleep(seconds)  # of the first rank only
run._snapshot = lambda iteration: (folder / f"last-{rank}").write_text(str(iteration))
with stopping.Stop(ends=True) as stop:
    with open(folder / "shared", "r+b") as file:
        stop.share(mmap.mmap(file.fileno(), 0), rank, 2)
    step(0)  # both have imported Caffe
    stop.begin()
    run.go(stop)
"""


@pytest.mark.parametrize("told", [(0, 1), (0,)])
@pytest.mark.parametrize("testing", [0.0, 1.0])
def test_ranks_stop_after_the_same_iteration(testing, told, tmp_path):
    """Ctrl-C while the first rank tests and the other waits for it in the next iteration, or anywhere."""
    (tmp_path / "shared").write_bytes(bytes(stopping.SHARED))
    command = [sys.executable, "-c", _RANK]
    ranks = [
        subprocess.Popen([*command, str(rank), tmp_path, str(testing)], stderr=subprocess.PIPE, text=True)
        for rank in (0, 1)
    ]
    wait_for(lambda: (tmp_path / "1-4").exists())  # the first rank tests after iteration 3
    for rank in told:
        ranks[rank].send_signal(signal.SIGINT)
    said = [process.communicate(timeout=PATIENCE)[1] for process in ranks]
    assert [process.returncode for process in ranks] == [0, 0], said
    last = [int((tmp_path / f"last-{rank}").read_text()) for rank in (0, 1)]
    assert last[0] == last[1] < 10**9


def test_ranks_that_are_stopped_before_they_begin(tmp_path):
    """The second rank, which was not told, learns of it from the first, whether it looks or waits."""
    memory = bytearray(stopping.SHARED)
    first, second = stopping.Stop(), stopping.Stop()
    first.share(memory, 0, 2)
    second.share(memory, 1, 2)
    first.check()
    second.check()
    first.asked = "SIGTERM"
    for rank, wait in ((first, first.check), (second, second.check), (second, second.begin)):
        with pytest.raises(stopping.StoppedError):
            wait()
        assert rank.after(1) is False
