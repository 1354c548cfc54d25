"""The flows: DVC's stages, each as soon as what it depends on is done, as many at once as fit."""

import os
from collections import Counter, deque
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.states import Completed, Failed
from pydantic import Field

from convdepth.errors import ConvdepthError
from convdepth.params import read_params
from pipelines.artifacts import Progress, publish_figures, publish_metrics
from pipelines.graph import Graph, read_graph
from pipelines.processes import Processes
from pipelines.stages import Outcome, task_for

Jobs = Annotated[int, Field(ge=1)]
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


@flow(name="prepare-data")
def prepare_data(force: bool = False) -> State[Any]:
    """Get the data, normalize them, and check them by rules.

    Args:
        force: Run the stages even if nothing has changed.

    Returns:
        Completed, or failed with the error.
    """
    return _run(lambda graph: graph.groups("download", "normalize", "validate"), 1, force=force)


@flow(name="train-architecture", flow_run_name="train-{name}")
def train_architecture(name: str, force: bool = False) -> State[Any]:
    """Train and evaluate one network; the data must have been prepared.

    Args:
        name: An entry of ``architectures`` in ``params.yaml``.
        force: Run the stages even if nothing has changed.

    Returns:
        Completed, or failed with the error.
    """
    return _run(lambda graph: graph.key(name), 1, force=force)


@flow(name="plot-results")
def plot_results(force: bool = False) -> State[Any]:
    """Draw all figures; all networks must have been trained and evaluated.

    Args:
        force: Run the stage even if nothing has changed.

    Returns:
        Completed, or failed with the error.
    """
    return _run(lambda graph: graph.groups("plot"), 1, force=force)


@flow(name="pipeline")
def pipeline(jobs: Jobs | None = None, force: bool = False) -> State[Any]:
    """Run the whole graph.

    Args:
        jobs: Stages at once; by default as many as there are cores for their threads.
        force: Run the stages even if nothing has changed.

    Returns:
        Completed, or failed with the error.
    """
    return _run(lambda graph: graph, jobs, force=force)


def default_jobs() -> int:
    """Count the trainings that fit on this machine's cores side by side.

    Returns:
        Cores over ``train.threads``, at least 1.

    Raises:
        ParameterError: ``params.yaml`` is wrong.
    """
    return max(1, len(os.sched_getaffinity(0)) // read_params().train.threads)


def run_stages(graph: Graph, jobs: int, *, force: bool) -> Results:
    """Run the stages of a graph, each as soon as those that it depends on are done.

    After a failure, only what depends on the failed stage is not run.

    Args:
        graph: The stages.
        jobs: How many may run at once.
        force: Run them even if nothing has changed.

    Returns:
        The outcome of each stage that was started, or its error.
    """
    sorter = graph.sorter()
    ready = deque(sorter.get_ready())
    running: dict[PrefectFuture[Any], str] = {}
    finished: SimpleQueue[PrefectFuture[Any]] = SimpleQueue()
    results: dict[str, Outcome | Exception] = {}
    progress = Progress(len(graph.stages))
    with Processes() as processes:
        while ready or running:
            # Nothing is queued in Prefect: what it holds would still start after a cancel.
            while ready and len(running) < jobs:
                stage = ready.popleft()
                future = task_for(stage).submit(stage, processes, force=force)
                running[future] = stage
                future.add_done_callback(finished.put)
            progress.update(len(results))
            ended = finished.get()
            stage = running.pop(ended)
            results[stage] = ended.result(raise_on_failure=False)
            if isinstance(results[stage], Outcome):
                sorter.done(stage)
                ready.extend(sorter.get_ready())
    progress.update(len(results))
    return results


def _run(select: Callable[[Graph], Graph], jobs: int | None, *, force: bool) -> State[Any]:
    try:
        graph = select(read_graph())
        results = run_stages(graph, jobs or default_jobs(), force=force)
        _publish(graph, results)
        return Completed(message=_summary(graph, results))
    except ConvdepthError as error:
        # Returned and not raised, so that the log shows the message and no traceback.
        return Failed(message=str(error), data=error)


def _publish(graph: Graph, results: Results) -> None:
    publish_metrics()
    drawn = [name for name, result in results.items() if result in (Outcome.RAN, Outcome.RESTORED)]
    for name in drawn:
        publish_figures(graph.stages[name].outs)


def _summary(graph: Graph, results: Results) -> str:
    """Say how many stages ran.

    Raises:
        FlowError: Not all were done.
    """
    failures = {name: error for name, error in results.items() if isinstance(error, Exception)}
    if failures:
        raise FlowError(failures, [name for name in graph.stages if name not in results])
    counts = Counter(str(result) for result in results.values())
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
