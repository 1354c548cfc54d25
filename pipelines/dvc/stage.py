"""One DVC stage as a Prefect task: a child process, and how it ended."""

import logging
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.logging import get_run_logger
from prefect.states import Completed

from convdepth.core.errors import ConvdepthError
from convdepth.workspace.dvc import without_credentials
from pipelines.core.process_tree import Processes, StoppedError, dvc_command, stage_environment

LAST_LINES = 12
"""Lines of a failed stage's log that its error shows."""

STAGE_LOG = "stage"
"""The child of Prefect's task logger for the lines of the stages."""

ADVICE = (
    "To track the changes with git, run:",
    "\tgit add ",
    "To enable auto staging, run:",
    "\tdvc config core.autostage true",
    "Use `dvc push` to send your updates to remote storage.",
    "Data and pipelines are up to date.",
)
"""What DVC says after each single stage."""

RETRIED_EXIT_CODES = (3, 4)
"""No source had the data, or the network or the disk failed."""


class Outcome(StrEnum):
    """How a stage that did not fail came to its outputs."""

    RAN = "ran"
    RESTORED = "restored"
    """From DVC's run cache."""
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Options:
    """How stages are run.

    Attributes:
        force: Run a stage even if nothing has changed.
        pull: Take missing files from the DVC remote.
        folder: The root of the project.
        variables: Additional environment variables.
        allow_missing: Skip an unchanged stage even if its files are missing.
    """

    force: bool = False
    pull: bool = False
    folder: Path = Path()
    variables: Mapping[str, str] = field(default_factory=dict)
    allow_missing: bool = False


DEFAULT = Options()


class StageError(ConvdepthError):
    """A stage failed.

    Attributes:
        exit_code: The exit code of the stage's command, 128 + n after signal n, 5 if another DVC
            process works on the same files; otherwise the exit code of DVC.
    """

    def __init__(self, name: str, exit_code: int, log: Sequence[str]) -> None:
        last = "\n".join(f"  {line}" for line in log)
        super().__init__(f"{name}: {_explain(exit_code)}. The last lines of its log:\n{last}")
        self.exit_code = exit_code


class StageStoppedError(ConvdepthError):
    """A stage was stopped, or not started, because the flow is being stopped."""

    exit_code = 143


def run_stage(
    stage: str, processes: Processes, log: Callable[[str], None], options: Options = DEFAULT
) -> Outcome:
    """Run one stage, if anything that it depends on has changed; see `run_child`."""
    outcomes = {
        f"Running stage '{stage}':": Outcome.RAN,
        f"Stage '{stage}' is cached - skipping run, checking out outputs": Outcome.RESTORED,
    }
    seen: list[Outcome] = []

    def watch(line: str) -> None:
        if line in outcomes:
            seen.append(outcomes[line])
        log(f"{stage} | {line}")

    given = {
        "--force": options.force,
        "--pull": options.pull,
        "--allow-missing": options.allow_missing,
    }
    flags = [flag for flag, is_given in given.items() if is_given]
    # With --single-item no upstream stage is visited, so none can be busy.
    command = dvc_command("repro", "--single-item", *flags, stage)
    run_child(stage, command, processes, watch, options)
    return seen[0] if seen else Outcome.UNCHANGED


def run_child(
    name: str,
    command: Sequence[str],
    processes: Processes,
    log: Callable[[str], None],
    options: Options = DEFAULT,
    unimportant: tuple[str, ...] = ADVICE,
) -> None:
    """Run a command, and raise an error with its last lines if it fails.

    Args:
        name: Begins the error messages.
        command: The program and its arguments.
        processes: Runs the child, and can stop it.
        log: Called with each line of output, without passwords in addresses.
        options: The folder and the environment variables.
        unimportant: Beginnings of lines that are left out.

    Raises:
        StageError: The command failed.
        StageStoppedError: ``processes`` were stopped before it had finished.
    """
    last: deque[str] = deque(maxlen=LAST_LINES)

    def show(line: str) -> None:
        if line and not line.startswith(unimportant):
            line = without_credentials(line)
            last.append(line)
            log(line)

    environment = stage_environment() | dict(options.variables)
    try:
        code = processes.run(command, options.folder, environment, show)
    except StoppedError:
        raise StageStoppedError(f"{name}: not started") from None
    if code and processes.stopped:
        raise StageStoppedError(f"{name}: stopped")
    if code:
        raise StageError(name, _exit_code(code, last), last)


def _exit_code(code: int, log: Sequence[str]) -> int:
    """Return the exit code behind DVC's, which is 255 for nearly everything."""
    text = "\n".join(log)
    if exited := re.findall(r"exited with (-?\d+)$", text, re.MULTILINE):
        code = int(exited[-1])
    elif re.search(r"is busy, it is being blocked by|Unable to acquire lock", text):
        code = 5
    return 128 - code if code < 0 else code


def _explain(exit_code: int) -> str:
    if exit_code == 128 + 9:
        return "killed by signal 9, often out of memory; try a smaller batch_size or fewer jobs"
    if 128 < exit_code < 128 + 65:
        return f"ended by signal {exit_code - 128}"
    return f"failed with exit code {exit_code}"


def line_logger() -> Callable[[str], None]:
    """Return the function that logs a line of a child in Prefect's run of this task."""
    # Prefect's adapter has the methods of a logger, and says less of itself.
    return cast(logging.Logger, get_run_logger()).getChild(STAGE_LOG).info


@task(name="stage", task_run_name="{stage}", cache_policy=NO_CACHE, persist_result=False)
def stage_task(stage: str, processes: Processes, options: Options) -> State[Outcome]:
    """Run one stage; the name of the state in Prefect is the outcome."""
    outcome = run_stage(stage, processes, line_logger(), options)
    return Completed(name=outcome.capitalize(), data=outcome)


def task_for(stage: str) -> Task[..., State[Outcome]]:
    """Return the task of a stage; the download is tried again if that can help."""
    if stage != "download":
        return stage_task
    # Short delays, since a cancel waits for them; the stage itself tries each source repeatedly.
    delays = [2.0, 4.0]
    return stage_task.with_options(
        retries=len(delays), retry_delay_seconds=delays, retry_condition_fn=_may_pass
    )


def _may_pass(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    return isinstance(state.data, StageError) and state.data.exit_code in RETRIED_EXIT_CODES
