"""A little of `make soak`: kills after which everything is as if there had been none."""

import json
import subprocess
import sys

import pytest

from conftest import REPO


def soaked(folder, *arguments):
    command = [sys.executable, REPO / "tests/soak/run.py", "--folder", folder / "soak", "--json", folder / "table.json"]
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True)
    assert (folder / "table.json").exists(), done.stdout + done.stderr
    return {part["name"]: part for part in json.loads((folder / "table.json").read_text())}


def test_what_was_killed_goes_on_as_if_it_had_not_been(tmp_path):
    parts = soaked(tmp_path, "--kills", 1, "--part", "crf")
    assert sum(part["kills"] for part in parts.values()) == 1
    assert not any(part["faults"] for part in parts.values()), parts


@pytest.mark.slow
def test_more_kills_through_the_sweep_too(tmp_path):
    parts = soaked(tmp_path, "--kills", 20, "--seed", 1)
    assert sum(part["kills"] for part in parts.values()) == 20
    assert not any(part["faults"] for part in parts.values()), parts
