"""What is measured on: the processor, how fast it multiplies matrices, what is installed; and memory of processes."""

import importlib.metadata
import os
import platform
import resource
import subprocess
import time
from pathlib import Path
from statistics import median

import numpy as np
import threadpoolctl

from attscale import processes
from attscale.results.benchmarks import Machine

_REPO = Path(__file__).parents[3]
_MEASURED = ("python", "docker", "tools")  # folders whose files make a difference
_VECTORS = {"avx512f": "AVX-512", "avx2": "AVX2"}


def describe(card=""):
    """The Machine, as it is now."""
    cores = processes.threads_at_hand()
    date = time.strftime("%Y-%m-%d", time.gmtime())
    return Machine(
        vectors=vectors(Path("/proc/cpuinfo").read_text()),
        cores=cores,
        sgemm=sgemm(cores),
        date=date,
        commit=commit(),
        versions=versions(),
        card=card,
    )


def vectors(cpuinfo):
    """The widest vector instructions by the text of /proc/cpuinfo."""
    flags = set(cpuinfo.split())
    return next((name for flag, name in _VECTORS.items() if flag in flags), "neither AVX2 nor AVX-512")


def sgemm(threads, size=2048, times=5):
    """GFLOP/s of a product of two float32 matrices by NumPy's OpenBLAS, the median of so many."""
    one, other = np.random.default_rng(0).normal(size=(2, size, size)).astype(np.float32)
    seconds = []
    with threadpoolctl.threadpool_limits(threads):
        out = one @ other
        for _ in range(times):
            started = time.perf_counter()
            np.matmul(one, other, out=out)
            seconds.append(time.perf_counter() - started)
    return 2 * size**3 / median(seconds) / 1e9


def commit():
    """The last commit that changed what is measured, with a + where files differ from it; "unknown" without a checkout.

    A commit of results alone changes nothing of that. An image knows what it was built from by ATTSCALE_COMMIT.
    """
    if built_from := os.environ.get("ATTSCALE_COMMIT"):
        return built_from
    if not (_REPO / ".git").exists():
        return "unknown"
    return _git("log", "-1", "--format=%h") + ("+" if _git("status", "--porcelain") else "")


def _git(*command):
    done = subprocess.run(["git", "-C", str(_REPO), *command, "--", *_MEASURED], capture_output=True, text=True)
    return done.stdout.strip()


def versions():
    """Of what the speed depends on: Caffe with its OpenBLAS and the kernels that this chose, Python and packages."""
    import caffe

    from attscale.machine.build import caffe_build

    found = {"caffe": f"{caffe.__version__} (sha256 {caffe_build()['sha256'][:12]})"}
    for library in threadpoolctl.threadpool_info():
        if library["internal_api"] == "openblas" and ".libs" not in library["filepath"]:  # which are wheels' own
            found["Caffe's OpenBLAS"] = f"{library['version']} {library['architecture']}"
    found["Python"] = platform.python_version()
    for package in ("numpy", "torch"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # torch is of the optional group bench
            continue
    return found


def resident(pid):
    """MiB of main memory that the process holds; "self" is this one."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def peak():
    """The most bytes of main memory that this process has held.

    By /proc: what getrusage says of a child that was started with vfork begins at its parent's.
    """
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) << 10
