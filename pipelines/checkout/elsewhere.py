"""Run the project away from the user's folder, and share what comes out with other machines."""

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from prefect.logging import get_run_logger

from convdepth.core.errors import MachineError
from convdepth.integrity.check_environment import installed_lock
from pipelines.checkout.clone import place
from pipelines.dvc.remote import fetch_results, push_results
from pipelines.dvc.stage import Options
from pipelines.execution.process_tree import stage_environment
from pipelines.execution.runner import FlowError


@dataclass(frozen=True)
class Place:
    """A clone at a commit, in which stages can run.

    Attributes:
        folder: Its root.
        commit: The full name of the commit.
        variables: Environment variables of what runs in it.
    """

    folder: Path
    commit: str
    variables: Mapping[str, str]

    def run(self, work: Callable[[Options], str], force: bool) -> str:
        """Run stages with the results of other machines at hand; then give them the new ones.

        Args:
            work: Runs stages with the options that it is given, and says what it did.
            force: Run them even if nothing has changed.

        Returns:
            What ``work`` said.

        Raises:
            FlowError: Stages failed. The results of the others are shared all the same.
            MachineError: The results cannot be shared; they are kept in DVC's cache.
        """
        log = get_run_logger().info
        pull = fetch_results(self.folder, log)
        options = Options(force, pull, self.folder, self.variables)
        try:
            summary = work(options)
        except FlowError:
            push_results(self.folder, log)
            raise
        push_results(self.folder, log)
        return summary


@contextlib.contextmanager
def place_of(commit: str, root: Path, *, require_gpu: bool) -> Iterator[Place]:
    """Make a place for a commit, whose packages must be those that are installed.

    Args:
        commit: The full name of a commit that the repository has.
        root: The root of the user's repository.
        require_gpu: Whether trainings in it need a GPU.

    Yields:
        The place. It is removed at the end.

    Raises:
        MachineError: The commit wants other packages, or a clone cannot be made.
    """
    with place(commit, root) as folder:
        _require_packages(folder, root)
        yield Place(folder, commit, {"CONVDEPTH_DEVICE": "gpu"} if require_gpu else {})


def require_gpu_here() -> str:
    """Check that TensorFlow has a GPU to train on, in a process of its own.

    Returns:
        What there is.

    Raises:
        MachineError: There is none; the message has what was found.
    """
    command = [str(Path(sys.executable).with_name("convdepth")), "device", "--require-gpu"]
    ended = subprocess.run(
        command, env=stage_environment(), capture_output=True, text=True, check=False
    )
    if ended.returncode:
        words = ended.stderr.strip().removeprefix("error: ")
        raise MachineError(f"{words} This run has require_gpu set.")
    return ended.stdout.strip()


def _require_packages(folder: Path, root: Path) -> None:
    """Refuse to run code with other packages than those that it was locked with."""
    lock = installed_lock()
    wanted, installed = (each / lock for each in (folder, root))
    if wanted.exists() and installed.exists() and wanted.read_bytes() != installed.read_bytes():
        raise MachineError(
            f"the commit has another {lock} than {root}, from which the packages here were "
            f"installed. `git pull && make environment LOCK={lock}` there, then start the worker "
            "again."
        )
