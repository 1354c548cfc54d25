"""The flows of a project's own folder: all stages of DVC, or some of them.

Each returns a state: completed with a summary, or failed with the error.
"""

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
    """Digest the code, check the parameters; download, normalize and validate the data."""
    return state_of(lambda: run_graph(Options(force=force), jobs=1, select=preparation))


@flow(name="train-architecture", flow_run_name="train-{name}")
def train_architecture(name: str, force: bool = False) -> State[Any]:
    """Train and evaluate one network on data that were prepared before.

    Args:
        name: An entry of ``architectures`` in ``params.yaml``.
        force: Run the stages even if nothing has changed.
    """
    return state_of(
        lambda: run_graph(Options(force=force), jobs=1, select=lambda graph: network(graph, name))
    )


@flow(name="plot-results")
def plot_results(force: bool = False) -> State[Any]:
    """Draw all figures of networks that were trained and evaluated before."""
    return state_of(
        lambda: run_graph(
            Options(force=force), jobs=1, select=lambda graph: graph.groups(*FIRST, "plot")
        )
    )


@flow(name="pipeline")
def pipeline(jobs: Jobs | None = None, force: bool = False) -> State[Any]:
    """Run the whole graph.

    Args:
        jobs: Stages at once, see `choose_jobs`.
        force: Run the stages even if nothing has changed.
    """
    return state_of(lambda: run_graph(Options(force=force), jobs))


@flow(name="studies")
def studies(jobs: Jobs | None = None, force: bool = False) -> State[Any]:
    """Run the studies, and the changed stages of the pipeline that they depend on.

    The missing model of a further seed is not trained again, see `missing_models`.

    Args:
        jobs: Stages at once, see `choose_jobs`.
        force: Run the stages even if nothing has changed.
    """
    return state_of(lambda: run_graph(Options(force=force), jobs, file=STUDIES))


def preparation(graph: Graph) -> Graph:
    """Keep the stages before any training."""
    return graph.groups(*FIRST, "download", "normalize", "validate")


def network(graph: Graph, name: str) -> Graph:
    """Keep the stages of one network, and `FIRST`."""
    wanted = graph.key(name).stages
    return graph.select(lambda stage: stage.name in wanted or stage.group in FIRST)
