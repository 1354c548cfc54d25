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
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from dvc.config import Config, merge
from dvc.repo import Repo
from prefect.logging import get_run_logger

from convdepth.core.errors import MachineError
from convdepth.integrity.check_environment import installed_lock
from convdepth.workspace.git import git, newest_commit
from convdepth.workspace.locks import try_lock
from pipelines.core.process_tree import stage_environment
from pipelines.dvc.remote import fetch_results, push_results
from pipelines.dvc.stage import Options
from pipelines.execution.runner import FlowError

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
    root = root.resolve()
    folder, lock = _take_folder(root / CLONES)
    try:
        _clone(root, commit, folder)
        _share_dvc(root, folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def run_and_share(
    folder: Path, work: Callable[[Options], str], *, force: bool, require_gpu: bool
) -> str:
    """Fetch the results of other machines, run stages in a clone, and push the new results.

    The results of stages that did not fail are pushed, whatever has failed.

    Args:
        folder: Of the clone.
        work: Runs stages with the given options, and returns a summary.
        force: Run the stages even if nothing has changed.
        require_gpu: Let no stage fall back to the CPU.
    """
    log = get_run_logger().info
    variables = {"CONVDEPTH_DEVICE": "gpu"} if require_gpu else {}
    options = Options(force, fetch_results(folder, log), folder, variables)
    try:
        summary = work(options)
    except FlowError:
        push_results(folder, log)
        raise
    push_results(folder, log)
    return summary


@contextlib.contextmanager
def clone_for_worker(commit: str | None = None, *, require_gpu: bool) -> Iterator[tuple[str, Path]]:
    """Clone a commit, by default the upstream's newest; yield its full name and the folder.

    A GPU that is required and absent, or a commit that locks other packages than are installed, is
    a `MachineError`.
    """
    root, log = Path.cwd(), get_run_logger().info
    if require_gpu:
        log(_require_gpu())
    newest = newest_commit(root)  # fetches, so that a commit that is asked for is here, too
    sha = commit or newest.sha
    log("commit %s%s", sha, "" if commit else f" of {newest.source}")
    with temporary_clone(sha, root) as folder:
        lock = installed_lock()
        wanted, installed = folder / lock, root / lock
        both = wanted.exists() and installed.exists()
        if both and wanted.read_bytes() != installed.read_bytes():
            raise MachineError(
                f"the commit has another {lock} than {root}, from which the packages here were "
                f"installed. Run `git pull && make environment LOCK={lock}` there, then start "
                "the worker again."
            )
        yield sha, folder


def _require_gpu() -> str:
    """Check in a child process that TensorFlow has a GPU; return its description."""
    command = [str(Path(sys.executable).with_name("convdepth")), "device", "--require-gpu"]
    ended = subprocess.run(
        command, env=stage_environment(), capture_output=True, text=True, check=False
    )
    if ended.returncode:
        words = ended.stderr.strip().removeprefix("error: ")
        raise MachineError(f"{words} This run has require_gpu set.")
    return ended.stdout.strip()


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
