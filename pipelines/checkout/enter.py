"""Run a commit by its own flow code: this process becomes another program in a clone of it.

So a commit may change flows and parameters, and no worker needs to be updated for it.
"""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from convdepth.core.errors import MachineError
from convdepth.integrity.check_environment import installed_lock
from convdepth.workspace.git import git, newest_commit
from pipelines.checkout.clone import make_clone

CLONE = "CONVDEPTH_CLONE"  # variable: the clone in which this process runs, and which it removes


def enter_commit(
    command: Sequence[str], commit: str | None = None, variables: Mapping[str, str] | None = None
) -> NoReturn:
    """Become a command in a clone of a commit, with the commit's code before the installed one.

    By default it is the newest commit of the upstream branch. A missing commit, and a commit whose
    lock differs from the installed packages, is a `MachineError`.
    """
    root = Path.cwd()
    newest = newest_commit(root)  # fetches, so that a commit that is asked for is here, too
    sha = commit or newest.sha
    print(f"commit {sha}" + ("" if commit else f" of {newest.source}"), flush=True)
    folder, lock = make_clone(sha, root)
    try:
        _require_same_packages(sha, folder, root)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    os.set_inheritable(lock, True)  # it keeps the clone until the command ends
    paths = [str(folder / "src"), str(folder), os.environ.get("PYTHONPATH")]
    path = os.pathsep.join(filter(None, paths))
    os.chdir(folder)
    given = {CLONE: str(folder), "PYTHONPATH": path, **(variables or {})}
    os.execve(command[0], list(command), {**os.environ, **given})  # noqa: S606 our own


@contextmanager
def entered_commit() -> Iterator[str]:
    """Yield the commit of the clone in which this process works; remove the clone at the end.

    A process that did not come by `enter_commit` would work in a user's folder: a `MachineError`.
    """
    folder = Path.cwd()
    if os.environ.get(CLONE) != str(folder):
        raise MachineError(
            f"{folder}: expected the clone of one commit, which {CLONE} names. Start this flow by "
            "`python -m pipelines nightly`, or by a deployment; `make deploy` updates those."
        )
    try:  # an exit handler would not do: after SIGTERM, Prefect's engine ends without them
        yield git("rev-parse", "HEAD")
    finally:
        os.chdir("/")
        shutil.rmtree(folder, ignore_errors=True)


def _require_same_packages(commit: str, folder: Path, root: Path) -> None:
    lock = installed_lock()
    mark = Path(sys.prefix) / f"installed-{lock}"  # a copy of the lock, made by `make environment`
    has_copy = mark.exists() and mark.stat().st_size > 0
    wanted, installed = folder / lock, mark if has_copy else root / lock
    if len({path.read_bytes() for path in (wanted, installed) if path.exists()}) > 1:
        raise MachineError(
            f"commit {commit[:12]} has another {lock} than was installed in {sys.prefix}. Run "
            f"`git pull && make environment LOCK={lock}` in {root}, or build the image again; then "
            "start the worker again."
        )
