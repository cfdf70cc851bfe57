"""The Dask clusters that a sweep can run on. Every worker has one slot: it does one step at a time."""

from dask_jobqueue import PBSCluster, SGECluster, SLURMCluster
from distributed import Nanny, Scheduler, SpecCluster

from attscale.sweep import SLOT

QUEUES = {"slurm": SLURMCluster, "pbs": PBSCluster, "sge": SGECluster}


def local(workers, gpus=()):
    """Workers on this machine, each with a GPU of its own where there are some."""
    spec = {}
    for number in range(len(gpus) or workers):
        env = {"CUDA_VISIBLE_DEVICES": str(gpus[number])} if gpus else {}
        spec[number] = {"cls": Nanny, "options": {"nthreads": 1, "resources": {SLOT: 1}, "env": env}}
    scheduler = {"cls": Scheduler, "options": {"dashboard": False, "dashboard_address": None}}
    return SpecCluster(workers=spec, scheduler=scheduler)


def queue(kind, *, jobs, cores, memory, name=None, walltime="24:00:00", gpus=0, extra=()):
    """Workers as jobs of a batch system: QUEUES has the kinds; `extra` are further lines of the job's header."""
    options = {"cores": cores, "processes": 1, "memory": memory, "walltime": walltime, "queue": name}
    lines = list(extra)
    if gpus and kind == "slurm":
        lines.append(f"--gres=gpu:{gpus}")
    cluster = QUEUES[kind](
        **options,
        worker_extra_args=["--nthreads", "1", "--resources", f"{SLOT}=1"],
        job_extra_directives=lines,
    )
    cluster.scale(jobs=jobs)
    return cluster
