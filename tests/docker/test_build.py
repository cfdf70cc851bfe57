"""docker/build_caffe.sh: what is built is reused, and stays what it is until something that it is made of changes."""

import fcntl
import shutil
import subprocess
from pathlib import Path

from helpers.workshop import SCRIPT, failure, run, write


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
