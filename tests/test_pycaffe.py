"""Another Caffe than build/caffe: the one that CAFFE_ROOT names is used, and what is wrong with it is one line."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from conftest import REPO, one_line_error

SHOW = "from attscale import cli, pycaffe\ncli.run(pycaffe.tell)"
_CAFFE = "from . import _caffe\n"


def run(*command, cwd, **environment):
    command = [sys.executable, *map(str, command)]
    return subprocess.run(command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True)


@pytest.fixture
def elsewhere(tmp_path):
    """A copy of the Caffe that is there, without the record of its build: as any other."""
    import caffe

    built = os.path.dirname(os.path.dirname(os.path.dirname(caffe.__file__)))
    shutil.copytree(built, tmp_path / "elsewhere", ignore=shutil.ignore_patterns("BUILD"))
    return tmp_path / "elsewhere"


def test_the_caffe_that_is_named_is_used(elsewhere, tmp_path):
    done = run("-c", SHOW, cwd=tmp_path, CAFFE_ROOT="elsewhere")
    assert done.stdout == f"caffe: {elsewhere}/python/caffe, version 1.0.0, is used as it is\n", done.stderr


def test_it_trains_too(elsewhere, mini, tmp_path):
    """In a process of its own, which the run's record tells."""
    command = (REPO / "tools/train.py", "shapes", "--max-iter", "1", "--out", "r")
    done = run(*command, cwd=tmp_path, CAFFE_ROOT=str(elsewhere))
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "r/caffe.json").read_text())["library"].startswith(f"{elsewhere}/lib/libcaffe.so")


def test_its_program_is_the_one_that_is_started(elsewhere, tmp_path):
    program = elsewhere / "bin/caffe"
    program.unlink()
    command = ("-c", "from attscale.machine.program import main\nmain()", "train")
    done = run(*command, cwd=tmp_path, CAFFE_ROOT=str(elsewhere))
    one_line_error(done, f"{elsewhere}: has no program caffe, neither bin/caffe nor build/tools/caffe")
    (elsewhere / "build/tools").mkdir(parents=True)
    (elsewhere / "build/tools/caffe").write_text('#!/bin/sh\necho "$PYTHONPATH" "${GLOG_minloglevel-all}" "$@"\n')
    (elsewhere / "build/tools/caffe").chmod(0o755)
    loud = {name: value for name, value in os.environ.items() if name not in ("GLOG_minloglevel", "PYTHONPATH")}
    command = [sys.executable, *command]
    done = subprocess.run(command, env={**loud, "CAFFE_ROOT": str(elsewhere)}, capture_output=True, text=True)
    assert done.stdout == f"{elsewhere}/python all train\n", done.stderr


def raises(error):
    return {"__init__.py": f"raise {error}", "_caffe.so": ""}


HERE = ".".join(map(str, sys.version_info[:2]))
BAD = {
    "nothing": ({}, "CAFFE_ROOT={}: has no python/caffe/__init__.py; expected a checkout of BVLC Caffe"),
    "no package": ({"proto.py": ""}, "CAFFE_ROOT={}: has no python/caffe/__init__.py"),
    "not compiled": ({"__init__.py": _CAFFE}, "it has no _caffe.so: make pycaffe in its checkout"),
    "another Python": (
        {"__init__.py": _CAFFE, "_caffe.cpython-38-x86_64-linux-gnu.so": ""},
        f"_caffe.cpython-38-x86_64-linux-gnu.so is for another Python than this, {HERE}",
    ),
    "a library that does not load": ({"__init__.py": _CAFFE, "_caffe.so": "text"}, "_caffe.so: file too short"),
    "boost of another Python": (
        raises("ImportError('libboost_python38.so.1.71.0: cannot open shared object file: No such file or directory')"),
        f"it was built for Python 3.8, and this is {HERE} (libboost_python38.so.1.71.0: cannot open",
    ),
    "no boost": (
        raises(f"ImportError('libboost_python{HERE.replace('.', '')}.so.1: cannot open shared object file')"),
        "imported: libboost_python",
    ),
    "Python 2": (
        raises("ImportError('dynamic module does not define module export function (PyInit__caffe)')"),
        f"it was built for Python 2, and this is {HERE} (",
    ),
    "a symbol": (raises("ImportError('_caffe.so: undefined symbol: cblas_sgemm')"), "undefined symbol: cblas_sgemm"),
    "another NumPy": (  # what Boost says after NumPy's own words
        raises("SystemError('initialization of _caffe raised unreported exception')"),
        "it was built with the headers of another NumPy than this, ",
    ),
    "a package that it needs": ({"__init__.py": "import skimage_", "_caffe.so": ""}, "No module named 'skimage_'"),
    "no layers in Python": (
        {"__init__.py": "def layer_type_list(): return ['Convolution', 'Pooling']"},
        "this Caffe has no layers in Python, which every net here needs; build it with WITH_PYTHON_LAYER := 1",
    ),
}


def write(folder, files):
    """A Caffe of these files in `folder`."""
    package = folder / "python/caffe"
    package.mkdir(parents=True)
    for name, text in files.items():
        (package / name).write_text(text)
    return folder


@pytest.mark.parametrize(("files", "said"), BAD.values(), ids=BAD)
def test_what_is_wrong_is_one_line(tmp_path, files, said):
    folder = write(tmp_path / "other", files)
    done = run(REPO / "tools/inspect_net.py", "shapes", cwd=tmp_path, CAFFE_ROOT=str(folder))
    one_line_error(done, folder, said.format(folder))


def test_one_that_python_finds_is_looked_at_as_well(tmp_path):
    files, said = BAD["no layers in Python"]
    path = write(tmp_path, files) / "python"
    done = run(REPO / "tools/inspect_net.py", "shapes", cwd=tmp_path, CAFFE_ROOT="", PYTHONPATH=str(path))
    one_line_error(done, path / "caffe", said)


def test_no_caffe_at_all(tmp_path):
    """Without the packages of the virtual environment, Caffe's path among them."""
    code = f"import sys\nsys.path.insert(0, {str(REPO / 'python')!r})\n{SHOW}"
    one_line_error(run("-S", "-c", code, cwd=tmp_path, CAFFE_ROOT=""), "finds no caffe", "CAFFE_ROOT=DIR names one")


def test_commands_that_need_no_caffe_do_not_ask_for_it(tmp_path):
    done = run(REPO / "tools/make_net.py", "--list", cwd=tmp_path, CAFFE_ROOT=str(tmp_path / "nothing"))
    assert done.returncode == 0, done.stderr
