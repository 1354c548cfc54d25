"""Run DVC as a child that ends in good order: when it is told to, or when its parent has ended.

This file is run by its path, with DVC's arguments. DVC by itself dies at once on SIGTERM: what it
was about to write is torn, and the stage that it runs goes on alone. Here the stage is stopped,
and DVC then ends by itself, as it does after a failed stage.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import psutil

from convdepth.workspace.process import lives

GRACE_SECONDS = 3.0
"""How long what has been told to end may take, before it is killed."""

POLL_SECONDS = 0.1


def main(arguments: list[str]) -> int:
    """Run DVC.

    Args:
        arguments: What stands behind ``dvc``.

    Returns:
        Its exit code.
    """
    told, ended = threading.Event(), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    when_parent_ends(told.set)
    stopper = threading.Thread(target=_stop_when, args=(told, ended), daemon=True)
    stopper.start()
    from dvc.cli import main as dvc  # after the handler: it takes a second

    code = int(dvc(arguments))
    ended.set()
    if told.is_set():
        # What the stage has started may be there still: the stage itself ended first.
        stopper.join()
    return code


def when_parent_ends(action: Callable[[], Any]) -> None:
    """Call a function once this process has lost its parent, even if that was killed.

    Args:
        action: Is called in a thread of its own.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        action()

    threading.Thread(target=watch, daemon=True).start()


def _stop_when(told: threading.Event, ended: threading.Event) -> None:
    """Once this process is told to end, stop all that it has started and still starts.

    Returns when DVC has ended and nothing of all that lives any more. What does not listen is
    killed, and this process ends with it.
    """
    told.wait()
    deadline = time.monotonic() + GRACE_SECONDS
    signalled: list[psutil.Process] = []
    while time.monotonic() < deadline:
        signalled += _signal(signal.SIGTERM, but=signalled)
        if ended.is_set() and not any(map(lives, signalled)):
            return
        time.sleep(POLL_SECONDS)
    _signal(signal.SIGKILL, but=[])
    for process in signalled:  # those whose parent has ended are no descendants any more
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    os._exit(128 + signal.SIGTERM)


def _signal(number: signal.Signals, but: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Signal all descendants of this process, parents first.

    A shell whose command ends before it has been told to end itself would go on with the next.
    """
    found = [each for each in psutil.Process().children(recursive=True) if each not in but]
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
