"""docker/build_caffe.sh: what fails or is interrupted leaves nothing that looks built; where sources come from."""

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from conftest import REPO
from helpers.workshop import CLEAN, SCRIPT, failure, run, write


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
