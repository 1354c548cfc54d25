"""The scheduled run: run the graph of a commit, judge, publish."""

from pathlib import Path

from prefect import flow
from prefect.logging import get_run_logger

from convdepth.core.errors import ConvdepthError
from convdepth.workspace.git import git
from pipelines.checkout.enter import entered_commit
from pipelines.checkout.publish import publish_results, require_publishing
from pipelines.checkout.register import register_models
from pipelines.checkout.share import STAGE_HOURS, Hours, run_and_share
from pipelines.dvc.stage import Options
from pipelines.execution.concurrency import Jobs
from pipelines.execution.runner import to_state
from pipelines.reporting.flow_run import close_superseded, scheduled_day, tag_run
from pipelines.reporting.regressions import RegressionError, changes_since, describe
from pipelines.reporting.report import Report, reported

NIGHT_SECONDS = 20 * 3600  # the longest run: one nightly runs at a time, so before the next night


def name_run() -> str:
    """Return a name such as ``nightly-2026-01-31-3f2a1c7``: day in UTC, and commit."""
    return f"nightly-{scheduled_day()}-{git('rev-parse', '--short=7', 'HEAD')}"


@flow(name="nightly", flow_run_name=name_run, timeout_seconds=NIGHT_SECONDS)
@to_state
def nightly(
    force: bool = False,
    publish: bool = False,
    require_gpu: bool = False,
    jobs: Jobs | None = None,
    stage_hours: Hours = STAGE_HOURS,
) -> str:
    """Run the changed stages of the newest commit, and fail if a metric became worse.

    The newest commit of the upstream branch runs in a clone of its own that shares DVC's cache;
    the worker's folder stays as it is. Results of other machines come from the DVC remote, if
    there is one, and the new results go there. Automations on the server send the alerts.

    Args:
        force: Run all stages even if nothing has changed.
        publish: Push changed results as a branch results/DATE, and tags of new models.
        require_gpu: Stop at once if TensorFlow has no GPU.
        jobs: Stages at once; empty: chosen from cores and memory.
        stage_hours: Hours that one stage may run; the whole night has 20.
    """
    folder = Path()  # the clone: messages then name files as the user does
    with entered_commit() as commit:
        close_superseded()
        tag_run(commit)
        if publish:
            require_publishing(folder)
        with reported(commit, folder) as report:
            options = Options(force, folder=folder, seconds=stage_hours * 3600, jobs=jobs)
            summary, problem = run_and_share(report, options, require_gpu)
            report.changes = changes_since(commit, folder)
            if publish and not problem:
                try:
                    summary += f"; {_publish(report)}"
                except ConvdepthError as error:
                    problem = error
            if report.regressions:
                raise RegressionError(report.regressions, report.branch, problem)
            if problem:
                raise problem
            if publish:
                report.registered = register_models(folder, report.branch)
            return "; ".join([summary, *report.registered])


def _publish(report: Report) -> str:
    """Publish results; return what was done."""
    title = f"{scheduled_day()}{'-regressed' if report.regressions else ''}"
    message = f"Results of {report.commit[:12]}\n\n{describe(report.changes)}\n"
    report.branch = publish_results(report.folder, title, message)
    words = f"published as {report.branch}" if report.branch else "nothing to publish"
    get_run_logger().info(words)
    return words
