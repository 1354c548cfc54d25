"""The flows on a server: `prefect.yaml`, `automations.yaml`, and the workers that run them."""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from string import Template
from typing import Any, NoReturn
from uuid import UUID

from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import DeploymentFilter
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.settings import PREFECT_UI_URL
from prefect.utilities.asyncutils import run_coro_as_sync
from prefect.workers.process import ProcessWorker
from prefect.workers.utilities import get_default_base_job_template_for_infrastructure_type
from ruamel.yaml import YAML

from convdepth.core.errors import MachineError, ParameterError
from convdepth.workspace.gpu import choose_gpus
from convdepth.workspace.process import PARENT_VARIABLE
from pipelines.core.dvc_child import stage_environment
from pipelines.deploy.engine import HOME
from pipelines.deploy.server import PREFECT, require_server
from pipelines.reporting.flow_run import close_overdue

FOLDER = Path(__file__).parent
PREFECT_FILE = FOLDER / "prefect.yaml"

TAG = "convdepth"  # the tag of the deployments in `prefect.yaml`, and so of all of their runs
POOL = "convdepth"  # the work pool of `prefect.yaml`
PROCESS = ProcessWorker.type  # the type of pool whose runs are processes of a worker
TYPES = (PROCESS, "docker", "kubernetes")  # of pools in which the deployments run unchanged

# The nightly's queue runs one at a time. A limit of the deployment would take a lease, which a
# server keeps in memory: its restart would end the run as crashed.
QUEUE = "nightly"
POOL_ADVICE = (  # the pool's page itself advises Prefect's own command
    "Start its workers by `make worker` in a clone of the project. With Prefect's own command, "
    "runs do not find their files."
)
DEPLOY_SECONDS = 600.0
WEBHOOK = "CONVDEPTH_WEBHOOK"  # the variable with the web address for alerts, which is a secret
ALERTS = "convdepth-alerts"  # the notification block on the server that alerts go to


def deploy(pool_type: str = PROCESS) -> None:
    """Put the work pool, the deployments and the automations on the server.

    The type of the pool decides what a run is, see `TYPES`; a pool keeps its type.
    Changes of users are kept: the limits of pool and queue, paused deployments and automations.
    """
    address = os.environ.get(WEBHOOK)
    if address and not address.startswith(("https://", "http://")):
        raise ParameterError(f"{WEBHOOK}: expected an address that begins with https:// or http://")
    require_server(staying=True)
    with get_client(sync_client=True) as client:
        _ensure_pool(client, pool_type)
        before = read_ours(client)
        try:
            _deploy_all()
        finally:
            for deployment in before:
                if deployment.paused:
                    client.pause_deployment(deployment.id)  # deploying it has resumed it
        after = {each.id: _times(each) for each in read_ours(client)}
        # Overdue runs of a schedule that was changed or removed would not run now.
        if changed := [each.id for each in before if after.get(each.id) != _times(each)]:
            close_overdue(client, changed, "Its schedule was changed.")
        alerts = _ensure_alerts(client, address)
        _put_automations(client, alerts)
        print(f"On {PREFECT_UI_URL.value()}, for the workers of the pool {POOL}:")
        for each in read_ours(client):
            print(f"  {client.read_flow(each.flow_id).name}/{_describe(each)}")
        start = "make worker" if pool_type == PROCESS else f"prefect worker start --pool {POOL}"
        print(f"A worker on each machine runs them: {start}")
        if alerts is None:
            print(
                f"No alerts: {WEBHOOK} is not set. Run `{WEBHOOK}=https://ADDRESS make deploy`, or "
                f"make a notification block {ALERTS} on that page (Slack, email, ...), then deploy."
            )


def work(pool: str = POOL, name: str | None = None) -> NoReturn:
    """Become a worker, which runs in the current folder what the server has for a pool."""
    require_server(staying=True)
    with get_client(sync_client=True) as client:
        _require_pool(client, pool, PROCESS)
        _warn_of_missing_gpu(client, pool)
    project = Path.cwd()
    name = name or f"{socket.gethostname()}-{project.name}"
    options = ["--pool", pool, "--type", ProcessWorker.type, "--limit", "1", "--name", name]
    # A worker takes SIGTERM for SIGINT; a shell that starts it in the background has that ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    command = [*PREFECT, "worker", "start", *options]
    own = {HOME: str(project), PARENT_VARIABLE: str(os.getpid())}  # the process id stays
    os.execve(sys.executable, command, stage_environment() | own)  # noqa: S606 our own


def read_ours(client: SyncPrefectClient) -> list[DeploymentResponse]:
    """Return the deployments of `prefect.yaml` that the server has."""
    ours = DeploymentFilter.model_validate({"tags": {"all_": [TAG]}})
    return client.read_deployments(deployment_filter=ours)


def _warn_of_missing_gpu(client: SyncPrefectClient, pool: str) -> None:
    """Print which deployments of a pool will fail here, since they require a GPU."""
    ours = [each for each in read_ours(client) if each.work_pool_name == pool]
    needing = [each.name for each in ours if each.parameters.get("require_gpu")]
    if needing and not (choice := choose_gpus()).gpus:
        for name in needing:
            print(
                f"warning: {name} requires a GPU, and this machine has none: {choice.reason}. Its "
                "runs fail here. Run the worker on a machine with a GPU, or write `require_gpu: "
                "false` in pipelines/deploy/prefect.yaml and run `make deploy`.",
                flush=True,
            )


def _times(deployment: DeploymentResponse) -> list[str]:
    return sorted(each.schedule.model_dump_json() for each in deployment.schedules)


def _describe(deployment: DeploymentResponse) -> str:
    plans = [] if deployment.paused else [e.schedule for e in deployment.schedules if e.active]
    times = [
        f"{plan.cron} ({plan.timezone or 'UTC'})" if isinstance(plan, CronSchedule) else str(plan)
        for plan in plans
    ]
    return f"{deployment.name}: {', '.join(times) or 'when it is asked for'}"


def _ensure_pool(client: SyncPrefectClient, pool_type: str) -> None:
    pool = WorkPoolCreate(
        name=POOL,
        type=pool_type,
        description=POOL_ADVICE if pool_type == PROCESS else None,
        base_job_template=base_job_template(pool_type),
    )
    with suppress(ObjectAlreadyExists):
        client.create_work_pool(pool)
    _require_pool(client, POOL, pool_type)
    with suppress(ObjectAlreadyExists):
        client.create_work_queue(QUEUE, concurrency_limit=1, work_pool_name=POOL)


def base_job_template(pool_type: str) -> dict[str, Any]:
    """Return the template for a new work pool, as the ``.json`` of its type changes Prefect's."""
    if pool_type not in TYPES:
        known = ", ".join(TYPES)
        raise ParameterError(f"--pool-type: {pool_type}, expected one of {known}.")
    default = run_coro_as_sync(get_default_base_job_template_for_infrastructure_type(pool_type))
    if default is None:
        raise ParameterError(
            f"--pool-type: the Prefect server knows no default for {pool_type}. Run "
            "`pip install --no-deps --require-hashes --requirement requirements-pools.lock`."
        )
    return adapt(default, pool_type)


def adapt(default: dict[str, Any], pool_type: str) -> dict[str, Any]:
    """Put the project's changes into Prefect's default template of a type."""
    changes = FOLDER / f"{pool_type}.json"
    return dict(_merge(default, json.loads(changes.read_text() if changes.exists() else "{}")))


def _merge(old: Any, new: Any) -> Any:
    """Merge mappings by key, and lists, which are as long as Prefect's, by position."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old | {key: _merge(old.get(key), value) for key, value in new.items()}
    if isinstance(old, list) and isinstance(new, list):
        return [_merge(*pair) for pair in zip(old, new, strict=True)]
    return new


def _require_pool(client: SyncPrefectClient, name: str, pool_type: str) -> None:
    try:
        found = client.read_work_pool(name)
    except ObjectNotFound:
        known = ", ".join(pool.name for pool in client.read_work_pools()) or "none"
        raise ParameterError(
            f"the Prefect server has no work pool {name}; there is {known}. "
            "Run `make deploy`, which makes the pool of this project."
        ) from None
    if found.type != pool_type:
        raise ParameterError(
            f"the work pool {name} of the Prefect server is of the type {found.type}, expected "
            f"{pool_type}. `prefect work-pool ls` lists other pools; `python -m pipelines deploy "
            f"--pool-type {found.type}` updates this one."
        )


def _deploy_all() -> None:
    try:
        subprocess.run(
            [*PREFECT, "deploy", "--all", "--prefect-file", os.path.relpath(PREFECT_FILE)],
            # Prefect would put the value of this variable into the file's templates.
            env={name: value for name, value in os.environ.items() if name != HOME},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
            timeout=DEPLOY_SECONDS,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = error.stdout.strip() if isinstance(error.stdout, str) else str(error)
        raise MachineError(f"`prefect deploy --all` failed:\n{said}") from error


def _ensure_alerts(client: SyncPrefectClient, address: str | None) -> UUID | None:
    """Return the id of the notification block, made from the address if there is one."""
    if not address:
        blocks = client.read_block_documents(include_secrets=False)
        return next((block.id for block in blocks if block.name == ALERTS), None)
    block = CustomWebhookNotificationBlock(
        name=ALERTS,
        url="{{address}}",
        secrets={"address": address},
        json_data={"text": "{{subject}}\n{{body}}"},
    )
    return UUID(str(block.save(ALERTS, overwrite=True)))


def _put_automations(client: SyncPrefectClient, alerts: UUID | None) -> None:
    text = (FOLDER / "automations.yaml").read_text(encoding="utf-8")
    filled = Template(text).substitute(ui=PREFECT_UI_URL.value())
    entries = YAML(typ="safe").load(filled)["automations"]
    names = {entry["name"] for entry in entries}
    for old in client.read_automations():
        if old.name.startswith(f"{TAG}: ") and old.name not in names:
            client.delete_automation(old.id)  # of a former automations.yaml
    for entry in entries:
        messages = [each for each in entry["actions"] if each["type"] == "send-notification"]
        if messages and alerts is None:
            continue
        for message in messages:
            message["block_document_id"] = alerts
        automation = AutomationCore.model_validate(entry)
        if known := client.read_automations_by_name(automation.name):
            automation.enabled = known[0].enabled
            client.update_automation(known[0].id, automation)
        else:
            client.create_automation(automation)
