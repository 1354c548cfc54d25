"""What can go wrong, and the exit code that tells a caller which kind it was."""


class ConvdepthError(Exception):
    """An error that the user can act on: its message says what was found, expected, and to do."""

    exit_code = 1


class ParameterError(ConvdepthError, ValueError):
    """A wrong value in ``params.yaml`` or on the command line."""

    exit_code = 2


class DataError(ConvdepthError, ValueError):
    """Data that are missing, damaged, or break a rule."""

    exit_code = 3


class MachineError(ConvdepthError, OSError):
    """The machine does not let the work be done: disk, permissions, network, GPU."""

    exit_code = 4


class BusyError(ConvdepthError):
    """Another process works on the same files."""

    exit_code = 5


class TrainingError(ConvdepthError, ArithmeticError):
    """Training went wrong, for example the loss is not a number."""

    exit_code = 6


class IntegrityError(ConvdepthError, ValueError):
    """A file is not what was written: a digest, a checksum or a member differs."""

    exit_code = 7
