"""Shared by the tests of sweeps: the command, and a job as it plans it."""

import dataclasses
import os
import subprocess
import sys

from attscale import experiments
from attscale.sweep import plan
from conftest import REPO


def run(folder, *arguments, tool="sweep", **environment):
    command = [sys.executable, str(REPO / "tools" / f"{tool}.py"), *map(str, arguments)]
    environment = {**os.environ, **environment}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=500, env=environment)


def job_of(name, root, step="train", crf=False, **changes):
    """By the sweep's own plan, with data in /d unless changed."""
    names = [row.name for row in plan.rows_of([name])]
    job = plan.training_of(experiments.find(name), names, {"data": "/d"}, str(root), "/weights", crf=crf)
    return dataclasses.replace(job, step=step, run=dataclasses.replace(job.run, **changes))
