"""Training on several machines: each network on whatever worker is free, and all results here."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger
from prefect.states import Cancelling

from convdepth.config.params import read_params
from convdepth.core.errors import ConvdepthError, MachineError, ParameterError
from pipelines.checkout.clone import place_of, require_gpu_here
from pipelines.checkout.git import changed_files, git, newest_commit
from pipelines.dvc.remote import fetch_results, has_remote
from pipelines.dvc.stage import Options
from pipelines.execution.runner import run_graph, state_of

DEPLOYMENT = "train-on-worker/train-architecture"

COMMAND = "python -m pipelines spread"

POLL_SECONDS = 2.0


class WorkerError(ConvdepthError):
    """Networks could not be trained by a worker."""


@flow(name="train-on-worker", flow_run_name="train-{name}")
def train_on_worker(
    name: str, commit: str | None = None, force: bool = False, require_gpu: bool = False
) -> State[Any]:
    """Train and evaluate one network of a commit, and share the result.

    The commit is run in a clone of its own, with all that the training depends on; what other
    machines have computed comes from the DVC remote, and the training goes there.

    Args:
        name: An entry of ``architectures`` in ``params.yaml``.
        commit: Its full name; by default the newest one of the upstream branch.
        force: Run the stages even if nothing has changed.
        require_gpu: Stop at once where TensorFlow has no GPU to train on.

    Returns:
        Completed, or failed with the error.
    """
    return state_of(lambda: _train(name, commit, force, require_gpu))


@flow(name="spread")
def spread(require_gpu: bool = False) -> State[Any]:
    """Train each network on a worker of the pool, as many at once as there are, and collect.

    All that the workers need is the commit in a git repository that they can fetch from, and a
    DVC remote that all machines share. Here nothing is trained.

    Args:
        require_gpu: Have the workers stop where TensorFlow has no GPU to train on.

    Returns:
        Completed, or failed with the error.
    """
    return state_of(lambda: _spread(require_gpu))


def _train(name: str, commit: str | None, force: bool, require_gpu: bool) -> str:
    root = Path.cwd()
    if require_gpu:
        get_run_logger().info(require_gpu_here())
    _require_remote(root)
    newest = newest_commit(root)  # fetches, so that a commit that is asked for is here, too
    sha = commit or newest.sha
    get_run_logger().info("commit %s%s", sha, "" if commit else f" of {newest.source}")
    with place_of(sha, root, require_gpu=require_gpu) as place:
        return place.run(
            lambda options: run_graph(lambda graph: graph.up_to(graph.key(name)), 1, options), force
        )


def _spread(require_gpu: bool) -> str:
    root = Path.cwd()
    _require_remote(root)
    commit = _require_pushed(root)
    names = list(read_params().architectures)
    runs = {name: _submit(name, commit, require_gpu) for name in names}
    failures = _wait(runs)
    pull = fetch_results(root, get_run_logger().info)
    if failures:
        raise WorkerError(
            "\n".join(f"{name}: {reason}" for name, reason in failures.items())
            + f"\nThe others, if any, are in the DVC remote. `{COMMAND}` trains what is missing."
        )
    return run_graph(lambda graph: graph, None, Options(pull=pull))


def _submit(name: str, commit: str, require_gpu: bool) -> UUID:
    """Ask for a run, and do not wait for it.

    Raises:
        MachineError: The server does not know of the deployment.
    """
    parameters = {"name": name, "commit": commit, "require_gpu": require_gpu}
    try:
        run = cast(FlowRun, run_deployment(DEPLOYMENT, parameters=parameters, timeout=0))
    except ObjectNotFound as error:
        raise MachineError(
            f"the Prefect server has no deployment {DEPLOYMENT}. `make deploy` puts it there."
        ) from error
    get_run_logger().info("%s: waits for a worker, as run %s", name, run.name)
    return run.id


def _wait(runs: Mapping[str, UUID]) -> dict[str, str]:
    """Wait for runs on workers; cancel them if this flow is stopped meanwhile.

    Returns:
        What is known of those that did not complete.
    """
    waiting = dict(runs)
    failures: dict[str, str] = {}
    try:
        while waiting:
            time.sleep(POLL_SECONDS)
            for name, state in _final_states(waiting).items():
                del waiting[name]
                get_run_logger().info("%s: %s", name, state.name)
                if not state.is_completed():
                    failures[name] = f"{state.name}: {state.message}"
    except BaseException:
        _cancel(waiting)
        raise
    return failures


def _final_states(runs: Mapping[str, UUID]) -> dict[str, State[Any]]:
    with get_client(sync_client=True) as client:
        states = {name: client.read_flow_run(run).state for name, run in runs.items()}
    return {name: state for name, state in states.items() if state and state.is_final()}


def _cancel(runs: Mapping[str, UUID]) -> None:
    with get_client(sync_client=True) as client:
        for run in runs.values():
            client.set_flow_run_state(run, Cancelling())


def _require_remote(root: Path) -> None:
    if not has_remote(root):
        raise ParameterError(
            "no DVC remote is set, and machines have no other way to share a training. "
            "`dvc remote add --default storage s3://BUCKET/FOLDER` sets one; commit .dvc/config."
        )


def _require_pushed(root: Path) -> str:
    """Give the current commit, once it is sure that workers can get it.

    Raises:
        ParameterError: There are changes that are in no commit.
        MachineError: The commit is in no branch of a git remote.
    """
    if changed := changed_files(root):
        raise ParameterError(
            f"there are changes that are in no commit: {', '.join(changed[:5])}. Workers run "
            "commits: `git commit`, then `git push`."
        )
    newest_commit(root)
    commit = git("rev-parse", "HEAD", folder=root)
    if not git("branch", "--remotes", "--contains", commit, folder=root):
        raise MachineError(
            f"commit {commit[:12]} is in no branch of a git remote, where workers could fetch it. "
            "`git push` puts it there."
        )
    return commit
