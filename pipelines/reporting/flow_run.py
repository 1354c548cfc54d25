"""The current run on the Prefect server: its day, its tags, and the runs that it replaces."""

import datetime
import socket
from collections.abc import Sequence
from typing import cast
from uuid import UUID

from prefect import runtime
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import State
from prefect.states import Cancelled

from convdepth.workspace.gpu import choose_gpus
from pipelines.reporting.artifacts import best_effort

SUPERSEDED = "Superseded"  # replaced by a later run; `automations.yaml` ignores it


def scheduled_day() -> datetime.date:
    """Return the day in UTC, as schedules count it, that the current run was planned for."""
    started = cast(datetime.datetime, runtime.flow_run.scheduled_start_time)
    return started.astimezone(datetime.UTC).date()


def device_name() -> str:
    """Return the GPUs that trainings of this process use, or CPU."""
    return ", ".join(gpu.label for gpu in choose_gpus().gpus) or "CPU"


def tag_run(commit: str) -> None:
    """Tag the current run with commit, machine and device, which alerts show then."""
    tags = {"commit": commit[:7], "machine": socket.gethostname(), "device": device_name()}
    with best_effort("tags"), get_client(sync_client=True) as client:
        run = client.read_flow_run(runtime.flow_run.id)
        ours = [f"{key}: {value}" for key, value in tags.items()]
        client.update_flow_run(run.id, tags=list(dict.fromkeys([*run.tags, *ours])))


def close_superseded() -> None:
    """If the schedule has started this run, close its runs that are overdue, as after an outage.

    All run the newest commit, so this run does what they would do.
    """
    with best_effort("superseded runs"), get_client(sync_client=True) as client:
        this = client.read_flow_run(runtime.flow_run.id)
        if this.auto_scheduled and this.deployment_id is not None:
            close_overdue(client, [this.deployment_id], f"{this.name} has run in its place.")


def close_overdue(client: SyncPrefectClient, deployments: Sequence[UUID], reason: str) -> None:
    """Close the runs that the schedules of deployments should have started before now."""
    overdue = {
        "deployment_id": {"any_": deployments},
        "state": {"type": {"any_": ["SCHEDULED"]}},
        "expected_start_time": {"before_": datetime.datetime.now(datetime.UTC)},
    }
    for run in client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(overdue)):
        if run.auto_scheduled:
            state: State[None] = Cancelled(name=SUPERSEDED, message=reason)
            client.set_flow_run_state(run.id, state, force=True)
