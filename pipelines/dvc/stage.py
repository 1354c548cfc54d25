"""One DVC stage as a Prefect task: a child process, and how it ended."""

import logging
import os
import re
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import cast

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Cancelled, Completed

from convdepth.core.errors import ConvdepthError
from convdepth.workspace.dvc import GRAPH, without_credentials
from convdepth.workspace.process import PARENT_VARIABLE
from convdepth.workspace.process_tree import TIMED_OUT, Processes, StoppedError
from pipelines.core.dvc_child import dvc_command, stage_environment
from pipelines.dvc.graph import Graph

LAST_LINES = 12  # lines of a failed stage's log that its error shows
STAGE_LOG = "stage"  # the child of Prefect's task logger for the lines of the stages

ADVICE = (  # what DVC says after each single stage
    "To track the changes with git, run:",
    "\tgit add ",
    "To enable auto staging, run:",
    "\tdvc config core.autostage true",
    "Use `dvc push` to send your updates to remote storage.",
    "Data and pipelines are up to date.",
)
RETRIED_EXIT_CODES = (3, 4)  # no source had the data, or the network or the disk failed


class Outcome(StrEnum):
    """How a stage that did not fail came to its outputs."""

    RAN = "ran"
    RESTORED = "restored"  # from DVC's run cache
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Options:
    """How stages are run."""

    force: bool = False  # run a stage even if nothing has changed
    pull: bool = False  # take missing files from the DVC remote
    folder: Path = Path()  # the root of the project
    variables: Mapping[str, str] = field(default_factory=dict)  # additional environment variables
    seconds: float | None = None  # the longest run of a stage
    allow_missing: bool = False  # skip an unchanged stage even if its files are missing
    jobs: int | None = None  # stages at once, see `choose_jobs`
    select: Callable[[Graph], Graph] = lambda graph: graph  # returns the part of the graph to run
    file: Path = GRAPH  # whose graph it is, see `read_graph`


class StageError(ConvdepthError):
    """A stage failed.

    The exit code is that of the stage's command, 128 + n after signal n, 124 at the time limit, 5
    if another DVC process works on the same files; otherwise that of DVC.
    """

    def __init__(self, name: str, exit_code: int, log: Sequence[str]) -> None:
        if exit_code == TIMED_OUT:
            reason = "stopped at its time limit, the parameter `stage_hours` of the run"
        elif exit_code == 128 + 9:
            reason = "killed by signal 9, often out of memory; lower batch_size or the jobs at once"
        elif 128 < exit_code < 128 + 65:
            reason = f"ended by signal {exit_code - 128}"
        else:
            reason = f"failed with exit code {exit_code}"
        last = "\n".join(f"  {line}" for line in log)
        super().__init__(f"{name}: {reason}. The last lines of its log:\n{last}")
        self.exit_code = exit_code


def run_stage(
    stage: str, processes: Processes, options: Options, log: Callable[[str], None]
) -> Outcome:
    """Run one stage, if anything that it depends on has changed; see `run_child`."""
    outcomes = {
        f"Running stage '{stage}':": Outcome.RAN,
        f"Stage '{stage}' is cached - skipping run, checking out outputs": Outcome.RESTORED,
    }
    seen = [Outcome.UNCHANGED]

    def watch(line: str) -> None:
        if line in outcomes:
            seen.append(outcomes[line])
        log(f"{stage} | {line}")

    names = ("force", "pull", "allow_missing")
    flags = [f"--{name.replace('_', '-')}" for name in names if getattr(options, name)]
    # With --single-item no upstream stage is visited, so none can be busy.
    command = dvc_command("repro", "--single-item", *flags, stage)
    run_child(stage, command, processes, watch, options)
    return seen[-1]


def run_child(
    name: str,
    command: Sequence[str],
    processes: Processes,
    log: Callable[[str], None],
    options: Options,
    unimportant: tuple[str, ...] = ADVICE,
) -> None:
    """Run a command; log its lines, without passwords in addresses.

    Error messages begin with the name. Lines that begin with one of ``unimportant`` are left out.
    """
    last: deque[str] = deque(maxlen=LAST_LINES)

    def show(line: str) -> None:
        if line and not line.startswith(unimportant):
            line = ConvdepthError.printable(without_credentials(line))
            last.append(line)
            log(line)

    own = {PARENT_VARIABLE: str(os.getpid())}  # all commands are ours, and end with this process
    environment = stage_environment() | own | dict(options.variables)
    code = processes.run(command, options.folder, environment, show, options.seconds)
    if code and processes.stopped:
        raise StoppedError("stopped")
    if code:
        raise StageError(name, _exit_code(code, last), last)


def _exit_code(code: int, log: Sequence[str]) -> int:
    """Return the exit code behind DVC's, which is 255 for nearly everything."""
    if code == TIMED_OUT:
        return code
    text = "\n".join(log)
    if exited := re.findall(r"exited with (-?\d+)$", text, re.MULTILINE):
        code = int(exited[-1])
    elif re.search(r"is busy, it is being blocked by|Unable to acquire lock", text):
        code = 5
    return 128 - code if code < 0 else code


def show_stage_lines() -> None:
    """Print the lines of the stages in place of Prefect's messages on tasks and on the failure."""
    tasks = logging.getLogger("prefect.task_runs")
    tasks.propagate = False
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    tasks.getChild(STAGE_LOG).addHandler(handler)
    for console in logging.getLogger().handlers:
        console.addFilter(
            lambda record: not record.getMessage().startswith("Finished in state Failed")
        )


@task(name="work", task_run_name="{name}", cache_policy=NO_CACHE, persist_result=False)
def work_task(name: str, work: Callable[[Callable[[str], None]], str]) -> State[str]:  # noqa: ARG001 for Prefect's page
    """Do work that logs lines; the outcome that it returns names the state in Prefect."""
    try:
        # Prefect's adapter has the methods of a logger, and says less of itself.
        outcome = work(cast(logging.Logger, get_run_logger()).getChild(STAGE_LOG).info)
    except StoppedError as error:
        return Cancelled(name="Stopped", message=str(error), data=error)
    return Completed(name=outcome.capitalize(), data=outcome)


def task_for(stage: str) -> Task[..., State[str]]:
    """Return `work_task` for a stage; the download is tried again if that can help."""
    if stage != "download":
        return work_task
    return work_task.with_options(
        retries=2,
        # Short, since a cancel waits for them; the stage itself tries each source repeatedly.
        retry_delay_seconds=[2.0, 4.0],
        retry_condition_fn=lambda _task, _run, state: (
            getattr(state.data, "exit_code", 0) in RETRIED_EXIT_CODES
        ),
    )
