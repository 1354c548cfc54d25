"""The flows of a project's own folder: all stages of DVC, or some of them."""

from prefect import flow

from convdepth.workspace.dvc import STUDIES
from pipelines.dvc.inputs import FIRST
from pipelines.dvc.stage import Options
from pipelines.execution.concurrency import Jobs
from pipelines.execution.runner import run_and_report, to_state

PREPARED = (*FIRST, "download", "normalize", "validate")  # the stages upstream of all trainings


@flow(name="prepare-data")
@to_state
def prepare_data(force: bool = False) -> str:
    """Digest the code, check the parameters; download, normalize and validate the data."""
    return run_and_report(Options(force, jobs=1, select=lambda graph: graph.groups(*PREPARED)))


@flow(name="train-architecture", flow_run_name="train-{name}")
@to_state
def train_architecture(name: str, force: bool = False) -> str:
    """Train and evaluate one network on data that were prepared before."""
    return run_and_report(Options(force, jobs=1, select=lambda graph: graph.key(name, *FIRST)))


@flow(name="plot-results")
@to_state
def plot_results(force: bool = False) -> str:
    """Draw all figures of networks that were trained and evaluated before."""
    return run_and_report(Options(force, jobs=1, select=lambda graph: graph.groups(*FIRST, "plot")))


@flow(name="pipeline")
@to_state
def pipeline(jobs: Jobs | None = None, force: bool = False) -> str:
    """Run the whole graph."""
    return run_and_report(Options(force, jobs=jobs))


@flow(name="studies")
@to_state
def studies(jobs: Jobs | None = None, force: bool = False) -> str:
    """Run the studies, and the changed stages of the pipeline that they depend on.

    The missing model of a further seed is not trained again, see `Models`.
    """
    return run_and_report(Options(force, jobs=jobs, file=STUDIES))
