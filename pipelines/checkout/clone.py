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

CLONES = Path(".dvc/tmp/clones")  # ignored, and on the file system of the cache for its links
CHECKPOINTS = Path(".dvc/tmp/convdepth/checkpoints")  # of trainings, as `dvc.yaml` names it


@contextlib.contextmanager
def temporary_clone(commit: str, root: Path = Path()) -> Iterator[Path]:
    """Clone the user's repository at a commit, with a detached HEAD; remove the clone at the end.

    The clone shares DVC's cache, record of runs and checkpoints with the user's repository, and
    has copies of DVC's settings and secrets and of the git identity. Its git remotes are ``here``,
    the user's repository, and that repository's ``origin``, if there is one.
    """
    folder, lock = make_clone(commit, root)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def make_clone(commit: str, root: Path) -> tuple[Path, int]:
    """Make a clone as `temporary_clone` does; return it, and the lock that keeps it if open."""
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
    """Lock the first free number, after the clones of killed processes were removed."""
    # DVC keeps notes of each folder, so numbers are reused; containers count their own process ids.
    try:
        clones.mkdir(parents=True, exist_ok=True)
        for file in clones.glob("*.lock"):
            if (lock := try_lock(file, "a clone")) is not None:
                shutil.rmtree(file.with_suffix(""), ignore_errors=True)
                os.close(lock)
        taken = ((clones / str(n), try_lock(clones / f"{n}.lock", "a clone")) for n in count(1))
        return next((folder, lock) for folder, lock in taken if lock is not None)
    except OSError as error:
        raise MachineError(f"{clones}: cannot be written: {error.strerror}") from error


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
