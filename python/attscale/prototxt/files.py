"""Messages to Caffe and back: read from files, and given to Caffe without any."""

import contextlib
import os
from pathlib import Path

import caffe
from google.protobuf import text_format

from attscale.errors import ExperimentError, reading


def load(message, phase=caffe.TEST):
    """The message as a caffe.Net."""
    with as_file(message) as path:
        return caffe.Net(path, phase)


@contextlib.contextmanager
def as_file(message):
    """A path at which Caffe reads the message: in memory, so that nothing is left, whatever becomes of the process."""
    with os.fdopen(os.memfd_create("prototxt"), "w") as file:
        file.write(text_format.MessageToString(message))
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"


def parse(path, kind):
    """The message of the class `kind` in the file `path`. Raises ExperimentError, with the place, for a broken one."""
    with reading(path, ExperimentError):
        return text_format.Parse(Path(path).read_text(), kind())
