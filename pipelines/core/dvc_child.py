"""Run DVC as a child of a flow, which ends in good order on SIGTERM and with its parent.

Plain DVC dies at once on SIGTERM: its lock file may be torn, and its stage goes on alone. Here
SIGTERM ends the stage, and DVC then ends as after any failed stage.
"""

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil

from convdepth.workspace.process import GRACE_SECONDS, end_with_parent, lives

POLL_SECONDS = 0.1


def dvc_command(*arguments: str) -> list[str]:
    """Return the command that runs DVC by this module, with what follows ``dvc``."""
    # -P: the modules beside this file must not stand in for others of the same name. Without the
    # wait, DVC drops a finished training if another process holds the lock just then.
    return [sys.executable, "-P", __file__, "--wait-for-lock", *arguments]


def stage_environment() -> dict[str, str]:
    """Return the environment of a child that finds the stages' commands, activated or not."""
    scripts = str(Path(sys.executable).parent)
    path = os.pathsep.join([scripts, os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}


def main(arguments: list[str]) -> int:
    """Run DVC; return its exit code."""
    told, ended = threading.Event(), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    end_with_parent()
    stopper = threading.Thread(target=_end_stage, args=(told, ended), daemon=True)
    stopper.start()
    from dvc.cli import main as dvc  # it takes a second; the handler must be there before

    if told.is_set():
        return 128 + signal.SIGTERM
    code = int(dvc(arguments))
    ended.set()
    if told.is_set():
        stopper.join()  # processes that the stage has started may outlive it
    return code


def _end_stage(told: threading.Event, ended: threading.Event) -> None:
    told.wait()
    deadline = time.monotonic() + GRACE_SECONDS
    signalled: list[psutil.Process] = []
    while time.monotonic() < deadline:
        # Parents first: a shell whose command ends before it goes on with its next command.
        for process in psutil.Process().children(recursive=True):
            if process not in signalled:
                signalled.append(process)
                with suppress(psutil.NoSuchProcess):
                    process.terminate()
        if ended.is_set() and not any(map(lives, signalled)):
            return
        time.sleep(POLL_SECONDS)
    for process in [*signalled, *psutil.Process().children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    os._exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
