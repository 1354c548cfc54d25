"""The flows on a server: what `prefect.yaml` says, and the workers that run it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_UI_URL

from convdepth.core.errors import MachineError, ParameterError
from pipelines.deploy.heartbeats import TAG, ensure_crash_detection
from pipelines.deploy.server import PROJECT, require_staying_server

POOL = "gpu"
"""The work pool of `prefect.yaml`."""

POOL_TYPE = "process"

POOL_ADVICE = (
    "Start its workers by `make worker` in a clone of the project. With Prefect's own command, "
    "runs do not find their files."
)
"""Stands on the page of the pool, which advises Prefect's own command."""

CLONE = "CONVDEPTH_HOME"
"""The environment variable in which a worker has the root of its clone."""


def deploy() -> None:
    """Put the work pool, the deployments and the detection of crashes on the server.

    What is there already stays: the pool with its limit, the automation, and whatever is paused.

    Raises:
        MachineError: No server that stays answers, or it refuses something.
        ParameterError: It has a pool of this name that is of another type.
    """
    require_staying_server()
    with get_client(sync_client=True) as client:
        _ensure_pool(client)
        ensure_crash_detection(client)
        paused = [each.id for each in _read_deployments(client) if each.paused]
        try:
            _prefect("deploy", "--all", "--prefect-file", "pipelines/deploy/prefect.yaml")
        finally:
            for deployment in paused:
                client.pause_deployment(deployment)  # deploying it has resumed it
        print(_describe(client))


def work(pool: str = POOL, name: str | None = None) -> NoReturn:
    """Become a worker, which runs in this clone what the server has for its pool.

    Args:
        pool: The name of the work pool.
        name: That of the worker; by default those of the machine and of the clone's folder.

    Raises:
        MachineError: No server that stays answers.
        ParameterError: It has no such pool of processes.
    """
    require_staying_server()
    with get_client(sync_client=True) as client:
        _require_pool(client, pool)
    name = name or f"{socket.gethostname()}-{PROJECT.name}"
    start = ["worker", "start", "--pool", pool, "--type", POOL_TYPE, "--limit", "1", "--name", name]
    # A worker takes SIGTERM for SIGINT; a shell that starts it in the background has that ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(PROJECT)
    environment = {**_environment(), CLONE: str(PROJECT)}
    os.execve(sys.executable, _command(*start), environment)  # noqa: S606 our own command


def _read_deployments(client: SyncPrefectClient) -> list[DeploymentResponse]:
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    return client.read_deployments(deployment_filter=ours)


def _describe(client: SyncPrefectClient) -> str:
    lines = [f"On {PREFECT_UI_URL.value()}, for the workers of the pool {POOL}:"]
    for deployment in _read_deployments(client):
        flow = client.read_flow(deployment.flow_id).name
        active = [] if deployment.paused else [each for each in deployment.schedules if each.active]
        when = ", ".join(_say(each.schedule) for each in active) or "when it is asked for"
        lines.append(f"  {flow}/{deployment.name}: {when}")
    lines.append("A worker on each machine runs them: make worker")
    return "\n".join(lines)


def _say(schedule: Any) -> str:
    if isinstance(schedule, CronSchedule):
        return f"{schedule.cron} ({schedule.timezone or 'UTC'})"
    return str(schedule)


def _ensure_pool(client: SyncPrefectClient) -> None:
    try:
        client.read_work_pool(POOL)
    except ObjectNotFound:
        _prefect("work-pool", "create", POOL, "--type", POOL_TYPE)
        client.update_work_pool(POOL, WorkPoolUpdate(description=POOL_ADVICE))
    _require_pool(client, POOL)


def _require_pool(client: SyncPrefectClient, name: str) -> None:
    try:
        found = client.read_work_pool(name)
    except ObjectNotFound:
        known = ", ".join(pool.name for pool in client.read_work_pools()) or "none"
        raise ParameterError(
            f"the Prefect server has no work pool {name}; there is {known}. "
            "`python -m pipelines deploy` makes the one of this project."
        ) from None
    if found.type != POOL_TYPE:
        raise ParameterError(
            f"the work pool {name} of the Prefect server is of the type {found.type}; expected "
            f"{POOL_TYPE}. Delete it by `prefect work-pool delete {name}`, and deploy again."
        )


def _prefect(*arguments: str) -> None:
    """Run Prefect's own command line.

    Raises:
        MachineError: It failed; the message has what it printed.
    """
    ended = subprocess.run(
        _command(*arguments),
        cwd=PROJECT,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise MachineError(f"`prefect {' '.join(arguments)}` failed:\n{ended.stdout.strip()}")


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "prefect", "--no-prompt", *arguments]


def _environment() -> Mapping[str, str]:
    return {name: value for name, value in os.environ.items() if name != CLONE}
