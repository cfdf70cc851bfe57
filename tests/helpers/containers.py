"""Containers of the Docker engine, for the tests marked docker."""

import contextlib
import shutil
import subprocess

import pytest


def require_engine():
    """Skips the test where no engine answers."""
    if shutil.which("docker") is None or subprocess.run(["docker", "info"], capture_output=True).returncode:
        pytest.skip("no Docker engine answers")


@contextlib.contextmanager
def container(image, *options):
    """The id of a new container that does nothing, for `docker exec`; it is gone afterwards."""
    command = ["docker", "run", "--detach", "--rm", *options, image, "sleep", "infinity"]
    name = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    try:
        yield name
    finally:
        subprocess.run(["docker", "rm", "--force", name], capture_output=True)
