"""File locks of the operating system that name their holder and end with its process.

No stage imports this module: a lock decides when a stage may write, never what. The kernel releases
a lock when its process ends, so no process id is looked up, which another container may reuse.
`filelock` does not serve: without `flock` it takes a lock that outlives its process, and it does
not tell who holds one.
"""

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from convdepth.core.errors import BusyError, MachineError

WAIT_SECONDS = 10.0  # how long to wait for an output; a stage whose DVC was killed ends within 4 s
POLL_SECONDS = 0.1

_FOLDER = Path(".dvc/tmp/convdepth/locks")  # in DVC's folder for one workspace, ignored by git
_SUFFIX = ".lock"


def hold_outputs(writer: str, outputs: Iterable[Path]) -> None:
    """Keep other processes from writing the same outputs, until this process ends.

    DVC's own locks end with DVC, which a stage may outlive, and a user may run a stage without DVC.
    Outside a DVC project nothing is locked. ``writer`` is the stage, such as ``train@cnn1``.
    """
    # Sorted: two processes with the same outputs cannot wait for each other.
    for output in sorted(map(_absolute, outputs)):
        if (project := find_project(output.parent)) is not None:
            name = os.path.relpath(output, project).replace("%", "%25").replace("/", "%2F")
            _wait_for(project / _FOLDER / f"{name}{_SUFFIX}", writer, output)


def held_outputs(project: Path) -> dict[str, str]:
    """Return the writer of each output that is being written, by path within the project."""
    return {
        path.name.removesuffix(_SUFFIX).replace("%2F", "/").replace("%25", "%"): holder
        for path in sorted((project / _FOLDER).glob(f"*{_SUFFIX}"))
        if (holder := describe_holder(path)) is not None
    }


def find_project(folder: Path) -> Path | None:
    """Return the nearest DVC project at or above a folder, which need not exist."""
    folder = _absolute(folder)
    return next((each for each in (folder, *folder.parents) if (each / ".dvc").is_dir()), None)


def try_lock(path: Path, holder: str) -> int | None:
    """Take a lock until the returned descriptor is closed; None if another process holds it.

    Its file is never deleted: then two processes could lock two files of one name.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW  # where all users may write, a link may point anywhere
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:  # Linux refuses to open another user's file with O_CREAT
        descriptor = os.open(path, flags)
    if not _flock(descriptor, fcntl.LOCK_EX):
        os.close(descriptor)
        return None
    since = datetime.now().astimezone().isoformat(" ", "seconds")
    text = f"{holder} (process {os.getpid()} on {socket.gethostname()}, since {since})\n"
    with contextlib.suppress(OSError):  # the lock counts even on a full disk
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)
    return descriptor


def describe_holder(path: Path) -> str | None:
    """Return the holder of a lock with its process, host and time; None if it is free."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        if _flock(descriptor, fcntl.LOCK_SH):  # shared: two readers are no holders
            return None
        text = os.read(descriptor, 200).decode(errors="replace")
    finally:
        os.close(descriptor)
    printable = "".join(filter(str.isprintable, text))  # any user may have written it
    return printable or "a process that has just begun"


def _wait_for(path: Path, writer: str, output: Path) -> None:
    """Take a lock within `WAIT_SECONDS`, and keep it until the process ends."""
    deadline = time.monotonic() + WAIT_SECONDS
    told = False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while try_lock(path, writer) is None:
            holder = describe_holder(path) or "another process"
            if time.monotonic() > deadline:
                raise BusyError(
                    f"{output}: is being written by {holder}. Expected to be the only writer. "
                    f"Wait until that process has ended, or stop it; then run again."
                )
            if not told:
                print(f"{writer}: waits for {output}: {holder} writes it", flush=True)
                told = True
            time.sleep(POLL_SECONDS)
    except OSError as error:
        raise MachineError(
            f"{path}: this lock cannot be used: {error.strerror or error}. Make its folder "
            f"writable, or delete the folder while nothing runs."
        ) from error


def _absolute(path: Path) -> Path:
    # Not `resolve`: a linked folder belongs to the project that links it.
    return Path(os.path.abspath(path))  # noqa: PTH100


def _flock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
