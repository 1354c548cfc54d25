"""Run the stages of a graph as Prefect's tasks: each as soon as what it depends on is done."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from dvc.dvcfile import PROJECT_FILE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.states import Completed, Failed

from convdepth.config.params import read_params
from convdepth.core.errors import ConvdepthError
from pipelines.dvc.graph import Graph, read_graph
from pipelines.dvc.lockfile import mend_locks, order_lock
from pipelines.dvc.missing_models import Models
from pipelines.dvc.stage import Options, Outcome, task_for
from pipelines.execution.attached import when_parent_ends
from pipelines.execution.concurrency import Width, choose_width
from pipelines.execution.process_tree import Processes
from pipelines.execution.rounds import Queue
from pipelines.reporting.artifacts import Progress, publish_figures, publish_metrics

QUICK = frozenset({"evaluate", "evaluate_seed", "evaluate_tuned", "replicates"})
"""Groups of stages that take seconds, whatever their network."""

Results = Mapping[str, Outcome | Exception]
"""What became of each stage that was started, in the order in which they ended."""


class FlowError(ConvdepthError):
    """Stages failed; the exit code is that of the first one."""

    def __init__(self, failures: Mapping[str, Exception], not_run: list[str]) -> None:
        lines = [str(failure) for failure in failures.values()]
        if not_run:
            lines.append(f"Not run because of this: {', '.join(not_run)}.")
        super().__init__("\n".join(lines))
        self.exit_code = getattr(next(iter(failures.values())), "exit_code", 1)


def state_of(work: Callable[[], str]) -> State[Any]:
    """Do the work of a flow, and give the state that tells how it ended.

    Args:
        work: Gives a summary.

    Returns:
        Completed with the summary, or failed with the error: returned and not raised, so that
        the log shows its message and no traceback.
    """
    if "PREFECT__FLOW_RUN_ID" in os.environ:
        # Started by a worker. Were that killed, nobody could cancel this run any more.
        when_parent_ends(lambda: os.kill(os.getpid(), signal.SIGTERM))
    try:
        return Completed(message=work())
    except ConvdepthError as error:
        return Failed(message=str(error), data=error)


def run_graph(
    select: Callable[[Graph], Graph], jobs: int | None, options: Options, file: str = PROJECT_FILE
) -> str:
    """Run stages of the project in a folder, and show in Prefect what came out.

    Args:
        select: Chooses from the whole graph.
        jobs: How many may run at once; by default as many as fill the cores.
        options: How, and where.
        file: The ``dvc.yaml`` whose graph it is, see `read_graph`.

    Returns:
        How many stages ran, were restored, or were unchanged.

    Raises:
        FlowError: Stages failed; all that do not depend on them were run.
        ParameterError: DVC finds no project in the folder, or a parameter is wrong.
    """
    mend_locks(options.folder)
    graph = select(read_graph(options.folder, file))
    results = run_stages(graph, choose_width(jobs, options.folder), options)
    if _written(results):
        order_lock(options.folder)
    _publish(graph, results, options.folder)
    return summarize(results, graph.stages)


def stage_costs(graph: Graph, folder: Path = Path()) -> dict[str, int]:
    """Estimate the relative duration of each stage by the arithmetic of its network.

    Args:
        graph: The stages.
        folder: The root of the project.

    Returns:
        For each stage, the operations of its network for one image; 0 for a stage without a
        network and for those of `QUICK`.

    Raises:
        ParameterError: ``params.yaml`` is wrong.
    """
    architectures = read_params(folder / "params.yaml").architectures
    flop = {name: architecture.flop for name, architecture in architectures.items()}
    return {
        name: 0 if stage.group in QUICK else flop.get(_network(stage.key, flop), 0)
        for name, stage in graph.stages.items()
    }


def _network(key: str, networks: Container[str]) -> str:
    """Return the network of a key, which a seed may follow: ``cnn1`` for ``cnn1-2``."""
    return key if key in networks else key.rpartition("-")[0]


def run_stages(graph: Graph, width: Width, options: Options) -> Results:
    """Run the stages of a graph, each as soon as those that it depends on are done.

    After a failure, only what depends on the failed stage is not run.

    Args:
        graph: The stages.
        width: How many may run at once.
        options: How, and where.

    Returns:
        The outcome of each stage that was started, or its error.
    """
    sorter = graph.sorter()
    costs = stage_costs(graph, options.folder)
    queue = Queue(width, costs)

    def add_ready() -> None:
        # The longest one first, so that it does not run alone at the end.
        queue.add(sorted(sorter.get_ready(), key=lambda stage: -costs[stage]))

    def take_note(stage: str, result: Any) -> None:
        if isinstance(result, Outcome):
            sorter.done(stage)
            add_ready()

    models = Models(graph, options.folder)
    futures: dict[str, PrefectFuture[Any]] = {}

    def submit(stage: str) -> PrefectFuture[Any]:
        # All of these are done. It is for Prefect's page, which shows what depends on what.
        before = [futures[name] for name in sorted(graph.stages[stage].upstream)]
        allow_missing = not options.force and models.may_be_missing(stage)
        given = replace(options, allow_missing=allow_missing)
        futures[stage] = task_for(stage).submit(stage, processes, given, wait_for=before)
        return futures[stage]

    add_ready()
    with Processes() as processes:
        return run_tasks(queue, len(graph.stages), submit, take_note)


def run_tasks(
    queue: Queue,
    total: int,
    submit: Callable[[str], PrefectFuture[Any]],
    take_note: Callable[[str, Any], None] = lambda _name, _result: None,
) -> dict[str, Any]:
    """Run tasks by name, some at once, and show the progress in Prefect.

    Args:
        queue: Those that can start now.
        total: How many there will be.
        submit: Starts a task.
        take_note: Gets a task's name and result, and may add to the queue what can start now.

    Returns:
        The result of each task that was started, or its error, in the order in which they ended.
    """
    running: dict[PrefectFuture[Any], str] = {}
    finished: SimpleQueue[PrefectFuture[Any]] = SimpleQueue()
    results: dict[str, Any] = {}
    progress = Progress(total)
    # Nothing is queued in Prefect: what it holds would still start after a cancel.
    while (starting := queue.start()) or running:
        for name in starting:
            future = submit(name)
            running[future] = name
            future.add_done_callback(finished.put)
        progress.update(len(results))
        ended = finished.get()
        name = running.pop(ended)
        result = results[name] = ended.result(raise_on_failure=False)
        queue.end(name, was_work=result not in (Outcome.RESTORED, Outcome.UNCHANGED))
        take_note(name, result)
    progress.update(len(results))
    return results


def _publish(graph: Graph, results: Results, folder: Path) -> None:
    publish_metrics(folder)
    for name in _written(results):
        publish_figures(graph.stages[name].outs)


def _written(results: Results) -> list[str]:
    """Return the stages whose outputs are new."""
    return [name for name, each in results.items() if each in (Outcome.RAN, Outcome.RESTORED)]


def summarize(results: Mapping[str, Any], wanted: Iterable[str]) -> str:
    """Say what became of tasks.

    Args:
        results: Of each task that was started, its outcome or its error.
        wanted: All that there were to run.

    Returns:
        How many came to each outcome.

    Raises:
        FlowError: Not all were done.
    """
    failures = {name: error for name, error in results.items() if isinstance(error, Exception)}
    if failures:
        raise FlowError(failures, [name for name in wanted if name not in results])
    counts = Counter(map(str, results.values()))
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
