"""Training on several machines: each network on any free worker, and all results here."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import httpx
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound, TerminationSignal
from prefect.logging import get_run_logger
from prefect.states import Cancelled, Cancelling

from convdepth.config.params import read_params
from convdepth.core.errors import ConvdepthError, MachineError
from convdepth.workspace.dvc import open_project
from pipelines.checkout.enter import entered_commit
from pipelines.checkout.share import STAGE_HOURS, Hours, run_and_share
from pipelines.dvc.graph import is_finished
from pipelines.dvc.inputs import require_pushed, require_remote
from pipelines.dvc.remote import fetch_results
from pipelines.dvc.stage import Options
from pipelines.execution.runner import run_and_report, run_graph, to_state
from pipelines.flows.local import PREPARED
from pipelines.flows.nightly import NIGHT_SECONDS
from pipelines.reporting.flow_run import tag_run
from pipelines.reporting.report import reported

DEPLOYMENT = "train-on-worker/train-architecture"
POLL_SECONDS = 2.0


@flow(name="train-on-worker", flow_run_name="train-{name}", timeout_seconds=NIGHT_SECONDS)
@to_state
def train_on_worker(
    name: str,
    commit: str | None = None,  # noqa: ARG001  `pipelines.deploy.engine` reads it
    force: bool = False,
    require_gpu: bool = False,
    stage_hours: Hours = STAGE_HOURS,
) -> str:
    """Train and evaluate one network of a commit, and push the result to the DVC remote.

    The commit runs in a clone of its own, with all stages upstream of the training; what other
    machines have computed comes from the DVC remote.

    Args:
        name: An entry of ``architectures`` in ``params.yaml``.
        commit: A full hash; by default the newest commit of the upstream branch.
        force: Run the stages even if nothing has changed.
        require_gpu: Stop at once if TensorFlow has no GPU.
        stage_hours: The longest run of one stage.
    """
    folder = Path()
    with entered_commit() as sha, reported(sha, folder) as report:
        tag_run(sha)
        require_remote(folder)
        options = Options(
            force,
            folder=folder,
            seconds=stage_hours * 3600,
            jobs=1,
            select=lambda graph: graph.up_to(graph.key(name)),
        )
        summary, unshared = run_and_share(report, options, require_gpu)
        if unshared:
            raise unshared
        return summary


@flow(name="spread")
@to_state
def spread(require_gpu: bool = False, job_variables: dict[str, Any] | None = None) -> str:
    """Train each network on a worker of the pool, and collect the results.

    Workers need the commit in a git repository that they can fetch from, and a DVC remote that all
    machines share. Nothing is trained here. Networks whose training the remote has are not queued.

    Args:
        require_gpu: Let a worker without a GPU fail at once.
        job_variables: Of the work pool, such as the number of GPUs or the image of a container.
    """
    root = Path.cwd()
    commit = require_pushed(root)
    pull = fetch_results(root, get_run_logger().info)
    prepared = run_graph(Options(pull=pull, select=lambda graph: graph.groups(*PREPARED)))
    prepared.summary()
    names = unfinished_networks(list(read_params().architectures))
    parameters = {"commit": commit, "require_gpu": require_gpu}
    runs = {name: _submit({"name": name, **parameters}, job_variables) for name in names}
    failures = _wait(runs)
    pull = fetch_results(root, get_run_logger().info)
    if failures:
        advice = "The DVC remote has the others; `python -m pipelines spread` trains these."
        raise ConvdepthError("\n".join([*failures, advice]))
    return run_and_report(Options(pull=pull))


def unfinished_networks(names: Sequence[str]) -> list[str]:
    """Keep the networks whose training must run: it has changed, and DVC's run cache lacks it."""
    with open_project(Path(), wait=True) as repo, repo.lock:
        stages = {name: repo.stage.collect(f"train@{name}") for name in names}
        return [name for name in names if not all(map(is_finished, stages[name]))]


def _submit(parameters: dict[str, Any], variables: dict[str, Any] | None) -> UUID:
    given: dict[str, Any] = {"parameters": parameters, "job_variables": variables or {}}
    name = f"train-{parameters['name']}"
    try:
        run = cast(FlowRun, run_deployment(DEPLOYMENT, flow_run_name=name, timeout=0, **given))
    except ObjectNotFound as error:
        raise MachineError(
            f"the Prefect server has no deployment {DEPLOYMENT}. `make deploy` creates it."
        ) from error
    get_run_logger().info("%s: waits for a worker, as run %s", parameters["name"], run.name)
    return run.id


def _wait(runs: Mapping[str, UUID]) -> list[str]:
    """Wait for runs on workers, or cancel them if a user stops this flow; return the failures."""
    waiting = dict(runs)
    failures = []
    with get_client(sync_client=True) as client:
        try:
            while waiting:
                time.sleep(POLL_SECONDS)
                for name, run in list(waiting.items()):
                    state = _read_state(client, run)
                    if state and state.is_final():
                        del waiting[name]
                        get_run_logger().info("%s: %s", name, state.name)
                        if not state.is_completed():
                            failures.append(f"{name}: {state.name}: {state.message}")
        except (KeyboardInterrupt, SystemExit, TerminationSignal):
            for run in waiting.values():
                client.set_flow_run_state(run, Cancelling())
            raise
    return failures


def _read_state(client: SyncPrefectClient, run: UUID) -> State[Any] | None:
    """Return the state of a run; None while the server is away, since workers go on without it."""
    try:
        return client.read_flow_run(run).state
    except ObjectNotFound:
        return Cancelled(message="the run was deleted")
    except httpx.HTTPError as error:
        if isinstance(error, httpx.HTTPStatusError) and error.response.is_client_error:
            raise
        get_run_logger().warning("the Prefect server does not answer, so we wait: %s", error)
        return None
