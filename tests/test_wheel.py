"""docker/wheel.py: what a wheel is called, what it needs, and what it carries. tests/docker installs a whole one."""

import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import attscale
from attscale.errors import UserError
from conftest import REPO, one_line_error

SCRIPT = REPO / "docker/wheel.py"
spec = importlib.util.spec_from_file_location("attscale_wheel", SCRIPT)
wheel = importlib.util.module_from_spec(spec)
spec.loader.exec_module(wheel)

PATCHES = "patch: 00ff  ./0001-one.patch\npatch: 11ee  fast/src/two.cpp"
DEBIAN = f"""DEVICE: cpu
FAST: on
source: Debian caffe 1.0.0+git20180821.99bd997 sha256 e0eb3f06
for: python 3.11, numpy 2.2.6
{PATCHES}
"""
DIGEST = hashlib.sha256(f"FAST: on\n{PATCHES}".encode()).hexdigest()[:8]


def test_the_version_is_caffes_own_and_tells_the_patches():
    version = wheel.version_of(DEBIAN, "1.0.0")
    assert version == f"1.0.0+git20180821.99bd997.p{DIGEST}"
    assert str(Version(version)) == version  # as PEP 440 writes it
    assert wheel.version_of(DEBIAN.replace("3.11", "3.13"), "1.0.0") == version  # which the wheel's name has
    for other in (DEBIAN.replace("00ff", "00fe"), DEBIAN.replace("FAST: on", "FAST: off")):
        assert wheel.version_of(other, "1.0.0") != version


def test_a_checkout_is_told_by_its_content():
    record = DEBIAN.replace("Debian caffe 1.0.0+git20180821.99bd997 sha256 e0eb3f06", "/src no git sha256 0123456789")
    assert wheel.version_of(record, "1.0.1") == f"1.0.1+source.01234567.p{DIGEST}"


def test_the_majors_of_numpy_and_protobuf_are_those_that_it_was_built_with(monkeypatch):
    monkeypatch.setattr(wheel.importlib.metadata, "version", {"protobuf": "4.25.9"}.get)
    lines = wheel.metadata("1.0.0+x", DEBIAN).splitlines()
    needs = [Requirement(line.split(": ")[1]) for line in lines if line.startswith("Requires-Dist")]
    assert [need.name for need in needs] == ["numpy", "protobuf", "six"]
    assert [version in needs[0].specifier for version in ("1.26.4", "2.2.6", "3.0.0")] == [False, True, False]
    assert [version in needs[1].specifier for version in ("4.21.12", "4.25.9", "5.29.0")] == [False, True, False]
    assert "Name: attscale-caffe" in lines


def test_a_build_for_cuda_is_refused(tmp_path):
    (tmp_path / "BUILD").write_text(DEBIAN.replace("cpu", "cuda"))
    with pytest.raises(UserError, match=r"/BUILD: DEVICE: cuda, expected cpu"):
        wheel.caffe(tmp_path, tmp_path / "work")


def test_a_tool_that_fails_is_one_line(tmp_path):
    call = f"wheel.run('patchelf', '--print-needed', {str(tmp_path / 'none')!r})"
    code = f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); import wheel; wheel.cli.run(lambda argv: {call})"
    one_line_error(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True), "patchelf --print")


# What it says of a library, {"maps": those of curl and OpenSSL in memory, "opened": whether a file was made and read,
# "s3": whether a file in S3 could be opened}; s3 is None where this HDF5 has no such driver.
ASK = """
import ctypes, json, sys
hdf5 = ctypes.CDLL(sys.argv[1])
hdf5.H5open()
for name in ("H5Fcreate", "H5Fopen", "H5Pcreate"):
    getattr(hdf5, name).restype = ctypes.c_int64
def no(value): return ctypes.c_int64(value)
made = hdf5.H5Fcreate(sys.argv[2].encode(), 2, no(0), no(0))
opened = hdf5.H5Fclose(no(made)) == 0 and hdf5.H5Fopen(sys.argv[2].encode(), 0, no(0)) > 0
s3 = None
if hasattr(hdf5, "H5Pset_fapl_ros3"):
    access = hdf5.H5Pcreate(no(ctypes.c_int64.in_dll(hdf5, "H5P_CLS_FILE_ACCESS_ID_g").value))
    options = ctypes.create_string_buffer(512)
    options[0] = b"\\1"  # of version 1, and nobody in particular
    assert hdf5.H5Pset_fapl_ros3(no(access), options) >= 0
    s3 = hdf5.H5Fopen(b"http://127.0.0.1:9/file.h5", 0, no(access)) >= 0
maps = open("/proc/self/maps").read()
print(json.dumps({"curl": "libcurl.so" in maps, "opened": opened, "s3": s3}))
"""


def test_hdf5_comes_without_curl_and_says_that_it_cannot_reach_s3(tmp_path):
    """It reads and writes files as before, binds every function at once, and a file in S3 is an error as any other."""
    import caffe

    library = next((Path(caffe.__file__).parents[2] / "lib").glob("libcaffe.so.*"))
    needed = wheel.linked(library)
    name = next(name for name in needed if re.match(r"libhdf5(_serial)?\.so", name))
    wheel.without_s3(tmp_path, needed)
    copy = tmp_path / name
    if not copy.exists():
        pytest.skip("this HDF5 is built without S3")
    assert not any(wheel._REMOTE.match(other) for other in wheel.linked(copy))
    asked = [sys.executable, "-c", ASK, copy, tmp_path / "file.h5"]
    done = subprocess.run(asked, capture_output=True, text=True, env={"LD_BIND_NOW": "1"})
    assert json.loads(done.stdout) == {"curl": False, "opened": True, "s3": False}, done.stderr
    assert "version information" not in done.stderr
    assert {path.name for path in tmp_path.iterdir()} >= {name, "libcurl-none.so"}
    assert not [*tmp_path.glob("*.c"), *tmp_path.glob("*.map")]


def test_the_program_has_a_libpython_under_a_name_that_auditwheel_leaves(tmp_path):
    """auditwheel takes away libpython3.11.so.1.0, say, wherever it is asked for. Its licence is found all the same."""
    import caffe

    built = Path(caffe.__file__).parents[2]
    needed = wheel.linked(built / "bin/caffe")
    library = next(name for name in needed if name.startswith("libpython"))
    own = library.replace(".so", "-program.so")
    for part in ("bin", "lib"):
        shutil.copytree(built / part, tmp_path / part, symlinks=True)
    wheel.place_python(tmp_path, needed)
    assert own in wheel.needed_by(tmp_path / "bin/caffe")
    assert wheel.linked(tmp_path / "bin/caffe")[own] == f"{tmp_path}/bin/../lib/{own}"
    done = subprocess.run([tmp_path / "bin/caffe", "--version"], capture_output=True, text=True)
    assert done.stdout.startswith("caffe version 1.0.0"), done.stderr
    (tmp_path / "METADATA").touch()
    wheel.add_licences(tmp_path, [own], needed, built)
    assert any(path.name.startswith("python3.") for path in (tmp_path / "licenses").iterdir())


def test_licences_are_those_of_the_packages_and_what_they_refer_to(tmp_path):
    """auditwheel's names: libgomp-0123abcd.so.1.0.0. GCC's licence refers to the GPL, which Debian keeps elsewhere."""
    import caffe

    built = Path(caffe.__file__).parents[2]
    needed = wheel.linked(next((built / "lib").glob("libcaffe.so.*")))
    (tmp_path / "METADATA").write_text("Name: x\n")
    stem, _, rest = Path(needed["libgomp.so.1"]).resolve().name.partition(".")
    libraries = [f"{stem}-0123abcd.{rest}", "libcaffe.so.1.0.0", "libcurl-none.so"]
    wheel.add_licences(tmp_path, libraries, needed, built)
    texts = tmp_path / "licenses"
    assert (texts / "caffe/LICENSE").read_bytes() == (built / "LICENSE").read_bytes()
    (gcc,) = (path for path in texts.iterdir() if path.name.startswith("gcc-"))
    assert (gcc / "copyright").read_bytes() == Path("/usr/share/doc/libgomp1/copyright").read_bytes()
    assert "GNU GENERAL PUBLIC LICENSE" in (texts / "common-licenses/GPL-3").read_text()
    said = re.findall(r"^License-File: (.*)", (tmp_path / "METADATA").read_text(), re.MULTILINE)
    assert sorted(said) == sorted(str(path.relative_to(texts)) for path in texts.rglob("*") if path.is_file())


def test_a_library_of_no_package_has_no_licence(tmp_path):
    (tmp_path / "libown.so.1").touch()
    with pytest.raises(UserError, match=r"libown.so.1: no Debian package has this library"):
        wheel.package_of(tmp_path / "libown.so.1")


def test_what_was_compiled_here_is_told_by_its_tag(tmp_path, monkeypatch):
    machine = wheel.platform.machine()
    for name, tag in (("own", f"linux_{machine}"), ("theirs", f"manylinux_2_28_{machine}"), ("pure", "any")):
        info = tmp_path / f"{name}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        (info / "WHEEL").write_text(f"Wheel-Version: 1.0\nTag: py3-none-any\nTag: cp311-cp311-{tag}\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert [wheel.compiled_here(name) for name in ("own", "theirs", "pure")] == [True, False, False]


def test_attscales_own_wheel_has_every_file_that_it_reads():
    package = Path(attscale.__file__).parent
    kept = tomllib.loads((REPO / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    folders = {package.joinpath(*name.split(".")[1:]): patterns for name, patterns in kept.items()}
    packed = {path for folder, patterns in folders.items() for pattern in patterns for path in folder.glob(pattern)}
    files = {path for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert files == packed
