"""The errors that a user can cause, each one line that names the file, the value and what was expected."""


class UserError(Exception):
    """Bad input: the message is complete, a traceback would add nothing."""


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
