"""The program caffe of the Caffe in use, with what the layers in Python need: `.venv/bin/caffe`.

caffe train --solver=prototxt/shapes/attention3_esupv/solver.prototxt
"""

import os
import sys
from pathlib import Path

from attscale import cli, pycaffe
from attscale.errors import UserError

_PLACES = ("bin/caffe", "build/tools/caffe")  # of an installed Caffe, of a checkout


def main():
    """Becomes the program. Raises UserError, as one line, where there is none or its Caffe cannot be used."""
    environment = dict(os.environ)  # as the user has it: commands in Python silence Caffe's log
    cli.run(lambda argv: _become(argv, environment))


def _become(argv, environment):
    import caffe

    root = Path(caffe.__file__).parents[2]
    program = next(filter(Path.is_file, (root / place for place in _PLACES)), None)
    if program is None:
        raise UserError(f"{root}: has no program caffe, neither {_PLACES[0]} nor {_PLACES[1]}")
    # Caffe starts a Python that takes the first python3 on PATH for itself, and that one's packages.
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", os.defpath)])
    if pycaffe.root():
        paths = [str(root / "python"), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    os.execve(program, ["caffe", *argv], environment)
