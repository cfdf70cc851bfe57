"""Whether Caffe makes a test net of a prototxt: `python -m attscale.nets.trial FILE PARENT`.

In a process of its own, because Caffe aborts the one in which it finds something wrong.
"""

from pathlib import Path

from attscale import cli, processes
from attscale.errors import ExperimentError, UserError


def demand(path):
    """Raises ExperimentError, with Caffe's own words, where it makes no test net of the file `path`."""
    try:
        processes.run("attscale.nets.trial", Path(path).absolute())
    except UserError as error:
        raise ExperimentError(f"{path}: {error}") from None


def main(argv):
    (path,) = processes.adopt(argv)

    import caffe

    caffe.Net(path, caffe.TEST)


if __name__ == "__main__":
    cli.run(main)
