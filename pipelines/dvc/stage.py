"""One DVC stage as a Prefect task: a child process, and what became of it."""

import logging
import os
import re
import sys
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
from pipelines.execution import attached
from pipelines.execution.process_tree import Processes, StoppedError

LAST_LINES = 12
"""How much of a failed stage's log its error shows."""

STAGE_LOG = "stage"
"""The child of Prefect's task logger that the lines of the stages go to."""

ADVICE = (
    "To track the changes with git, run:",
    "\tgit add ",
    "To enable auto staging, run:",
    "\tdvc config core.autostage true",
    "Use `dvc push` to send your updates to remote storage.",
    "Data and pipelines are up to date.",
)
"""What DVC says after each single stage, and what would drown the rest here."""

RETRY_DELAYS = {"download": [2.0, 4.0]}
"""Seconds before each further attempt of a stage, where one can help.

They are short because a cancel waits for them; the stage itself tries each source several times.
"""

RETRIED_EXIT_CODES = (3, 4)
"""No source had the data, or the network or the disk failed; a wrong parameter stays wrong."""


class Outcome(StrEnum):
    """How a stage that did not fail came to its outputs."""

    RAN = "ran"
    RESTORED = "restored"
    """From DVC's cache of runs: it ran before with these inputs."""
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Options:
    """How stages are run.

    Attributes:
        force: Even if nothing has changed.
        pull: With what is missing here taken from the DVC remote.
        folder: The root of the project.
        variables: Environment variables beside those of this process.
        allow_missing: Skip a stage that has not changed, even if its files are missing here.
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
        stage: Its name.
        exit_code: That of its command, 128 + n if signal n ended it, 5 if another DVC process
            works on the same files, else what DVC itself exited with.
    """

    def __init__(self, stage: str, exit_code: int, log: Sequence[str]) -> None:
        last = "\n".join(f"  {line}" for line in log)
        super().__init__(f"{stage}: {_explain(exit_code)}. The last lines of its log:\n{last}")
        self.stage, self.exit_code = stage, exit_code


class StageStoppedError(ConvdepthError):
    """A stage was stopped, or not started, because the whole flow is being stopped."""

    exit_code = 143


def run_stage(
    stage: str, processes: Processes, log: Callable[[str], None], options: Options = DEFAULT
) -> Outcome:
    """Let DVC run one stage in a child process, if anything that it depends on has changed.

    Args:
        stage: Its name, as `dvc repro` takes it.
        processes: Starts the child, and can stop it.
        log: Is called with each line of output, the stage's name in front.
        options: How, and where.

    Returns:
        Whether it ran.

    Raises:
        StageError: It failed; the message has its name and the last lines of its log.
        StageStoppedError: `processes` were stopped before it had finished.
    """
    outcomes = {
        f"Running stage '{stage}':": Outcome.RAN,
        f"Stage '{stage}' is cached - skipping run, checking out outputs": Outcome.RESTORED,
    }
    seen: list[Outcome] = []

    def watch(line: str) -> None:
        if line in outcomes:
            seen.append(outcomes[line])
        log(f"{stage} | {line}")

    run_dvc(stage, _repro(stage, options), processes, watch, options)
    return seen[0] if seen else Outcome.UNCHANGED


def run_dvc(
    name: str,
    arguments: Sequence[str],
    processes: Processes,
    log: Callable[[str], None],
    options: Options = DEFAULT,
    unimportant: tuple[str, ...] = ADVICE,
) -> None:
    """Run DVC in a child process.

    Args:
        name: What it works on, for the errors.
        arguments: What stands behind ``dvc``.
        processes: Starts the child, and can stop it.
        log: Is called with each line of output.
        options: Where, and with which variables.
        unimportant: How lines begin that are left out.

    Raises:
        StageError: It failed; the message has the name and the last lines of output.
        StageStoppedError: `processes` were stopped before it had finished.
    """
    run_child(name, dvc_command(*arguments), processes, log, options, unimportant)


def run_child(
    name: str,
    command: Sequence[str],
    processes: Processes,
    log: Callable[[str], None],
    options: Options = DEFAULT,
    unimportant: tuple[str, ...] = (),
) -> None:
    """Run a command in a child process, and tell why it failed.

    Args:
        name: What it works on, for the errors.
        command: The program and its arguments.
        processes: Starts the child, and can stop it.
        log: Is called with each line of output.
        options: Where, and with which variables.
        unimportant: How lines begin that are left out.

    Raises:
        StageError: It failed; the message has the name and the last lines of output.
        StageStoppedError: `processes` were stopped before it had finished.
    """
    last: deque[str] = deque(maxlen=LAST_LINES)
    environment = stage_environment() | dict(options.variables)
    try:
        with processes.start(command, options.folder, environment) as process:
            for line in map(str.rstrip, process.stdout or ()):
                if line and not line.startswith(unimportant):
                    last.append(line)
                    log(line)
    except StoppedError:
        raise StageStoppedError(f"{name}: not started") from None
    if process.returncode and processes.stopped:
        raise StageStoppedError(f"{name}: stopped")
    if process.returncode:
        raise StageError(name, _exit_code(process.returncode, last), last)


def dvc_command(*arguments: str) -> list[str]:
    """Give the command that runs DVC as a child, which ends in good order and with this process.

    Args:
        arguments: What stands behind ``dvc``.
    """
    # -P keeps the modules beside that file from standing in for others of the same name.
    return [sys.executable, "-P", attached.__file__, *arguments]


def stage_environment() -> dict[str, str]:
    """Give the environment variables of a child that runs stages."""
    # The stages' commands are found also where the environment is not activated, and their lines
    # come when they are printed.
    scripts = str(Path(sys.executable).parent)
    path = os.pathsep.join([scripts, os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}


def _repro(stage: str, options: Options) -> list[str]:
    flags = {
        "--force": options.force,
        "--pull": options.pull,
        "--allow-missing": options.allow_missing,
    }
    given = [flag for flag, is_given in flags.items() if is_given]
    # Without the wait, a finished training is thrown away when another DVC process happens to
    # hold the lock. Without --single-item, the stages before it would be walked, and be "busy".
    return ["--wait-for-lock", "repro", "--single-item", *given, stage]


def _exit_code(dvc: int, log: Sequence[str]) -> int:
    """Find the exit code behind DVC's, which is 255 for nearly everything."""
    text = "\n".join(log)
    if exited := re.findall(r"exited with (-?\d+)$", text, re.MULTILINE):
        code = int(exited[-1])
    elif re.search(r"is busy, it is being blocked by|Unable to acquire lock", text):
        code = 5
    else:
        code = dvc
    return 128 - code if code < 0 else code


def _explain(exit_code: int) -> str:
    if exit_code == 128 + 9:
        return "killed by signal 9, often out of memory; try a smaller batch_size or fewer jobs"
    if 128 < exit_code < 128 + 65:
        return f"ended by signal {exit_code - 128}"
    return f"failed with exit code {exit_code}"


@task(name="stage", task_run_name="{stage}", cache_policy=NO_CACHE, persist_result=False)
def stage_task(stage: str, processes: Processes, options: Options) -> State[Outcome]:
    """Run one stage; the state's name in Prefect says whether it ran.

    Args:
        stage: Its name, as `dvc repro` takes it.
        processes: Starts the child, and can stop it.
        options: How, and where.

    Returns:
        A completed state with the outcome.

    Raises:
        StageError: It failed.
        StageStoppedError: The flow is being stopped.
    """
    # Prefect's adapter has the methods of a logger, and says less of itself.
    logger = cast(logging.Logger, get_run_logger()).getChild(STAGE_LOG)
    outcome = run_stage(stage, processes, logger.info, options)
    return Completed(name=outcome.capitalize(), data=outcome)


def task_for(stage: str) -> Task[..., State[Outcome]]:
    """Give the task for a stage: with retries where they can help.

    Args:
        stage: Its name.
    """
    delays = RETRY_DELAYS.get(stage, [])
    return stage_task.with_options(
        retries=len(delays), retry_delay_seconds=delays, retry_condition_fn=_can_help
    )


def _can_help(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    return isinstance(state.data, StageError) and state.data.exit_code in RETRIED_EXIT_CODES
