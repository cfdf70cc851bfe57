"""A GPU as its driver describes it."""

import dataclasses
import subprocess

from attscale.errors import RunError, reading
from attscale.machine import device


@dataclasses.dataclass(frozen=True, kw_only=True)
class Card:
    """What is measured on, as its driver says it; bytes."""

    name: str
    driver: str
    memory: int
    used: int  # of the memory, by whomever

    def __str__(self):
        return f"{self.name}, {self.memory / 2**30:.0f} GiB, driver {self.driver}"


def read(gpu):
    """The Card with Caffe's number `gpu`, by nvidia-smi. Raises RunError."""
    query = ["nvidia-smi", f"--id={device.bus_id(gpu)}", "--query-gpu=name,driver_version,memory.total,memory.used"]
    query.append("--format=csv,noheader,nounits")
    with reading("nvidia-smi", RunError):
        done = subprocess.run(query, stdout=subprocess.PIPE, text=True, check=True)
        name, driver, total, used = done.stdout.strip().split(", ")
        return Card(name=name, driver=driver, memory=int(total) << 20, used=int(used) << 20)
