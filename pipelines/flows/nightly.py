"""The scheduled run: check out the newest commit, run its graph, publish, judge."""

import datetime
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger

from pipelines.checkout.clone import Place, place_of, require_gpu_here
from pipelines.checkout.publish import publish as publish_results
from pipelines.checkout.publish import require_publishing
from pipelines.core.git import newest_commit
from pipelines.execution.concurrency import Jobs
from pipelines.execution.runner import run_graph, state_of
from pipelines.reporting.artifacts import publish_regressions
from pipelines.reporting.regressions import Change, RegressionError, changes_since, describe


@flow(name="nightly")
def nightly(
    force: bool = False, publish: bool = False, require_gpu: bool = False, jobs: Jobs | None = None
) -> State[Any]:
    """Run the changed stages of the newest commit, and fail if a metric became worse.

    The newest commit of the upstream branch runs in a clone of its own that shares DVC's cache;
    the worker's folder stays as it is. Results of other machines come from the DVC remote, if
    there is one, and the new results go there.

    Args:
        force: Run all stages even if nothing has changed.
        publish: Push changed results as a branch ``results/<date>``.
        require_gpu: Stop at once if TensorFlow has no GPU.
        jobs: Stages at once, see `choose_jobs`.

    Returns:
        Completed; or failed with the error, also if a metric became worse by more than
        ``tolerances`` in ``params.yaml``. Automations on the server send the alerts.
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
        summary = place.run(lambda options: run_graph(options, jobs), force)
        changes = changes_since(place.commit, place.folder)
        if publish:
            summary = f"{summary}; {_publish(place, changes)}"
    if regressions := [change for change in changes if change.is_regression]:
        publish_regressions(regressions)
        raise RegressionError(regressions)
    return summary


def _publish(place: Place, changes: list[Change]) -> str:
    today = datetime.datetime.now().astimezone().date()
    message = f"Results of {place.commit[:12]}\n\n{describe(changes)}\n"
    branch = publish_results(place.folder, today, message)
    return f"published as {branch}" if branch else "nothing to publish: as in the commit"
