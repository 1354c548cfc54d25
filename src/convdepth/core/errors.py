"""Errors that users can act on, each with its exit code."""


class ConvdepthError(Exception):
    """Base class: the message says where, what was found and expected, and what to do."""

    exit_code = 1

    def __str__(self) -> str:
        """Return the message; escapes replace the control characters in texts from outside."""
        return self.printable(super().__str__())

    @staticmethod
    def printable(text: str) -> str:
        r"""Replace what is not printable, except tabs and line breaks, by escapes like ``\x1b``."""
        if text.isprintable():
            return text
        return "".join(
            each if each.isprintable() or each in "\n\t" else ascii(each)[1:-1] for each in text
        )


class ParameterError(ConvdepthError, ValueError):
    """A wrong value in ``params.yaml`` or on the command line."""

    exit_code = 2


class DataError(ConvdepthError, ValueError):
    """Data that are missing, damaged, or break a rule."""

    exit_code = 3


class MachineError(ConvdepthError, OSError):
    """The machine lacks something: disk space, permissions, network, GPU."""

    exit_code = 4


class BusyError(ConvdepthError):
    """Another process works on the same files."""

    exit_code = 5


class TrainingError(ConvdepthError, ArithmeticError):
    """Training failed, for example with a NaN loss."""

    exit_code = 6


class IntegrityError(ConvdepthError, ValueError):
    """A file differs from its recorded digest or checksum."""

    exit_code = 7
