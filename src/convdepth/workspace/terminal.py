"""Standard output and error of a command line.

Names in files, answers of servers and lines of other programs cannot steer the terminal, a full
disk is an expected error, and a reader that is gone ends the command quietly.
"""

import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import rich.control
from rich.file_proxy import FileProxy

from convdepth.core.errors import ConvdepthError, MachineError

RESET = "\x1b[0m"  # Colorama, which DVC imports, writes it at the end of a process; it does no harm


def guard_terminal() -> None:
    """Let all output of this process pass through `Guarded`; show warnings, raise none.

    A filter of the user, such as PYTHONWARNINGS=error, would end a training when it is saved.
    """
    if any(action == "error" for action, *_ in warnings.filters):
        warnings.simplefilter("default")
        os.environ["PYTHONWARNINGS"] = "default"  # child processes read it
    # rich removes a few control characters from texts: not ESC, nor those that reverse text. Bytes
    # that are no UTF-8 cannot be written.
    others = (*range(9), *range(11, 32), *range(127, 160))
    others = (*others, *range(0x202A, 0x202F), *range(0xDC80, 0xDD00))
    rich.control._CONTROL_STRIP_TRANSLATE.update(dict.fromkeys(others))
    for name in ("stdout", "stderr"):
        if stream := getattr(sys, name):  # None if the caller has closed it
            stream.reconfigure(line_buffering=True)
            setattr(sys, name, Guarded(stream))


@FileProxy.register  # so that rich's bars do not put theirs in its place
class Guarded:
    """A text stream that writes control characters as escapes; rich may use them for colors.

    A failure to write is a `MachineError` for standard output, and ignored for standard error. A
    closed pipe ends the process with exit code 128 + 13, as SIGPIPE does.
    """

    def __init__(self, stream: Any, *, is_for_rich: bool = False) -> None:
        self._stream, self._is_for_rich = stream, is_for_rich

    @property
    def rich_proxied_file(self) -> "Guarded":
        """The stream to which rich writes instead of this one; the name is rich's."""
        return Guarded(self._stream, is_for_rich=True)

    def write(self, text: str) -> int:
        """Write a text."""
        with self._explained():
            is_safe = self._is_for_rich or text == RESET
            self._stream.write(text if is_safe else ConvdepthError.printable(text))
        return len(text)

    def flush(self) -> None:
        """Write what is buffered."""
        with self._explained():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # Else Python writes the buffer again when it ends, and fails with exit code 120.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            if self._stream is sys.__stderr__:
                return
            if isinstance(error, BrokenPipeError):
                sys.exit(128 + signal.SIGPIPE)
            raise MachineError(
                f"standard output: cannot be written: {error.strerror}. Free space, or send the "
                f"output elsewhere, then run again."
            ) from None
