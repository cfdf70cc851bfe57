"""Workers here, and as jobs of a batch system."""

import dask
import pytest
from distributed import Client

from attscale.processes import threads_at_hand
from attscale.sweep import cluster


@pytest.mark.parametrize(("said", "threads"), [(None, 3), ("2", 2)])
def test_a_worker_has_its_share_of_the_cores(monkeypatch, said, threads):
    """Unless the user says otherwise. Dask itself would have each worker's environment say one thread."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if said:
        monkeypatch.setenv("OMP_NUM_THREADS", said)
    with cluster.local(1, 3) as workers, Client(workers) as client:
        assert client.submit(threads_at_hand).result() == threads


def script_of(kind, **options):
    """The job's script as dask-jobqueue writes it; it is not submitted, for there is no such system here."""
    made = cluster.queue(kind, jobs=0, **{"cores": 3, "memory": "7GB", "walltime": "96:00:00", **options})
    try:
        return made.job_script()
    finally:
        made.close()


@pytest.mark.parametrize(("kind", "mark"), [("slurm", "#SBATCH"), ("pbs", "#PBS"), ("sge", "#$")])
def test_jobs_of_batch_systems(kind, mark):
    site = {f"jobqueue.{kind}.job-script-prologue": ["module load gcc"]}
    with dask.config.set(site):
        script = script_of(kind, name="night", lines=["-m be"])
    assert "night" in script
    assert "96:00:00" in script
    assert f"{mark} -m be" in script.splitlines()
    assert "--resources slot=1" in script
    assert script.index("module load gcc\n") < script.index("export OMP_NUM_THREADS=3\n") < script.index("--resources")
    assert "gpu" not in script


def test_how_a_job_asks_for_a_gpu():
    """PBS takes no second line beside `select`; how SGE is asked differs by site."""
    assert "#SBATCH --gres=gpu:1" in script_of("slurm", gpu=True).splitlines()
    select = [line for line in script_of("pbs", gpu=True).splitlines() if "select" in line]
    assert select == ["#PBS -l select=1:ncpus=3:ngpus=1:mem=6676MB"]  # 7e9 bytes; PBS's MB are 2^20
