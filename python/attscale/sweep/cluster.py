"""The Dask clusters that a sweep can run on. Every worker has one slot: it does one step at a time."""

import contextlib
import dataclasses
import logging
import os
import shutil

import dask
from dask.utils import parse_bytes
from dask_jobqueue import PBSCluster, SGECluster, SLURMCluster
from dask_jobqueue.pbs import pbs_format_bytes_ceil
from distributed import Client, Nanny, Scheduler, SpecCluster, Status

from attscale import processes
from attscale.errors import UserError
from attscale.sweep.plan import SLOT

#: What says how many cores a step has; Dask sets it to 1 for its workers.
THREADS = "OMP_NUM_THREADS"
QUEUES = {"slurm": SLURMCluster, "pbs": PBSCluster, "sge": SGECluster}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Workers:
    """Who does the steps: workers here, those of a scheduler, or jobs of a batch system."""

    workers: int = 1  # here, or jobs
    gpus: tuple[int, ...] = ()  # a worker here on each
    scheduler: str | None = None  # its address
    queue: str | None = None  # one of QUEUES; what follows is of its jobs
    gpu: bool = False  # a job has one
    cores: int = 4
    memory: str = "32GB"
    walltime: str = "24:00:00"
    partition: str | None = None
    job_line: tuple[str, ...] = ()

    def __post_init__(self):
        if self.gpu and self.queue == "sge" and not self.job_line:
            raise UserError("--gpu: say with --job-line how a job of sge asks for one, as your site has it")

    @property
    def cores_of_a_step(self):
        """For Caffe's threads and the CRF's processes; None where only the worker knows."""
        if self.scheduler:
            return None
        if self.queue:
            is_asked_for = self.queue != "sge" or any("-pe " in line for line in self.job_line)
            return self.cores if is_asked_for else 1
        return max(1, processes.cores() // (len(self.gpus) or self.workers))

    @contextlib.contextmanager
    def client(self):
        """A Dask client of them; what was started here ends with it. Raises UserError where none can be had."""
        with contextlib.ExitStack() as stack:
            at = self.scheduler or stack.enter_context(self._start())
            yield stack.enter_context(connect(at))

    def _start(self):
        cores = self.cores_of_a_step
        try:
            if not self.queue:
                return local(self.workers, cores, self.gpus)
            wanted = {"jobs": self.workers, "cores": cores, "name": self.partition, "lines": self.job_line}
            return queue(self.queue, **wanted, memory=self.memory, walltime=self.walltime, gpu=self.gpu)
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(f"the workers cannot be started: {' '.join(str(error).split())}") from None


def local(workers, cores, gpus=()):
    """Workers on this machine, each with so many cores, and with a GPU of its own where there are some."""
    spec = {}
    for number in range(len(gpus) or workers):
        env = {"CUDA_VISIBLE_DEVICES": str(gpus[number])} if gpus else {}
        if THREADS not in os.environ:  # else Dask takes it from there
            env[THREADS] = str(cores)
        spec[number] = {"cls": Nanny, "options": {"nthreads": 1, "resources": {SLOT: 1}, "env": env}}
    scheduler = {"cls": Scheduler, "options": {"dashboard": False, "dashboard_address": None}}
    return SpecCluster(workers=spec, scheduler=scheduler)


def queue(kind, *, jobs, cores, memory, walltime, name=None, gpu=False, lines=()):
    """Workers as jobs of a batch system: QUEUES has the kinds; `lines` are further lines of the job's header.

    gpu: a job has one; how SGE is asked for that, and for several cores, differs by site, and is for `lines` to say.

    Raises UserError where the system is not there, or does not take the jobs.
    """
    submit = QUEUES[kind].job_cls.submit_command
    if jobs and not shutil.which(submit):
        raise UserError(f"{submit}: no such command, with which jobs of {kind} are submitted; is this its login node?")
    options = {"cores": cores, "processes": 1, "memory": memory, "walltime": walltime, "queue": name}
    if gpu and kind == "slurm":
        lines = ["--gres=gpu:1", *lines]
    if gpu and kind == "pbs":  # which refuses other lines beside `select`
        options["resource_spec"] = f"select=1:ncpus={cores}:ngpus=1:mem={pbs_format_bytes_ceil(parse_bytes(memory))}"
    prologue = dask.config.get(f"jobqueue.{kind}.job-script-prologue")  # the site's own
    cluster = QUEUES[kind](
        **options,
        worker_extra_args=["--nthreads", "1", "--resources", f"{SLOT}=1"],
        job_extra_directives=list(lines),
        job_script_prologue=[*prologue, f"export {THREADS}={cores}"],
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
