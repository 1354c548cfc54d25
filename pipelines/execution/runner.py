"""Run the tasks of a graph: a task starts when its dependencies are done and a slot is free."""

import functools
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from pathlib import Path
from queue import SimpleQueue
from typing import Any, ParamSpec

from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.states import Completed, Failed

from convdepth.config.params import read_params
from convdepth.core.errors import ConvdepthError, MachineError
from convdepth.workspace.git import git
from convdepth.workspace.process import end_with_parent
from convdepth.workspace.process_tree import Processes
from pipelines.dvc.graph import Graph, Models, read_graph
from pipelines.dvc.lockfile import mend_locks, order_lock
from pipelines.dvc.stage import Options, Outcome, run_stage, task_for
from pipelines.execution.concurrency import choose_jobs
from pipelines.reporting.artifacts import Progress
from pipelines.reporting.curves import publish_curves
from pipelines.reporting.report import reported

# Groups of stages that take seconds, whatever their network.
QUICK = frozenset({"digest", "evaluate", "evaluate_corrupted"})

Parameters = ParamSpec("Parameters")


class FlowError(ConvdepthError):
    """Tasks failed; the exit code is that of the first one."""

    def __init__(self, failures: Mapping[str, Exception], not_run: Sequence[str]) -> None:
        lines = [
            str(error) if name in str(error).partition(":")[0] else f"{name}: {error}"
            for name, error in failures.items()
        ]
        if not_run:
            lines.append(f"Not run because of this: {', '.join(not_run)}.")
        super().__init__("\n".join(lines))
        self.exit_code = getattr(next(iter(failures.values())), "exit_code", 1)


@dataclass(frozen=True)
class Results:
    """How the tasks of a run ended."""

    outcomes: Mapping[str, Any]  # what each started task has returned, or its error, as they ended
    seconds: Mapping[str, float]  # the duration of each of them
    not_run: Sequence[str]  # the tasks that depend on a failed one

    def summary(self, unshared: ConvdepthError | None = None) -> str:
        """Return how many tasks came to each outcome; a failed task is a `FlowError`.

        That tells last why the other results were not pushed, if they were not.
        """
        ended = self.outcomes.items()
        if failures := {name: each for name, each in ended if isinstance(each, Exception)}:
            failures |= {"dvc push": unshared} if unshared else {}
            raise FlowError(failures, self.not_run)
        counts = Counter(map(str, self.outcomes.values()))
        return ", ".join(f"{count} {outcome}" for outcome, count in counts.items())


def to_state(work: Callable[Parameters, str]) -> Callable[Parameters, State[Any]]:
    """Let a flow return its summary as a completed state, and its error as a failed one."""

    @functools.wraps(work)
    def run(*arguments: Parameters.args, **options: Parameters.kwargs) -> State[Any]:
        for name in ("prefect.flow_runs", "prefect.task_runs"):
            logging.getLogger(name).addFilter(_is_news)
        if "PREFECT__FLOW_RUN_ID" in os.environ:  # a worker started it; nobody else could cancel it
            end_with_parent()
        try:
            return Completed(message=work(*arguments, **options))
        except ConvdepthError as error:
            return Failed(message=str(error), data=error)

    return run


def _is_news(record: logging.LogRecord) -> bool:
    """Drop Prefect's traceback of an expected error, whose state has the message."""
    return not (record.exc_info and isinstance(record.exc_info[1], ConvdepthError))


def run_graph(options: Options) -> Results:
    """Run the selected stages of a graph."""
    mend_locks(options.folder)
    results = _run_stages(options.select(read_graph(options.folder, options.file)), options)
    if {Outcome.RAN, Outcome.RESTORED} & set(results.outcomes.values()):
        order_lock(options.folder)
    return results


def run_and_report(options: Options) -> str:
    """Do as `run_graph`, show the report in Prefect, and return the summary."""
    try:
        commit = git("rev-parse", "HEAD", folder=options.folder)
    except MachineError:  # no repository, or no commit yet
        commit = ""
    with reported(commit, options.folder) as report:
        results = run_graph(options)
        report.outcomes, report.seconds = results.outcomes, results.seconds
        return results.summary()


def stage_costs(graph: Graph, folder: Path = Path()) -> dict[str, int]:
    """Return the FLOP per image of each stage's network; 0 without one, and for `QUICK` stages."""
    networks = read_params(folder / "params.yaml").architectures
    costs = dict.fromkeys(graph.stages, 0)
    for name, stage in graph.stages.items():
        named = [part for part in stage.key.split("-") if part in networks]  # as in recipe-cnn1-2
        if named and stage.group not in QUICK:
            costs[name] = networks[named[0]].flop
    return costs


def _run_stages(graph: Graph, options: Options) -> Results:
    models = Models(graph, options.folder)
    futures: dict[str, PrefectFuture[Any]] = {}

    def submit(name: str) -> PrefectFuture[Any]:
        stage = graph.stages[name]
        allow_missing = not options.force and models.may_be_missing(name)

        def work(log: Callable[[str], None]) -> Outcome:
            given = replace(options, allow_missing=allow_missing)
            outcome = run_stage(name, processes, given, log)
            if outcome is not Outcome.UNCHANGED:
                publish_curves(stage.outs)
            return outcome

        # All of these are done. Prefect's page shows by them what depends on what.
        before = [futures[each] for each in sorted(stage.upstream)]
        futures[name] = task_for(name).submit(name, work, wait_for=before)
        return futures[name]

    jobs = choose_jobs(options.jobs, options.folder)
    upstream = {name: stage.upstream for name, stage in graph.stages.items()}
    with Processes() as processes:
        return run_tasks(stage_costs(graph, options.folder), jobs, submit, upstream)


def run_tasks(
    costs: Mapping[str, float],
    jobs: int,
    submit: Callable[[str], PrefectFuture[Any]],
    upstream: Mapping[str, Iterable[str]] | None = None,
) -> Results:
    """Run tasks, those with the highest costs first, and show the progress in Prefect.

    A task starts after the tasks in its entry of ``upstream``, by default none. After a failure,
    only the tasks that depend on the failed one are not run.
    """
    sorter = TopologicalSorter(upstream or dict.fromkeys(costs, ()))
    sorter.prepare()
    waiting: list[str] = []
    running: dict[PrefectFuture[Any], str] = {}
    finished: SimpleQueue[PrefectFuture[Any]] = SimpleQueue()
    results: dict[str, Any] = {}
    started, seconds = dict[str, float](), dict[str, float]()
    progress = Progress(len(costs))
    while True:
        waiting = sorted([*waiting, *sorter.get_ready()], key=lambda name: -costs[name])
        # Nothing is queued in Prefect: what it holds would still start after a cancel.
        while waiting and len(running) < jobs:
            name = waiting.pop(0)
            started[name] = time.monotonic()
            future = submit(name)
            running[future] = name
            future.add_done_callback(finished.put)
        progress.update(len(results))
        if not running:
            return Results(results, seconds, [name for name in costs if name not in results])
        ended = finished.get()
        name = running.pop(ended)
        results[name] = ended.result(raise_on_failure=False)
        seconds[name] = time.monotonic() - started[name]
        if not isinstance(results[name], Exception):
            sorter.done(name)
