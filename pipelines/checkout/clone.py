"""Run a commit in a clone that shares DVC's cache, so that the user's folder stays unchanged.

`git worktree` would not do: all worktrees share the references that DVC keeps while an experiment
runs, and relative addresses of remotes would be relative to the worktree.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from dvc.config import Config, merge
from dvc.repo import Repo
from prefect.logging import get_run_logger

from convdepth.core.errors import MachineError
from convdepth.integrity.check_environment import installed_lock
from convdepth.workspace.locks import try_lock
from pipelines.core.git import git
from pipelines.core.process_tree import stage_environment
from pipelines.dvc.remote import fetch_results, push_results
from pipelines.dvc.stage import Options
from pipelines.execution.runner import FlowError

PLACES = Path(".dvc/tmp/places")
"""Ignored by git and DVC, and on the file system of the cache, so that links can be made."""

CHECKPOINTS = Path(".dvc/tmp/convdepth/checkpoints")
"""The folder in `dvc.yaml` for the checkpoints of trainings."""


@dataclass(frozen=True)
class Place:
    """A clone at a commit, in which stages can run with these environment variables."""

    folder: Path
    commit: str
    variables: Mapping[str, str]

    def run(self, work: Callable[[Options], str], force: bool) -> str:
        """Fetch the results of other machines, run stages, and push the new results.

        Args:
            work: Runs stages with the given options, and returns a summary.
            force: Run the stages even if nothing has changed.

        Returns:
            The summary.

        Raises:
            FlowError: Stages failed. The results of the others are pushed all the same.
            MachineError: The results cannot be pushed; they are kept in DVC's cache.
        """
        log = get_run_logger().info
        pull = fetch_results(self.folder, log)
        try:
            summary = work(Options(force, pull, self.folder, self.variables))
        except FlowError:
            push_results(self.folder, log)
            raise
        push_results(self.folder, log)
        return summary


@contextlib.contextmanager
def place_of(commit: str, root: Path, *, require_gpu: bool) -> Iterator[Place]:
    """Make a clone as `place` does, for a commit whose locked packages are installed.

    Raises:
        MachineError: The commit locks other packages, or a clone cannot be made.
    """
    with place(commit, root) as folder:
        lock = installed_lock()
        wanted, installed = folder / lock, root / lock
        both = wanted.exists() and installed.exists()
        if both and wanted.read_bytes() != installed.read_bytes():
            raise MachineError(
                f"the commit has another {lock} than {root}, from which the packages here were "
                f"installed. Run `git pull && make environment LOCK={lock}` there, then start "
                "the worker again."
            )
        yield Place(folder, commit, {"CONVDEPTH_DEVICE": "gpu"} if require_gpu else {})


@contextlib.contextmanager
def place(commit: str, root: Path = Path()) -> Iterator[Path]:
    """Make a clone at a commit, with a detached HEAD; remove it at the end.

    The clone shares DVC's cache (and so its record of runs) and the checkpoints with the user's
    repository: nothing that was finished is lost with it. DVC's settings, its secrets and the git
    identity are copied. Its git remote ``here`` is the user's repository; ``origin`` is that
    repository's own ``origin``, if there is one.

    Args:
        commit: Any name of a commit.
        root: The root of the user's repository.

    Yields:
        The clone's folder.

    Raises:
        MachineError: The disk or git does not let a clone be made.
    """
    root = root.resolve()
    folder, lock = _take_folder(root / PLACES)
    try:
        _clone(root, commit, folder)
        _share_dvc(root, folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def require_gpu_here() -> str:
    """Check in a child process that TensorFlow has a GPU; return its description.

    Raises:
        MachineError: TensorFlow has no GPU; the message names the devices found.
    """
    command = [str(Path(sys.executable).with_name("convdepth")), "device", "--require-gpu"]
    ended = subprocess.run(
        command, env=stage_environment(), capture_output=True, text=True, check=False
    )
    if ended.returncode:
        words = ended.stderr.strip().removeprefix("error: ")
        raise MachineError(f"{words} This run has require_gpu set.")
    return ended.stdout.strip()


def _take_folder(places: Path) -> tuple[Path, int]:
    """Lock the first free number, after the clones of killed processes were removed.

    Numbers are used again, since DVC keeps notes of each folder that it has worked in. Process
    ids would not do: containers that share a disk count their own.
    """
    try:
        places.mkdir(parents=True, exist_ok=True)
        for file in places.glob("*.lock"):
            if (lock := try_lock(file, "a clone")) is not None:
                shutil.rmtree(file.with_suffix(""), ignore_errors=True)
                os.close(lock)
        for number in count(1):
            if (lock := try_lock(places / f"{number}.lock", "a clone")) is not None:
                return places / str(number), lock
    except OSError as error:
        raise MachineError(f"{places}: cannot be written: {error.strerror}") from error
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
