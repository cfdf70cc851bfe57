"""docker/dependencies.sh: what is looked for where, what is said of it, and who installs it."""

import os
import platform
import shutil
import subprocess

import pytest

from conftest import REPO

TABLE = """# name  Debian, Ubuntu  Fedora  conda-forge  found by
alpha  libalpha-dev,alpha-tools  alpha-devel  alpha=1.2  lib/libalpha*.so,include/alpha/alpha.h|include/alpha.h
beta   beta-compiler             alpha-devel  beta       bin/beta-compiler
"""


class Machine:
    """The script with a table of its own, beside an apt_install.sh that only notes what it is asked for."""

    def __init__(self, folder):
        self.folder = folder
        self.prefix = folder / "home/prefix"
        self.asked = folder / "asked"
        self.prefix.mkdir(parents=True)
        shutil.copy(REPO / "docker/dependencies.sh", folder)
        (folder / "dependencies.txt").write_text(TABLE)
        program(folder / "apt_install.sh", f'echo "$@" >{self.asked}')
        program(folder / "bin/apt-get", "exit 1")

    def run(self, *arguments, **environment):
        environment = {**os.environ, "PATH": f"{self.folder}/bin:{os.environ['PATH']}", **environment}
        command = [self.folder / "dependencies.sh", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    def need(self, *names):
        """As it is where CMAKE_PREFIX_PATH names a prefix, after one that is not there."""
        return self.run("need", *names, CMAKE_PREFIX_PATH=f"/nowhere:{self.prefix}")


def program(path, line):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def put(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_without_a_prefix_debians_packages_are_installed(machine):
    done = machine.run("need", CMAKE_PREFIX_PATH="")
    assert done.returncode == 0, done.stderr
    assert machine.asked.read_text() == "libalpha-dev alpha-tools beta-compiler\n"
    assert machine.run("need", "beta", CMAKE_PREFIX_PATH="").returncode == 0
    assert machine.asked.read_text() == "beta-compiler\n"


def test_what_is_missing_is_one_line_and_nothing_is_installed(machine):
    done = machine.need()
    assert done.returncode == 1
    assert done.stderr == (
        f"setup: not found below /nowhere {machine.prefix} /usr/local /usr: alpha beta; Debian and Ubuntu have that in "
        "libalpha-dev alpha-tools beta-compiler, Fedora in alpha-devel, conda-forge in alpha=1.2 beta; "
        "nothing is installed where CMAKE_PREFIX_PATH is set\n"
    )
    assert not machine.asked.exists()


@pytest.mark.parametrize("library", ["lib/libalpha.so", "lib64/libalpha.so", "lib/x86_64-linux-gnu/libalpha_7.so"])
@pytest.mark.parametrize("header", ["include/alpha.h", "include/alpha/alpha.h", "include/x86_64-linux-gnu/alpha.h"])
def test_where_libraries_and_headers_are_looked_for(machine, library, header):
    put(machine.prefix / library)
    assert machine.need("alpha").returncode == 1  # one of the two is not enough
    put(machine.prefix / header)
    assert machine.need("alpha").returncode == 0


def test_a_program_is_below_a_prefix_or_on_the_path(machine):
    assert machine.need("beta").returncode == 1
    put(machine.prefix / "bin/beta-compiler")
    assert machine.need("beta").returncode == 0
    (machine.prefix / "bin/beta-compiler").unlink()
    program(machine.folder / "bin/beta-compiler", "exit")
    assert machine.need("beta").returncode == 0


def test_the_interpreter_is_the_one_that_boost_was_built_for(machine):
    put(machine.prefix / "lib/libboost_python399.so")
    program(machine.folder / "bin/python3.99", "exit")  # on the path
    prefix = {"CMAKE_PREFIX_PATH": str(machine.prefix)}
    assert machine.run("python", **prefix).stdout == f"{machine.folder}/bin/python3.99\n"
    program(machine.prefix / "bin/python3.99", "exit")  # and beside the library, which goes first
    assert machine.run("python", **prefix).stdout == f"{machine.prefix}/bin/python3.99\n"
    put(machine.prefix / "lib/libboost_python3100.so")  # of which there is no interpreter
    assert machine.run("python", **prefix).stdout == f"{machine.prefix}/bin/python3.99\n"


def test_the_folders_of_libraries_are_those_that_are_there(machine):
    put(machine.prefix / "lib64/a", machine.prefix / "lib/x86_64-linux-gnu/b", machine.prefix / "include/c")
    done = machine.run("libraries", CMAKE_PREFIX_PATH=f"{machine.prefix};/nowhere")
    assert done.stdout.split() == [f"{machine.prefix}/{name}" for name in ("lib", "lib64", "lib/x86_64-linux-gnu")]


def test_a_link_to_nothing_is_not_there(machine):
    put(machine.prefix / "include/alpha.h")
    (machine.prefix / "lib").mkdir()
    (machine.prefix / "lib/libalpha.so").symlink_to("libalpha.so.1")
    assert machine.need("alpha").returncode == 1
    put(machine.prefix / "lib/libalpha.so.1")
    assert machine.need("alpha").returncode == 0


@pytest.mark.skipif(platform.freedesktop_os_release()["ID"] != "debian", reason="not Debian, which has Caffe's source")
def test_mirrors_are_those_of_apt(tmp_path):
    """Both forms of its lists, and a file of mirrors, as cloud images have it; each once, and no comments."""
    (tmp_path / "mirrors").write_text(
        "# the nearest first\nhttps://a.example/debian\tpriority:1\nhttp://b.example/d/\n"
    )
    (tmp_path / "sources.list").write_text(
        "# deb http://no.example/debian bookworm main\n"
        "deb [signed-by=/k] http://c.example/debian bookworm main\ndeb cdrom:[Debian]/ bookworm main\n"
        f"deb-src http://no.example/debian bookworm main\ndeb mirror+file:{tmp_path}/mirrors bookworm main\n"
    )
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d/debian.sources").write_text(
        "Types: deb\nURIs: http://c.example/debian http://d.example/x\n"
    )
    done = subprocess.run([REPO / "docker/dependencies.sh", "mirrors", tmp_path], capture_output=True, text=True)
    addresses = ["http://c.example/debian", "https://a.example/debian", "http://b.example/d/", "http://d.example/x"]
    assert done.stdout.split() == addresses


def test_the_table_is_complete():
    """Packages for three kinds of systems and the files to look for, in every row."""
    rows = [line.split() for line in (REPO / "docker/dependencies.txt").read_text().splitlines() if line[0] != "#"]
    assert {len(row) for row in rows} == {5}
    for wanted in ("boost-python", "protobuf", "glog", "gflags", "HDF5", "LMDB", "OpenBLAS"):
        assert wanted in [row[0] for row in rows]


@pytest.mark.skipif(not (REPO / "build/caffe/BUILD").exists(), reason="no Caffe was built here")
def test_where_caffe_was_built_all_of_the_table_is_found():
    command = [REPO / "docker/dependencies.sh", "need"]
    environment = {**os.environ, "CMAKE_PREFIX_PATH": "/nowhere"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
