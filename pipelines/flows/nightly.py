"""The scheduled run: check out the newest commit, run its graph, publish, judge."""

import datetime

from prefect import flow

from pipelines.checkout.clone import clone_for_worker, run_and_share
from pipelines.checkout.publish import publish_results, require_publishing
from pipelines.execution.concurrency import Jobs
from pipelines.execution.runner import run_graph, to_state
from pipelines.reporting.artifacts import publish_regressions
from pipelines.reporting.regressions import RegressionError, changes_since, describe


@flow(name="nightly")
@to_state
def nightly(
    force: bool = False, publish: bool = False, require_gpu: bool = False, jobs: Jobs | None = None
) -> str:
    """Run the changed stages of the newest commit, and fail if a metric became worse.

    The newest commit of the upstream branch runs in a clone of its own that shares DVC's cache;
    the worker's folder stays as it is. Results of other machines come from the DVC remote, if
    there is one, and the new results go there. Automations on the server send the alerts.

    Args:
        force: Run all stages even if nothing has changed.
        publish: Push changed results as a branch ``results/<date>``.
        require_gpu: Stop at once if TensorFlow has no GPU.
        jobs: Stages at once, see `choose_jobs`.
    """
    if publish:
        require_publishing()
    with clone_for_worker(require_gpu=require_gpu) as (commit, folder):
        summary = run_and_share(
            folder, lambda options: run_graph(options, jobs), force=force, require_gpu=require_gpu
        )
        changes = changes_since(commit, folder)
        if publish:
            today = datetime.datetime.now().astimezone().date()
            message = f"Results of {commit[:12]}\n\n{describe(changes)}\n"
            branch = publish_results(folder, today, message)
            summary += f"; published as {branch}" if branch else "; nothing to publish"
    if regressions := [change for change in changes if change.is_regression]:
        publish_regressions(regressions)
        raise RegressionError(regressions)
    return summary
