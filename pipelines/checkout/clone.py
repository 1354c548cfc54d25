"""Places for runs that must not touch the user's folder: clones that share DVC's cache."""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import IO

from dvc.config import Config, merge
from dvc.repo import Repo

from convdepth.core.errors import MachineError
from convdepth.workspace.locks import try_lock
from pipelines.checkout.git import git

PLACES = Path(".dvc/tmp/places")
"""Ignored by git and by DVC, and on the file system of the cache, so that links can be made."""

CHECKPOINTS = Path(".dvc/tmp/convdepth/checkpoints")
"""Where `dvc.yaml` has the checkpoints of trainings kept."""

IDENTITY = ("user.name", "user.email")


@contextlib.contextmanager
def place(commit: str, root: Path = Path()) -> Iterator[Path]:
    """Make a clone at a commit, in which the pipeline can run; remove it at the end.

    Its DVC cache, and with it DVC's memory of earlier runs, is that of the user's repository, and
    so are the checkpoints: nothing that was finished in it is lost with it, not even an epoch.
    Other settings of DVC and who commits are the user's, too.

    Args:
        commit: Any name that git knows in ``root``.
        root: The root of the user's repository. Its files and branches stay as they are.

    Yields:
        The clone's folder: a detached HEAD at the commit. Its git remote ``here`` is the user's
        repository, and ``origin`` is that repository's own ``origin``, if it has one.

    Raises:
        MachineError: The disk or git does not let a clone be made.
    """
    root = root.resolve()
    folder, lock = _take(root / PLACES)
    with lock:
        try:
            _clone(root, commit, folder)
            _share_settings(root, folder)
            _share_checkpoints(root, folder)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _take(places: Path) -> tuple[Path, IO[str]]:
    """Find a place that nobody uses, and lock it for as long as this process lives.

    They are numbered, and used again, since DVC makes notes elsewhere of each folder that it has
    worked in. Process ids would not do for locks: containers that share a disk count their own.
    """
    try:
        places.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(places)
        for number in count(1):
            if lock := _lock(places / f"{number}.lock"):
                return places / str(number), lock
    except OSError as error:
        raise MachineError(f"{places}: cannot be written: {error.strerror}") from error
    raise AssertionError("the numbers never end")


def _remove_abandoned(places: Path) -> None:
    """Remove the places of processes that were killed."""
    for file in places.glob("*.lock"):
        if lock := _lock(file):
            with lock:
                shutil.rmtree(file.with_suffix(""), ignore_errors=True)


def _lock(file: Path) -> IO[str] | None:
    descriptor = try_lock(file, "a place")
    return None if descriptor is None else os.fdopen(descriptor, "r+", encoding="utf-8")


def _clone(root: Path, commit: str, folder: Path) -> None:
    sha = git("rev-parse", "--verify", f"{commit}^{{commit}}", folder=root)
    git("clone", "--quiet", "--shared", "--no-checkout", "--origin=here", str(root), str(folder))
    git("checkout", "--quiet", "--detach", sha, folder=folder)
    remotes = git("remote", folder=root).splitlines()
    if "origin" in remotes:
        url = git("remote", "get-url", "origin", folder=root)
        git("remote", "add", "origin", _absolute(url, root), folder=folder)
    for name in IDENTITY:
        with contextlib.suppress(MachineError):  # it is not set; git asks for it where it matters
            git("config", name, git("config", name, folder=root), folder=folder)


def _absolute(url: str, root: Path) -> str:
    """Make the path of a repository independent of the folder; an address stays as it is."""
    is_address = re.match(r"\w[\w+.-]*://|[^/]+:", url)
    return url if is_address else str((root / Path(url).expanduser()).resolve())


def _share_checkpoints(root: Path, folder: Path) -> None:
    """Let a training that is killed in one clone go on in another one."""
    (root / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
    link = folder / CHECKPOINTS
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(root / CHECKPOINTS, target_is_directory=True)


def _share_settings(root: Path, folder: Path) -> None:
    """Give a clone the cache and the settings of the user's repository, its secrets included.

    Paths in DVC's settings are relative to their file; its own functions read and write them.
    """
    with Repo(str(root)) as repo:
        cache = repo.cache.local_cache_dir
    theirs = Config(str(root / ".dvc"))
    with Config(str(folder / ".dvc")).edit("local") as settings:
        for level in ("repo", "local"):
            merge(settings, theirs.load_one(level))
        settings["cache"]["dir"] = cache
