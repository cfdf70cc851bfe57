"""The Dask clusters that a sweep can run on. Every worker has one slot: it does one step at a time."""

import logging
import shutil

from dask_jobqueue import PBSCluster, SGECluster, SLURMCluster
from distributed import Client, Nanny, Scheduler, SpecCluster, Status

from attscale.errors import UserError
from attscale.sweep.plan import SLOT

QUEUES = {"slurm": SLURMCluster, "pbs": PBSCluster, "sge": SGECluster}


def local(workers, cores, gpus=()):
    """Workers on this machine, each with so many cores, and with a GPU of its own where there are some."""
    spec = {}
    for number in range(len(gpus) or workers):
        env = _threads(cores) | ({"CUDA_VISIBLE_DEVICES": str(gpus[number])} if gpus else {})
        spec[number] = {"cls": Nanny, "options": {"nthreads": 1, "resources": {SLOT: 1}, "env": env}}
    scheduler = {"cls": Scheduler, "options": {"dashboard": False, "dashboard_address": None}}
    return SpecCluster(workers=spec, scheduler=scheduler)


def _threads(cores):
    """What says in a worker's environment that its steps have so many cores; Dask itself would give them one."""
    return {"OMP_NUM_THREADS": str(cores)}


def queue(kind, *, jobs, cores, memory, walltime, name=None, lines=()):
    """Workers as jobs of a batch system: QUEUES has the kinds; `lines` are further lines of the job's header.

    Raises UserError where the system is not there, or does not take the jobs.
    """
    submit = QUEUES[kind].job_cls.submit_command
    if jobs and not shutil.which(submit):
        raise UserError(f"{submit}: no such command, with which jobs of {kind} are submitted; is this its login node?")
    options = {"cores": cores, "processes": 1, "memory": memory, "walltime": walltime, "queue": name}
    cluster = QUEUES[kind](
        **options,
        worker_extra_args=["--nthreads", "1", "--resources", f"{SLOT}=1"],
        job_extra_directives=list(lines),
        job_script_prologue=[f"export {name}={value}" for name, value in _threads(cores).items()],
    )
    logging.getLogger("tornado.application").setLevel(logging.CRITICAL)  # it would trace what is raised here anyway
    try:
        cluster.sync(_scale, cluster, jobs)
    except RuntimeError as error:
        for job in cluster.workers.values():
            job.status = Status.closing  # `close` stumbles over those that were never taken; it cancels the others
        cluster.close()
        said = [line for line in str(error).splitlines() if line.strip()]
        raise UserError(f"{kind} did not take the jobs: {said[-1]}") from None
    return cluster


async def _scale(cluster, jobs):
    """Submits the jobs, and waits until that is done: `scale` alone leaves it to the background, and its errors."""
    cluster.scale(jobs=jobs)
    await cluster


def connect(address):
    """A client of the cluster, or of the scheduler with that address. Raises UserError where there is none."""
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # a lost connection is an error of `watch`
    try:
        return Client(address)
    except OSError as error:
        raise UserError(f"{address}: no Dask scheduler answers: {error}") from None
    except (ValueError, TypeError) as error:  # TypeError: a TLS address without certificates
        raise UserError(f"{address}: no address of a Dask scheduler, expected tcp://HOST:PORT: {error}") from None
