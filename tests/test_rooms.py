"""The direction of dependence: what a package may import, and who never imports caffe."""

import ast
import subprocess
import sys
from pathlib import Path

import attscale

ROOT = Path(attscale.__file__).parent
#: From the ground up. A package or module imports those below it, and nothing above.
FLOORS = (
    ("errors",),
    ("files", "options", "progress", "pycaffe"),
    ("processes", "cli"),
    ("paper",),
    ("recipe",),
    ("datasets",),
    ("experiments",),
    ("ops",),
    ("data",),
    ("plots",),
    ("prepare",),
    ("layers",),
    ("nets",),
    ("prototxt",),
    ("weights",),
    ("machine",),
    ("scoring",),
    ("inference",),
    ("training",),
    ("results",),
    ("sweep",),
    ("bench", "ablation"),
)
#: Nothing in these needs caffe, so nothing in these waits for it, and all of it works where there is none.
WITHOUT_CAFFE = {
    *("errors", "files", "options", "processes", "progress", "cli", "paper", "recipe", "experiments", "datasets"),
    *("ops", "pycaffe", "data", "plots", "prepare", "scoring", "results", "sweep", "ablation"),
}


def imported(path):
    """The rooms of attscale that a file imports anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "attscale":
            inside = node.module.split(".")[1:2]
            yield from inside or [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("attscale."))


def test_every_room_has_a_floor():
    rooms = {path.stem for path in ROOT.iterdir() if path.is_dir() or path.suffix == ".py"}
    assert rooms - {"__init__", "__pycache__"} == {room for floor in FLOORS for room in floor}


def test_imports_go_down():
    height = {room: number for number, floor in enumerate(FLOORS) for room in floor}
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        own = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if own != "__init__":
            found += [
                f"{path.relative_to(ROOT)} imports {room}"
                for room in imported(path)
                if room != own and height[room] >= height[own]
            ]
    assert found == []


def test_caffe_is_imported_only_where_it_is_used():
    modules = sorted(
        ".".join(("attscale", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        for path in ROOT.rglob("*.py")
        if path.relative_to(ROOT).parts[0].removesuffix(".py") in WITHOUT_CAFFE
    )
    modules += ["attscale.nets", "attscale.nets.geometry", "attscale.weights.convert", "attscale.weights.transplant"]
    modules += ["attscale.weights.statedict", "attscale.weights.resnet34"]
    code = "import importlib, sys\nfor name in sys.argv[1:]:\n    importlib.import_module(name)\n"
    code += "    assert 'caffe' not in sys.modules, name"
    done = subprocess.run([sys.executable, "-c", code, *modules], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
