"""One measurement in this process: `python -m attscale.bench.child TASK PARENT` prints its Cost."""

import os

from attscale import cli, processes
from attscale.bench.task import CAFFE, Task
from attscale.options import decode, encode


def main(argv):
    (text,) = processes.adopt(argv)
    task = decode(Task, text)
    os.environ.update(task.environment)  # before the libraries are loaded
    if task.engine == CAFFE:
        from attscale.bench import ours as side
    else:
        from attscale.bench import peer as side
    print(encode(side.run(task)))


if __name__ == "__main__":
    cli.run(main)
