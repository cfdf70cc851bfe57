"""What Caffe is asked about itself, and what is refused for it."""

import hashlib
import subprocess
from pathlib import Path

import caffe
import pytest

from attscale import experiments
from attscale.errors import RunError
from attscale.machine import build, device
from attscale.prototxt import Model
from attscale.training import runs, trainer

# as in Caffe's math_functions.hpp, where CPU_ONLY leaves it out
GPU = "#include <cstddef>\nnamespace caffe { void caffe_gpu_memcpy(const size_t, const void*, void*) {} }\n"
CUDNN = 'extern "C" void cudnnCreate() {}\n'


def shared_library(folder, name, source, *linked):
    links = ["-Wl,--no-as-needed", "-Wl,-rpath,$ORIGIN", f"-L{folder}", *(f"-l{library}" for library in linked)]
    command = ["g++", "-shared", "-fPIC", "-x", "c++", "-", "-x", "none", *links, "-o", f"{folder}/lib{name}.so"]
    subprocess.run(command, input=source, text=True, check=True)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """kind -> a pycaffe of that kind is asked instead of ours. Library names differ: a process loads a name once."""

    def replace(kind):
        shared_library(tmp_path, f"cudnn_{kind}", CUDNN)
        linked = [f"cudnn_{kind}"] if kind == "cudnn" else []
        shared_library(tmp_path, f"caffe_{kind}", "" if kind == "cpu" else GPU, *linked)
        shared_library(tmp_path, f"pycaffe_{kind}", "", f"caffe_{kind}")
        monkeypatch.setattr(caffe._caffe, "__file__", f"{tmp_path}/libpycaffe_{kind}.so")

    return replace


@pytest.mark.parametrize(("kind", "expected"), [("cpu", set()), ("cuda", {"cuda"}), ("cudnn", {"cuda", "cudnn"})])
def test_what_caffe_has_is_seen_in_its_libraries(elsewhere, kind, expected):
    elsewhere(kind)
    assert {what for what in ("cuda", "cudnn") if build.built_with(what)} == expected


def test_the_record_names_the_file_that_is_loaded():
    found = build.caffe_build()
    assert found["version"] == caffe.__version__
    assert Path(found["library"]).name.startswith("libcaffe.so")
    assert found["sha256"] == hashlib.sha256(Path(found["library"]).read_bytes()).hexdigest()
    assert [type(found[what]) for what in ("cuda", "cudnn", "nccl")] == [bool] * 3


@pytest.mark.parametrize(
    ("kind", "visible", "gpus", "said"),
    [
        ("cpu", 2, (0,), "this Caffe was built without CUDA: DEVICE=cuda make caffe, or train with --device cpu"),
        (
            "cudnn",
            0,
            (),
            "no GPU can be seen, and this Caffe was built with cuDNN, which needs one even on the CPU; use",
        ),
        ("cuda", 0, (0,), "no GPU can be seen: is NVIDIA's driver installed"),
        ("cuda", 2, (1, 2), "GPU 2 is asked for, but there are 2: is NVIDIA's driver"),
        ("cuda", 2, (0, 1), "this Caffe was built without NCCL, which several GPUs need"),
    ],
)
def test_what_caffe_cannot_do_is_said(elsewhere, monkeypatch, kind, visible, gpus, said):
    elsewhere(kind)
    monkeypatch.setattr(device, "visible_gpus", lambda: visible)
    monkeypatch.setattr(caffe, "has_nccl", lambda: False)
    with pytest.raises(RunError, match=said):
        device.demand(gpus)


@pytest.mark.parametrize(("kind", "visible", "gpus"), [("cpu", 0, ()), ("cuda", 0, ()), ("cudnn", 2, (1,))])
def test_what_caffe_can_do_is_not_refused(elsewhere, monkeypatch, kind, visible, gpus):
    elsewhere(kind)
    monkeypatch.setattr(device, "visible_gpus", lambda: visible)
    device.demand(gpus)


def test_the_drivers_address_of_a_gpu(monkeypatch):
    class Driver:
        """Of two cards, at addresses 0 and 1."""

        def cuInit(self, _):  # noqa: N802
            return 0

        def cuDeviceGetPCIBusId(self, address, length, gpu):  # noqa: N802
            address.value = b"0000:%02d:00.0" % gpu
            return 0 if gpu < 2 else 101

    monkeypatch.setattr(device.ctypes, "CDLL", lambda name: Driver())
    assert device.bus_id(1) == "0000:01:00.0"
    with pytest.raises(RunError, match="the PCI address of GPU 2"):
        device.bus_id(2)


def test_a_trainer_chooses_its_device_before_it_makes_a_net(monkeypatch):
    """With cuDNN the first net is on a GPU; where there is none it would end the process without our line."""
    from attscale.machine import limits

    order = []
    monkeypatch.setattr(device, "choose", lambda gpus, rank: order.append((gpus, rank)))
    monkeypatch.setattr(limits, "check_batch", order.append)
    model = Model.of(experiments.find("shapes_largefov"))
    trainer.set_up(model, runs.RunOptions.of(model.row, data="data", gpus=(0, 1), threads=1), 1)
    assert order == [((0, 1), 1), model]
