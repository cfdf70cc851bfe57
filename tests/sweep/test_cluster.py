"""Workers here, and as jobs of a batch system."""

import pytest
from distributed import Client

from attscale.processes import threads_at_hand
from attscale.sweep import cluster


def test_a_worker_has_its_share_of_the_cores():
    """Dask itself has each worker's environment say one thread, and so a training would have one."""
    with cluster.local(1, 3) as workers, Client(workers) as client:
        assert client.submit(threads_at_hand).result() == 3


@pytest.mark.parametrize("kind", cluster.QUEUES)
def test_jobs_of_batch_systems(kind):
    """The job's script as dask-jobqueue writes it; it is not submitted, for there is no such system here."""
    wanted = {"cores": 3, "memory": "7GB", "walltime": "96:00:00", "name": "night", "lines": ["--gres=gpu:1"]}
    made = cluster.queue(kind, jobs=0, **wanted)
    try:
        script = made.job_script()
    finally:
        made.close()
    assert "night" in script
    assert "--resources slot=1" in script
    assert "96:00:00" in script
    mark = {"slurm": "#SBATCH", "pbs": "#PBS", "sge": "#$"}[kind]
    assert f"{mark} --gres=gpu:1" in script.splitlines()
    assert script.index("export OMP_NUM_THREADS=3\n") < script.index("--resources slot=1")
