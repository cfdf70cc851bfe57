"""The errors that a user can cause, each one line that names the file, the value and what was expected."""

import contextlib
import os
import re
import stat

_OBJECT = re.compile(r"<[^<>]* at 0x[0-9a-f]+>")


class UserError(Exception):
    """Bad input: the message is complete, a traceback would add nothing.

    It is one line, whatever the names of files and the values in it hold.
    """

    def __str__(self):
        return " ".join(super().__str__().splitlines())


class DataError(UserError):
    """An image, label, list or data set is missing or not what it should be."""


class ExperimentError(UserError):
    """An experiment's name or option is unknown or contradicts another."""


class WeightsError(UserError):
    """A caffemodel is missing, broken, or does not fit the net."""


class RunError(UserError):
    """A run cannot be begun, continued or kept: its folder, snapshots or loss are not what they should be."""


class OutOfMemoryError(RunError):
    """A batch does not fit into the memory of the GPU or of the machine."""


@contextlib.contextmanager
def reading(path, kind=UserError):
    """Has whatever a library raises over the file `path` end as one line of `kind` that names it.

    So no reader needs a list of what its libraries may raise. UserErrors, which are complete, and want of memory, which
    is not the file's fault, pass as they are. A FIFO or a device, which may never end, is refused before it is read.
    """
    try:
        _refuse_endless(path, kind)
        yield
    except (UserError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise kind(f"{path}: no such file") from error
    except OSError as error:
        raise kind(f"{path}: cannot be read: {error.strerror or one_line(error)}") from error
    except KeyError as error:  # which says the key alone
        raise kind(f"{path}: not readable: there is no {error}") from error
    except Exception as error:
        raise kind(f"{path}: not readable: {one_line(error)}") from error


def _refuse_endless(path, kind):
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # not there, or the words for a member of an archive
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise kind(f"{path}: is no regular file, but a pipe or a device")


def one_line(error):
    """What an exception says, its type where that is all there is, without line breaks and addresses of objects."""
    return _OBJECT.sub("(its data)", " ".join(str(error).split())) or type(error).__name__
