"""The flows of a project's own folder: DVC's stages, or some of them."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from pipelines.dvc.graph import Graph
from pipelines.dvc.stage import Options
from pipelines.execution.concurrency import Jobs
from pipelines.execution.runner import run_graph, state_of

STUDIES = "studies/dvc.yaml"
"""The graph of the studies, which depends on that of the pipeline."""

FIRST = ("code", "check")
"""Stages that every other stage depends on; they take seconds."""


@flow(name="prepare-data")
def prepare_data(force: bool = False) -> State[Any]:
    """Digest the code, check the parameters, then get the data, normalize and validate them.

    Args:
        force: Run the stages even if nothing has changed.

    Returns:
        Completed, or failed with the error.
    """
    return state_of(lambda: run_graph(_preparation, 1, Options(force=force)))


@flow(name="train-architecture", flow_run_name="train-{name}")
def train_architecture(name: str, force: bool = False) -> State[Any]:
    """Train and evaluate one network; the data must have been prepared.

    Runs the stages of `FIRST` too: both stages of the network depend on them.

    Args:
        name: An entry of ``architectures`` in ``params.yaml``.
        force: Run the stages even if nothing has changed.

    Returns:
        Completed, or failed with the error.
    """
    return state_of(lambda: run_graph(lambda graph: _network(graph, name), 1, Options(force=force)))


@flow(name="plot-results")
def plot_results(force: bool = False) -> State[Any]:
    """Draw all figures; all networks must have been trained and evaluated.

    Runs the stages of `FIRST` too.

    Args:
        force: Run the stages even if nothing has changed.

    Returns:
        Completed, or failed with the error.
    """
    return state_of(
        lambda: run_graph(lambda graph: graph.groups(*FIRST, "plot"), 1, Options(force=force))
    )


@flow(name="pipeline")
def pipeline(jobs: Jobs | None = None, force: bool = False) -> State[Any]:
    """Run the whole graph.

    Args:
        jobs: Stages at once; by default as many as fill the cores.
        force: Run the stages even if nothing has changed.

    Returns:
        Completed, or failed with the error.
    """
    return state_of(lambda: run_graph(lambda graph: graph, jobs, Options(force=force)))


@flow(name="studies")
def studies(jobs: Jobs | None = None, force: bool = False) -> State[Any]:
    """Run the studies, and of the pipeline what they depend on and what has changed.

    A missing model of a further seed, as in a fresh clone, is not trained again: git keeps its
    answers. See `missing.Models`.

    Args:
        jobs: Stages at once; by default as many as fill the cores.
        force: Run the stages even if nothing has changed.

    Returns:
        Completed, or failed with the error.
    """
    options = Options(force=force)
    return state_of(lambda: run_graph(lambda graph: graph, jobs, options, STUDIES))


def _preparation(graph: Graph) -> Graph:
    return graph.groups(*FIRST, "download", "normalize", "validate")


def _network(graph: Graph, name: str) -> Graph:
    wanted = graph.key(name).stages
    return graph.select(lambda stage: stage.name in wanted or stage.group in FIRST)
