"""What the image runs, docker/entrypoint.sh, with this checkout in the place of /app and a folder in that of /work."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import REPO


@pytest.fixture
def entrypoint(tmp_path):
    (tmp_path / "work").mkdir()
    script = (REPO / "docker/entrypoint.sh").read_text()
    (tmp_path / "entrypoint.sh").write_text(script.replace("/work", f"{tmp_path}/work").replace("=/app", f"={REPO}"))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    def run(*arguments):
        command = ["bash", tmp_path / "entrypoint.sh", *arguments]
        environment = {**os.environ, "PATH": path}
        return subprocess.run(command, cwd=tmp_path / "work", capture_output=True, text=True, env=environment)

    return run


@pytest.mark.parametrize("folder", ["", "runs/shapes_max2", "runs/shapes_max2/20261122-120000"])
def test_no_run_to_score(entrypoint, tmp_path, folder):
    (tmp_path / "work" / folder).mkdir(parents=True, exist_ok=True)
    done = entrypoint("test", "shapes_max2")
    assert done.returncode == 1
    assert done.stderr == "error: runs/shapes_max2 has no finished run; docker compose run train shapes_max2\n"


@pytest.mark.parametrize("tool", sorted(path.stem for path in (REPO / "tools").glob("*.py")))
def test_any_command_of_tools(entrypoint, tool):
    done = entrypoint(tool, "--help")
    assert done.returncode == 0, done.stderr
    assert f"python tools/{tool}.py" in done.stdout


@pytest.mark.parametrize("action", ["trian", "../tools/train", "train.py", "tools/train"])
def test_what_is_no_command(entrypoint, action):
    done = entrypoint(action)
    assert done.returncode == 1
    assert f"error: unknown command '{action}'" in done.stderr
