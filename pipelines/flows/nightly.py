"""The scheduled run: the newest commit, in a place of its own, judged, and published if wanted."""

import datetime
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger

from convdepth.config.params import read_params
from convdepth.core.errors import ParameterError
from pipelines.checkout.clone import Place, place_of, require_gpu_here
from pipelines.checkout.git import newest_commit
from pipelines.checkout.publish import publish as publish_results
from pipelines.checkout.publish import require_publishing
from pipelines.execution.concurrency import Jobs
from pipelines.execution.runner import run_graph, state_of
from pipelines.reporting.artifacts import best_effort
from pipelines.reporting.regressions import (
    Change,
    RegressionError,
    compare,
    delta_lines,
    find_regressions,
    read_metrics,
    regressions_table,
)


@flow(name="nightly")
def nightly(
    force: bool = False, publish: bool = False, require_gpu: bool = False, jobs: Jobs | None = None
) -> State[Any]:
    """Run what has changed in the newest commit, and say whether anything got worse.

    It takes the newest commit of the upstream branch, and runs it in a clone of its own that
    shares DVC's cache: the folder in which the worker was started stays as it is. Results of
    other machines come from the DVC remote, if there is one, and the new ones go there.

    Args:
        force: Run all stages even if nothing has changed.
        publish: Push changed results as a branch ``results/<date>``.
        require_gpu: Stop at once where TensorFlow has no GPU to train on.
        jobs: Stages at once; by default as many as fill the cores.

    Returns:
        Completed; or failed with the error, also where metrics became worse by more than
        ``tolerances`` in ``params.yaml`` allows.
    """
    return state_of(lambda: _run(force, publish, require_gpu, jobs))


def _run(force: bool, publish: bool, require_gpu: bool, jobs: int | None) -> str:
    root = Path.cwd()
    log = get_run_logger().info
    if require_gpu:
        log(require_gpu_here())
    if publish:
        require_publishing(root)
    commit = newest_commit(root)
    log("commit %s of %s", commit.sha, commit.source)
    with place_of(commit.sha, root, require_gpu=require_gpu) as place:
        summary = place.run(lambda options: run_graph(lambda graph: graph, jobs, options), force)
        changes = _changes(place)
        lines = [summary]
        if publish:
            lines.append(_publish(place, commit.sha, changes))
        _judge(changes)
    return "; ".join(lines)


def _changes(place: Place) -> list[Change]:
    """Compare the metrics of the place with those of its commit.

    Raises:
        ParameterError: There is a tolerance for a metric that nothing has, so it guards nothing.
    """
    params = read_params(place.folder / "params.yaml")
    before, after = (
        {name: values for name, values in metrics.items() if name in params.architectures}
        for metrics in (read_metrics(place.folder, place.commit), read_metrics(place.folder))
    )
    changes = compare(before, after, params.tolerances)
    if unknown := params.tolerances.keys() - {change.metric for change in changes}:
        raise ParameterError(
            f"params.yaml: tolerances.{min(unknown)}: no network has this metric; `dvc metrics "
            "show` lists those that there are"
        )
    return changes


def _publish(place: Place, commit: str, changes: list[Change]) -> str:
    message = f"Results of {commit[:12]}\n\n{delta_lines(changes)}\n"
    branch = publish_results(place.folder, datetime.datetime.now().astimezone().date(), message)
    return f"published as {branch}" if branch else "nothing to publish: as in the commit"


def _judge(changes: list[Change]) -> None:
    if regressions := find_regressions(changes):
        with best_effort("regressions"):
            table = regressions_table(regressions)
            create_markdown_artifact(table, key="regressions", description="what got worse")
        raise RegressionError(regressions)
