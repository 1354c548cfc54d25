"""What `deploy` puts on a server, what it leaves unchanged, and what `worker` refuses."""

import datetime
import json
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
import servers
import serving
import toy
from prefect.blocks.notifications import SlackWebhook
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.schedules import CronSchedule
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger
from prefect.states import Cancelled, Completed, Crashed, Failed, Running, State
from ruamel.yaml import YAML
from waiting import wait_until

from pipelines.deploy.deployments import ALERTS, FOLDER, POOL, QUEUE, TAG, WEBHOOK
from pipelines.deploy.engine import RUN
from pipelines.flows.fan_out import DEPLOYMENT
from pipelines.flows.nightly import nightly
from project import Project

NIGHTLY = "nightly/nightly"

STEP = "prefect.deployments.steps.set_working_directory"

CRASHES, *ALERTING = (
    entry["name"] for entry in YAML(typ="safe").load(FOLDER / "automations.yaml")["automations"]
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    home = tmp_path_factory.mktemp("machine")
    project = toy.create(home / "toy", home)
    serving.add_flows(project)
    (project.folder / "dvc.yaml").write_text(toy.EVALUATIONS)
    project.commit("The flows")
    return project


@pytest.fixture(scope="module")
def client(harness: str) -> Iterator[SyncPrefectClient]:
    """Speaks to a server that is empty afterwards: other tests have the same one."""
    with serving.client_of(harness) as client:
        yield client
        for deployment in client.read_deployments():
            client.delete_deployment(deployment.id)
        for automation in client.read_automations():
            client.delete_automation(automation.id)
        for block in client.read_block_documents():
            client.delete_block_document(block.id)
        for pool in client.read_work_pools():
            client.delete_work_pool(pool.name)


@pytest.fixture(scope="module")
def deployed(client: SyncPrefectClient, project: Project) -> str:
    """What the first `deploy` says."""
    return serving.deploy(project, str(client.api_url))


@pytest.mark.usefixtures("deployed")
def test_a_worker_runs_the_code_of_the_commit_once_for_all_missed_nights(
    harness: str, client: SyncPrefectClient, project: Project
) -> None:
    found = client.read_deployment_by_name(NIGHTLY)
    client.update_deployment(found.id, DeploymentUpdate(parameters={"require_gpu": False}))
    missed = miss_nights(client, 3)
    assert len(missed) == 3
    flows = project.folder / "pipelines" / "flows"
    flows.rename(flows.with_name("moved"))  # the worker's own are broken
    with serving.worker(project, harness):
        run, *others = [
            serving.wait_for_state(client, each, "Completed", "Failed", "Crashed", "Superseded")
            for each in missed
        ]
    flows.with_name("moved").rename(flows)
    client.update_deployment(found.id, DeploymentUpdate(parameters=found.parameters))
    assert [each.state_name for each in others] == ["Superseded"] * 2
    assert run.state is not None
    assert run.state.message == "2 ran"
    commit = project.run("git", "rev-parse", "--short=7", "HEAD").strip()
    assert run.expected_start_time is not None
    assert run.name == f"nightly-{run.expected_start_time.date()}-{commit}"
    machine = f"machine: {socket.gethostname()}"
    assert {TAG, f"commit: {commit}", machine, "device: CPU"} <= set(run.tags)
    assert not (project.folder / "one.json").exists()  # the run works in its own clone
    assert "Traceback" not in (project.folder.parent / "worker.log").read_text()


@pytest.mark.usefixtures("deployed")
def test_a_worker_of_prefects_own_command_fails_the_run_with_the_right_one(
    harness: str, client: SyncPrefectClient, project: Project
) -> None:
    run = serving.submit(client, NIGHTLY)
    variables = {"PREFECT_API_URL": harness, RUN: str(run)}
    project.run(sys.executable, "-m", "pipelines.deploy.engine", **variables)
    state = client.read_flow_run(run).state
    assert state is not None
    assert state.is_failed()
    assert "make worker" in str(state.message)


def miss_nights(client: SyncPrefectClient, number: int) -> list[UUID]:
    """Let the server plan nights that are over; return their runs, the oldest first."""
    found = client.read_deployment_by_name(NIGHTLY).id
    now = datetime.datetime.now(datetime.UTC)
    body = {"start_time": str(now - datetime.timedelta(days=number)), "end_time": str(now)}
    client.request("POST", f"/deployments/{found}/schedule", json=body)
    wanted = {
        "deployment_id": {"any_": [found]},
        "state": {"type": {"any_": ["SCHEDULED"]}},
        "expected_start_time": {"before_": now},
    }
    past = client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(wanted))
    return [run.id for run in sorted(past, key=lambda run: str(run.expected_start_time))]


@pytest.mark.usefixtures("deployed")
def test_a_changed_schedule_closes_its_overdue_runs(
    harness: str, client: SyncPrefectClient, project: Project
) -> None:
    missed = miss_nights(client, 5)
    assert missed
    serving.deploy(project, harness)
    assert {client.read_flow_run(run).state_name for run in missed} <= {"Scheduled", "Late"}
    path = project.folder / "pipelines" / "deploy" / "prefect.yaml"
    text = path.read_text()
    path.write_text(text.replace("30 2 * * *", "45 2 * * *"))
    serving.deploy(project, harness)
    assert {client.read_flow_run(run).state_name for run in missed} == {"Superseded"}
    path.write_text(text)
    serving.deploy(project, harness)


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # in apprise
def test_deploy_sets_up_a_server_and_again_leaves_what_a_user_has_changed(
    harness: str, client: SyncPrefectClient, project: Project, deployed: str
) -> None:
    assert f"{NIGHTLY}: 30 2 * * *" in deployed
    assert WEBHOOK in deployed
    check_all_is_there(client)
    block = change_by_hand(client)
    # Prefect puts the value of a variable that is set here into what the workers are told.
    said = serving.deploy(project, harness, CONVDEPTH_HOME="/elsewhere")
    assert f"{NIGHTLY}: when it is asked for" in said
    assert WEBHOOK not in said
    check_what_was_changed_stays(client, block)
    for name in (NIGHTLY, DEPLOYMENT):
        steps = client.read_deployment_by_name(name).pull_steps
        assert steps == [{STEP: {"directory": "{{ $CONVDEPTH_HOME }}"}}]


def check_all_is_there(client: SyncPrefectClient) -> None:
    pool = client.read_work_pool(POOL)
    assert (pool.type, pool.is_paused, pool.concurrency_limit) == ("process", False, None)
    assert "working_dir" in pool.base_job_template["variables"]["properties"]
    found = client.read_deployment_by_name(NIGHTLY)
    assert (found.entrypoint, found.path) == ("pipelines/flows/nightly.py:nightly", None)
    assert found.parameters == {"require_gpu": True, "publish": False, "force": False}
    assert set(found.parameters) < set(nightly.parameters.properties)
    assert found.tags == client.read_deployment_by_name(DEPLOYMENT).tags == [TAG]
    assert found.job_variables == {
        "command": "python -m pipelines.deploy.engine",
        "env": {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"},
    }
    assert found.global_concurrency_limit is None  # a restart of the server would end its lease
    assert found.work_queue_name == QUEUE
    assert client.read_work_queue_by_name(QUEUE, POOL).concurrency_limit == 1
    (schedule,) = found.schedules
    assert schedule.active
    assert schedule.slug  # else a new version of it loses a pause
    assert schedule.schedule == CronSchedule(cron="30 2 * * *", timezone="Etc/UTC")
    assert client.read_deployment_by_name(DEPLOYMENT).schedules == []
    assert [each.name for each in client.read_automations()] == [CRASHES]


def change_by_hand(client: SyncPrefectClient) -> str:
    client.update_work_pool(POOL, WorkPoolUpdate(is_paused=True, concurrency_limit=3))
    found = client.read_deployment_by_name(NIGHTLY)
    client.update_deployment_schedule(found.id, found.schedules[0].id, active=False)
    client.pause_deployment(client.read_deployment_by_name(DEPLOYMENT).id)
    (crashes,) = client.read_automations_by_name(CRASHES)
    former = crashes.model_dump(include=set(AutomationCore.model_fields))
    client.create_automation(AutomationCore(**former | {"name": "convdepth: former"}))
    client.pause_automation(crashes.id)
    return str(SlackWebhook(url="https://hooks.example.org/secret").save(ALERTS))


def check_what_was_changed_stays(client: SyncPrefectClient, block: str) -> None:
    pool = client.read_work_pool(POOL)
    assert (pool.is_paused, pool.concurrency_limit) == (True, 3)
    found = client.read_deployment_by_name(NIGHTLY)
    assert [each.active for each in found.schedules] == [False]
    assert not found.paused
    assert client.read_deployment_by_name(DEPLOYMENT).paused
    automations = {each.name: each for each in client.read_automations()}
    enabled = {name: each.enabled for name, each in automations.items()}
    assert enabled == {CRASHES: False, **dict.fromkeys(ALERTING, True)}
    for name in ALERTING:
        (action,) = automations[name].actions
        assert isinstance(action, SendNotification)
        assert str(action.block_document_id) == block


def test_each_bad_end_and_a_recovery_send_one_message(
    harness: str, client: SyncPrefectClient, project: Project
) -> None:
    with servers.serve({"*": servers.answer(status=204)}, secure=False) as server:
        address = f"{server.url}secret"
        serving.deploy(project, harness, **{WEBHOOK: address})
        names = sorted(each.name for each in client.read_automations())
        assert names == sorted([CRASHES, *ALERTING])
        for block in client.read_block_documents(include_secrets=False):
            assert address not in json.dumps(block.data)
        check_messages(harness, client, server.bodies)


def check_messages(harness: str, client: SyncPrefectClient, received: list[bytes]) -> None:
    bad = [Failed(message='worse: "loss"'), Crashed(), Failed(name="TimedOut"), Cancelled()]
    for number, state in enumerate([*bad, Completed()], start=1):
        run = finish(client, state)
        wait_until(lambda: len(received) >= number)  # noqa: B023 it is called at once
        text = json.loads(received[-1])["text"]
        assert f"{harness.removesuffix('/api')}/v2/runs/flow-run/{run}" in text
        assert str(state.name) in text
        assert NIGHTLY in text
        assert re.search(r"after \d+ s; .*machine: lab", text)
    assert "recovered" in text
    assert 'worse: "loss"' in json.loads(received[0])["text"]
    finish(client, Completed())  # sends nothing
    finish(client, Cancelled(name="Superseded"))  # neither
    finish(client, Failed(message="the last one"))
    wait_until(lambda: len(received) > 5)
    assert b"the last one" in received[5]


@pytest.mark.nightly  # the server asks every ten seconds what is missing
def test_no_nightly_for_too_long_sends_a_message(
    harness: str, client: SyncPrefectClient, project: Project
) -> None:
    with servers.serve({"*": servers.answer(status=204)}, secure=False) as server:
        serving.deploy(project, harness, **{WEBHOOK: f"{server.url}secret"})
        (missing,) = client.read_automations_by_name(ALERTING[-1])
        changed = AutomationCore(**missing.model_dump(exclude={"id", "owner_resource"}))
        assert isinstance(changed.trigger, EventTrigger)
        changed.trigger.within = datetime.timedelta(seconds=10)
        client.update_automation(missing.id, changed)
        finish(client, Completed())
        wait_until(lambda: b"no nightly" in b"".join(server.bodies))


def finish(client: SyncPrefectClient, state: State) -> str:
    deployment = client.read_deployment_by_name(NIGHTLY).id
    run = client.create_flow_run_from_deployment(deployment, tags=[TAG, "machine: lab"])
    client.set_flow_run_state(run.id, Running(), force=True)
    client.set_flow_run_state(run.id, state, force=True)
    return str(run.id)


def test_deploy_needs_a_server_that_stays_and_a_whole_address(project: Project) -> None:
    said = project.run(*serving.PIPELINES, "deploy", code=4)
    assert "make ui" in said
    assert "PREFECT_API_URL" in said
    webhook = {WEBHOOK: "hooks.example.org/secret"}
    said = project.run(*serving.PIPELINES, "deploy", code=2, **webhook)
    assert WEBHOOK in said
    assert "secret" not in said


@pytest.mark.nightly
def test_a_pool_may_start_containers_and_keeps_its_type(
    harness: str, client: SyncPrefectClient, project: Project
) -> None:
    def deploy(pool_type: str, code: int = 0) -> str:
        command = [*serving.PIPELINES, "deploy", "--pool-type", pool_type]
        return project.run(*command, code=code, PREFECT_API_URL=harness)

    serving.deploy(project, harness)
    assert "is of the type process" in deploy("docker", code=2)
    client.delete_work_pool(POOL)
    for pool_type in ("docker", "kubernetes"):
        deploy(pool_type)
        pool = client.read_work_pool(POOL)
        assert pool.type == pool_type
        assert "convdepth:cuda" in json.dumps(pool.base_job_template)
        client.delete_work_pool(POOL)


def test_a_worker_refuses_a_pool_that_it_cannot_serve(
    harness: str, client: SyncPrefectClient, project: Project
) -> None:
    client.create_work_pool(WorkPoolCreate(name="docker", type="docker"))
    for pool in ("gpuu", "docker"):
        with serving.worker(project, harness, pool) as process:
            assert process.wait(60) == 2
        said = (Path(project.environment["HOME"]) / "worker.log").read_text()
        assert f"work pool {pool}" in said
