"""Runs whose heartbeats stop, because their process or their machine is gone."""

from datetime import timedelta

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

TAG = "convdepth"
"""What `prefect.yaml` tags the deployments with, and so all of their runs."""

CRASH_DETECTION = "convdepth: a run without heartbeats has crashed"

SILENCE = timedelta(seconds=120)
"""Four heartbeats. A server that comes back within a minute misses fewer."""


def ensure_crash_detection(client: SyncPrefectClient) -> None:
    """Have the server close the runs whose process is gone and could not say so.

    As in https://docs.prefect.io/v3/advanced/detect-zombie-flows, but only for the runs of our
    deployments: others may have heartbeats further apart. What is there already stays.

    Args:
        client: Speaks to the server.
    """
    if client.read_automations_by_name(CRASH_DETECTION):
        return
    ends = {f"prefect.flow-run.{end}" for end in ("Completed", "Failed", "Cancelled", "Crashed")}
    heartbeat = "prefect.flow-run.heartbeat"
    trigger = EventTrigger(
        after={heartbeat},
        expect={heartbeat, *ends},
        match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
        match_related=ResourceSpecification(
            {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"}
        ),
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=SILENCE,
    )
    message = f"No heartbeat in {SILENCE.seconds} s: its process or its machine is gone."
    close = ChangeFlowRunState(state=StateType.CRASHED, message=message)
    client.create_automation(AutomationCore(name=CRASH_DETECTION, trigger=trigger, actions=[close]))
