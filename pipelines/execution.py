"""Run the stages of a graph as Prefect's tasks: each as soon as what it depends on is done."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Annotated, Any

import psutil
from dvc.dvcfile import PROJECT_FILE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.states import Completed, Failed
from pydantic import Field

from convdepth.errors import ConvdepthError
from convdepth.params import read_params
from pipelines.artifacts import Progress, publish_figures, publish_metrics
from pipelines.attached import when_parent_ends
from pipelines.graph import Graph, read_graph
from pipelines.processes import Processes
from pipelines.rounds import Queue, Width
from pipelines.stages import Options, Outcome, task_for
from pipelines.workspace import locked_stages, mend_locks, order_lock

Jobs = Annotated[int, Field(ge=1)]

TRAINING_BYTES = 1_200_000_000
"""The memory of one training; ``benchmarks/training_speed.py`` measures 1.05 GB at most."""

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
    select: Callable[[Graph], Graph],
    jobs: int | None,
    options: Options,
    file: str = PROJECT_FILE,
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
    whole = read_graph(options.folder, file)
    before = locked_stages(options.folder)
    graph = select(whole)
    results = run_stages(graph, choose_width(jobs, options.folder), options)
    order_lock(whole.stages, before, options.folder)
    _publish(graph, results, options.folder)
    return summarize(results, graph.stages)


def choose_width(jobs: int | None, folder: Path = Path()) -> Width:
    """Choose how many trainings run side by side.

    Args:
        jobs: What the user wants, which is never exceeded; by default cores over ``train.threads``,
            and in the last rounds as many as the memory that is free now is enough for.
        folder: The root of the project.

    Returns:
        The numbers, at least 1.

    Raises:
        ParameterError: ``params.yaml`` is wrong.
    """
    if jobs:
        return Width(jobs, jobs)
    threads = read_params(folder / "params.yaml").train.threads
    jobs = max(1, len(os.sched_getaffinity(0)) // threads)
    fitting = psutil.virtual_memory().available // TRAINING_BYTES
    return Width(jobs, max(jobs, fitting))


def stage_costs(graph: Graph, folder: Path = Path()) -> dict[str, int]:
    """Estimate how long each stage takes beside the others: by the arithmetic of its network.

    Args:
        graph: The stages.
        folder: The root of the project.

    Returns:
        For each stage, the operations that its network takes for one image; 0 without a network.

    Raises:
        ParameterError: ``params.yaml`` is wrong.
    """
    architectures = read_params(folder / "params.yaml").architectures
    flop = {name: architecture.flop for name, architecture in architectures.items()}
    return {name: flop.get(name.partition("@")[2], 0) for name in graph.stages}


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

    def ready() -> Sequence[str]:
        # The longest one first, so that it does not run alone at the end.
        return sorted(sorter.get_ready(), key=lambda stage: -costs[stage])

    def following(stage: str, result: Any) -> Sequence[str]:
        if not isinstance(result, Outcome):
            return ()
        sorter.done(stage)
        return ready()

    futures: dict[str, PrefectFuture[Any]] = {}

    def submit(stage: str) -> PrefectFuture[Any]:
        # All of these are done. It is for Prefect's page, which shows what depends on what.
        before = [futures[name] for name in sorted(graph.stages[stage].upstream)]
        futures[stage] = task_for(stage).submit(stage, processes, options, wait_for=before)
        return futures[stage]

    with Processes() as processes:
        return run_tasks(ready(), len(graph.stages), width, submit, following)


def run_tasks(
    ready: Sequence[str],
    total: int,
    width: Width,
    submit: Callable[[str], PrefectFuture[Any]],
    following: Callable[[str, Any], Sequence[str]] = lambda _name, _result: (),
) -> dict[str, Any]:
    """Run tasks by name, some at once, and show the progress in Prefect.

    Args:
        ready: Those that can start now, the longest first.
        total: How many there will be.
        width: How many may run at once.
        submit: Starts a task.
        following: Tells from a task's name and result which ones can start now.

    Returns:
        The result of each task that was started, or its error, in the order in which they ended.
    """
    queue = Queue(width)
    queue.add(ready)
    running: dict[PrefectFuture[Any], str] = {}
    finished: SimpleQueue[PrefectFuture[Any]] = SimpleQueue()
    results: dict[str, Any] = {}
    progress = Progress(total)
    # Nothing is queued in Prefect: what it holds would still start after a cancel.
    while (starting := queue.start(len(running))) or running:
        for name in starting:
            future = submit(name)
            running[future] = name
            future.add_done_callback(finished.put)
        progress.update(len(results))
        ended = finished.get()
        name = running.pop(ended)
        results[name] = ended.result(raise_on_failure=False)
        queue.add(following(name, results[name]))
    progress.update(len(results))
    return results


def _publish(graph: Graph, results: Results, folder: Path) -> None:
    publish_metrics(folder)
    drawn = [name for name, result in results.items() if result in (Outcome.RAN, Outcome.RESTORED)]
    for name in drawn:
        publish_figures(graph.stages[name].outs)


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
