"""Run a commit in a clone that shares DVC's cache, so that the user's folder stays unchanged.

`git worktree` would not do: all worktrees share the references that DVC keeps while an experiment
runs, and relative addresses of remotes would be relative to the worktree.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from dvc.config import Config, merge
from dvc.repo import Repo

from convdepth.core.errors import MachineError
from convdepth.workspace.git import git
from convdepth.workspace.locks import try_lock

CLONES = Path(".dvc/tmp/clones")
"""Ignored by git and DVC, and on the file system of the cache, so that links can be made."""

CHECKPOINTS = Path(".dvc/tmp/convdepth/checkpoints")
"""The folder in `dvc.yaml` for the checkpoints of trainings."""


@contextlib.contextmanager
def temporary_clone(commit: str, root: Path = Path()) -> Iterator[Path]:
    """Clone the user's repository at a commit, with a detached HEAD; remove the clone at the end.

    The clone shares DVC's cache (and so its record of runs) and the checkpoints with the user's
    repository: nothing that was finished is lost with it. DVC's settings, its secrets and the git
    identity are copied. Its git remote ``here`` is the user's repository; ``origin`` is that
    repository's own ``origin``, if there is one.
    """
    folder, lock = make_clone(commit, root)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def make_clone(commit: str, root: Path) -> tuple[Path, int]:
    """Make a clone as `temporary_clone` does; return its folder, and the lock that keeps it.

    Once the lock is closed, the next call removes the clone.
    """
    root = root.resolve()
    folder, lock = _take_folder(root / CLONES)
    try:
        _clone(root, commit, folder)
        _share_dvc(root, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)
        raise
    return folder, lock


def _take_folder(clones: Path) -> tuple[Path, int]:
    """Lock the first free number, after the clones of killed processes were removed.

    Numbers are used again, since DVC keeps notes of each folder that it has worked in. Process
    ids would not do: containers that share a disk count their own.
    """
    try:
        clones.mkdir(parents=True, exist_ok=True)
        for file in clones.glob("*.lock"):
            if (lock := try_lock(file, "a clone")) is not None:
                shutil.rmtree(file.with_suffix(""), ignore_errors=True)
                os.close(lock)
        for number in count(1):
            if (lock := try_lock(clones / f"{number}.lock", "a clone")) is not None:
                return clones / str(number), lock
    except OSError as error:
        raise MachineError(f"{clones}: cannot be written: {error.strerror}") from error
    raise AssertionError("the numbers never end")


def _clone(root: Path, commit: str, folder: Path) -> None:
    sha = git("rev-parse", "--verify", f"{commit}^{{commit}}", folder=root)
    git("clone", "--quiet", "--shared", "--no-checkout", "--origin=here", str(root), str(folder))
    git("checkout", "--quiet", "--detach", sha, folder=folder)
    if "origin" in git("remote", folder=root).splitlines():
        url = git("remote", "get-url", "origin", folder=root)
        if not re.match(r"\w[\w+.-]*://|[^/]+:", url):  # a path
            url = str((root / Path(url).expanduser()).resolve())
        git("remote", "add", "origin", url, folder=folder)
    for name in ("user.name", "user.email"):
        with contextlib.suppress(MachineError):  # it is not set; git asks for it where it matters
            git("config", name, git("config", name, folder=root), folder=folder)


def _share_dvc(root: Path, folder: Path) -> None:
    with Repo(str(root)) as repo:
        cache = repo.cache.local_cache_dir
    # Paths in DVC's settings are relative to their file; its own functions translate them.
    theirs = Config(str(root / ".dvc"))
    with Config(str(folder / ".dvc")).edit("local") as settings:
        for level in ("repo", "local"):
            merge(settings, theirs.load_one(level))
        settings["cache"]["dir"] = cache
    (root / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
    link = folder / CHECKPOINTS
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(root / CHECKPOINTS, target_is_directory=True)
