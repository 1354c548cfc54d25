"""Waiting for what other processes do."""

import subprocess
import time
from collections.abc import Callable

import psutil

from convdepth.workspace.process import lives

__all__ = ["family_at_work", "lives", "wait_until"]


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something is so, and fail if it is not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def family_at_work(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Wait until something below a process sleeps; return all that is below it."""
    root = psutil.Process(process.pid)
    wait_until(lambda: any(each.name() == "sleep" for each in root.children(recursive=True)))
    return root.children(recursive=True)
