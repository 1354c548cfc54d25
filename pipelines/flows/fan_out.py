"""Training on several machines: each network on any free worker, and all results here."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger
from prefect.states import Cancelling

from convdepth.config.params import read_params
from convdepth.core.errors import ConvdepthError, MachineError, ParameterError
from convdepth.workspace.git import changed_files, git, newest_commit
from pipelines.checkout.clone import clone_for_worker, run_and_share
from pipelines.dvc.remote import NO_REMOTE, fetch_results, has_remote
from pipelines.dvc.stage import Options
from pipelines.execution.runner import run_graph, to_state

DEPLOYMENT = "train-on-worker/train-architecture"

POLL_SECONDS = 2.0


@flow(name="train-on-worker", flow_run_name="train-{name}")
@to_state
def train_on_worker(
    name: str, commit: str | None = None, force: bool = False, require_gpu: bool = False
) -> str:
    """Train and evaluate one network of a commit, and push the result to the DVC remote.

    The commit runs in a clone of its own, with all stages upstream of the training; what other
    machines have computed comes from the DVC remote.

    Args:
        name: An entry of ``architectures`` in ``params.yaml``.
        commit: A full hash; by default the newest commit of the upstream branch.
        force: Run the stages even if nothing has changed.
        require_gpu: Stop at once if TensorFlow has no GPU.
    """
    _require_remote(Path())
    with clone_for_worker(commit, require_gpu=require_gpu) as (_, folder):
        return run_and_share(
            folder,
            lambda options: run_graph(options, 1, lambda graph: graph.up_to(graph.key(name))),
            force=force,
            require_gpu=require_gpu,
        )


@flow(name="spread")
@to_state
def spread(require_gpu: bool = False) -> str:
    """Train each network on a worker of the pool, and collect the results.

    Workers need the commit in a git repository that they can fetch from, and a DVC remote that all
    machines share. Nothing is trained here.
    """
    root = Path.cwd()
    _require_remote(root)
    parameters = {"commit": _require_pushed(root), "require_gpu": require_gpu}
    runs = {name: _submit({"name": name, **parameters}) for name in read_params().architectures}
    failures = _wait(runs)
    pull = fetch_results(root, get_run_logger().info)
    if failures:
        raise ConvdepthError(
            "\n".join(f"{name}: {reason}" for name, reason in failures.items())
            + "\nThe DVC remote has the others; `python -m pipelines spread` trains these."
        )
    return run_graph(Options(pull=pull))


def _submit(parameters: dict[str, Any]) -> UUID:
    try:
        run = cast(FlowRun, run_deployment(DEPLOYMENT, parameters=parameters, timeout=0))
    except ObjectNotFound as error:
        raise MachineError(
            f"the Prefect server has no deployment {DEPLOYMENT}. `make deploy` creates it."
        ) from error
    get_run_logger().info("%s: waits for a worker, as run %s", parameters["name"], run.name)
    return run.id


def _wait(runs: Mapping[str, UUID]) -> dict[str, str]:
    """Wait for runs on workers, or cancel them if this flow is stopped; return the failures."""
    waiting = dict(runs)
    failures: dict[str, str] = {}
    with get_client(sync_client=True) as client:
        try:
            while waiting:
                time.sleep(POLL_SECONDS)
                for name, run in list(waiting.items()):
                    state = client.read_flow_run(run).state
                    if state and state.is_final():
                        del waiting[name]
                        get_run_logger().info("%s: %s", name, state.name)
                        if not state.is_completed():
                            failures[name] = f"{state.name}: {state.message}"
        except BaseException:
            for run in waiting.values():
                client.set_flow_run_state(run, Cancelling())
            raise
    return failures


def _require_remote(root: Path) -> None:
    if not has_remote(root):
        raise ParameterError(
            f"{NO_REMOTE} Machines share trainings only by a DVC remote; commit .dvc/config."
        )


def _require_pushed(root: Path) -> str:
    """Return the current commit, if workers can fetch it."""
    if changed := changed_files(root):
        raise ParameterError(
            f"there are changes that are in no commit: {', '.join(changed[:5])}. Workers run "
            "commits: `git commit`, then `git push`."
        )
    newest_commit(root)
    commit = git("rev-parse", "HEAD", folder=root)
    if not git("branch", "--remotes", "--contains", commit, folder=root):
        raise MachineError(
            f"commit {commit[:12]} is in no branch of a git remote, so workers cannot fetch it. "
            "Run `git push`."
        )
    return commit
