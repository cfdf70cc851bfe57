"""docker/build_caffe.sh for GPUs, without one and without compiling: toolkits, architectures, libraries."""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import zipfile

import pytest

from helpers.workshop import SCRIPT, failure, write

NVCC = """#!/bin/sh
[ "$1" = --list-gpu-arch ] && printf 'compute_%s\\n' 75 80 86 90 100
"""


@pytest.fixture
def toolkit(workshop):
    """A folder that is a CUDA toolkit as far as the recipe looks, whose compiler begins at 75."""
    return write(workshop.folder / "cuda 13/bin/nvcc", NVCC, 0o755).parent.parent


#: NVIDIA's wheels for Debian's own CUDA; elsewhere the script asks for a toolkit before anything else.
WHEELS = {
    "bookworm": ("nvidia-cudnn-cu11==8.9.6.50", "nvidia-nccl-cu11==2.21.5"),
    "trixie": ("nvidia-cudnn-cu12==8.9.7.29", "nvidia-nccl-cu12==2.21.5"),
}.get(platform.freedesktop_os_release().get("VERSION_CODENAME"))
with_debians_cuda = pytest.mark.skipif(WHEELS is None, reason="neither Debian 12 nor 13, which have CUDA")


def shared_library(path, soname):
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["g++", "-shared", "-x", "c++", "/dev/null", f"-Wl,-soname,{soname}", "-o", path], check=True)


def test_a_cuda_build_is_kept_and_made_again_with_its_settings(workshop, toolkit):
    source = workshop.source()
    settings = {"DEVICE": "cuda", "CAFFE_SRC": str(source), "CUDA_ROOT": str(toolkit), "CUDA_ARCH": "70 80"}
    settings["CUDA_CXX"] = "/usr/bin/c++"
    done = workshop.build(**settings)
    assert done.returncode == 0, done.stderr
    lines = [f"{name}: {value}" for name, value in settings.items()]
    assert workshop.record.read_text().splitlines()[:5] == lines
    options = workshop.options()

    assert "already built" in workshop.build().stderr
    assert "already built" in workshop.build(**settings).stderr

    workshop.patch.write_text("A comment.\n\n" + workshop.patch.read_text())
    done = workshop.build()
    assert done.returncode == 0, done.stderr
    assert workshop.record.read_text().splitlines()[:5] == lines
    assert workshop.options() == options

    workshop.patch.write_text("Another.\n\n" + workshop.patch.read_text())
    shutil.rmtree(toolkit)
    said = failure(workshop.build())
    assert f"CUDA_ROOT={toolkit} is not a CUDA toolkit: it has no bin/nvcc; so {workshop.prefix} cannot" in said


@with_debians_cuda
def test_what_a_debian_build_was_made_of_is_compared_still(workshop):
    assert workshop.build(CAFFE_SRC=str(workshop.source())).returncode == 0
    made_for = [line for line in workshop.record.read_text().splitlines() if line.startswith(("for: ", "patch: "))]
    version = re.search(r"DEBIAN_VERSION=(\S+)", SCRIPT.read_text())[1]
    pin = re.search(r"TARBALL_SHA256=(\S+)", SCRIPT.read_text())[1]
    for sha256, said in ((pin, "already built"), ("0" * 64, "fetching Debian's source package")):
        lines = ["DEVICE: cuda", "CUDA_ARCH: 70", f"source: Debian caffe {version} sha256 {sha256}", *made_for]
        workshop.record.write_text("\n".join(lines) + "\n")
        assert said in workshop.build().stderr


def test_another_toolkit_gets_the_architectures_that_its_compiler_has(workshop, toolkit):
    done = workshop.build(CAFFE_SRC=str(workshop.source()), DEVICE="cuda", CUDA_ROOT=str(toolkit))
    assert done.returncode == 0, done.stderr
    assert f"of the architectures 35 50 60 70 75 80 90 100 120, {toolkit}/bin/nvcc has 75 80 90 100" in done.stderr
    assert "-DCUDA_ARCH_BIN=75 80 90 100" in workshop.options()
    assert "-DCUDA_ARCH_PTX=100" in workshop.options()

    write(toolkit / "bin/nvcc", "#!/bin/sh\necho compute_200\n", 0o755)
    done = workshop.build(CAFFE_SRC=str(workshop.source("other")), DEVICE="cuda", CUDA_ROOT=str(toolkit))
    assert "has none of the architectures 35 50 60 70 75 80 90 100 120: name others with CUDA_ARCH=" in failure(done)


@pytest.mark.parametrize("folder", ["lib", "lib64"])
def test_the_libraries_of_other_folders_are_in_the_build(workshop, toolkit, folder):
    cudnn, nccl = workshop.folder / "cudnn", workshop.folder / "nccl"
    settings = {"CAFFE_SRC": str(workshop.source()), "DEVICE": "cuda", "CUDA_ROOT": str(toolkit)}
    settings |= {"CUDNN_ROOT": str(cudnn), "NCCL_ROOT": str(nccl), "CUDA_ARCH": "90"}
    cudnn.mkdir()
    assert f"CUDNN_ROOT={cudnn} has no include/cudnn.h" in failure(workshop.build(**settings))
    write(cudnn / "include/cudnn.h", "")
    assert f"CUDNN_ROOT={cudnn} has no libcudnn.so, nor libcudnn.so.N, in lib/ or lib64/" in failure(
        workshop.build(**settings)
    )
    for name in ("libcudnn.so.9", "libcudnn_ops.so.9", "libcudnn_adv.so.9"):
        shared_library(cudnn / folder / name, name)
    write(nccl / "include/nccl.h", "")
    assert f"NCCL_ROOT={nccl} has no libnccl.so" in failure(workshop.build(**settings))
    shared_library(nccl / folder / "libnccl.so.2.99", "libnccl.so.2")

    done = workshop.build(**settings)
    assert done.returncode == 0, done.stderr
    assert f"-DCUDNN_LIBRARY={cudnn}/{folder}/libcudnn.so.9" in workshop.options()
    assert f"-DNCCL_LIBRARIES={nccl}/{folder}/libnccl.so.2.99" in workshop.options()
    copied = {path.name for path in (workshop.prefix / "lib").iterdir() if not path.name.startswith("libcaffe")}
    assert copied == {"libcudnn.so.9", "libcudnn_ops.so.9", "libcudnn_adv.so.9", "libnccl.so.2"}


@with_debians_cuda
@pytest.mark.parametrize(("library", "tag"), [("cudnn", "manylinux1_x86_64"), ("nccl", "manylinux2014_x86_64")])
def test_a_wheel_that_is_not_nvidias_is_refused(workshop, library, tag):
    """Of the right name and version, but of another sha256, in the only folder where pip may look."""
    (requirement,) = (one for one in WHEELS if library in one)
    name, version = requirement.split("==")
    wheels, cudnn = workshop.folder / "wheels", workshop.folder / "cudnn"
    path = wheels / f"{name.replace('-', '_')}-{version}-py3-none-{tag}.whl"
    wheels.mkdir()
    with zipfile.ZipFile(path, "w") as wheel:
        info = f"{name.replace('-', '_')}-{version}.dist-info"
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-{tag}\n")
        wheel.writestr(f"{info}/RECORD", "")
    settings = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_CONFIG_FILE": os.devnull}
    if "nccl" in name:  # the other is there
        write(cudnn / "include/cudnn.h", "")
        shared_library(cudnn / "lib/libcudnn.so.8", "libcudnn.so.8")
        settings["CUDNN_ROOT"] = str(cudnn)
    done = workshop.build(CAFFE_SRC=str(workshop.source()), DEVICE="cuda", **settings)
    assert done.returncode == 1
    assert f"{requirement} cannot be fetched" in done.stderr.splitlines()[-1]
    assert hashlib.sha256(path.read_bytes()).hexdigest() in done.stderr  # pip says which it got
