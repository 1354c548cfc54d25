"""What `deploy` puts on a server, what it leaves as it is, and what `worker` refuses."""

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest
import serving
import toy
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.schedules import CronSchedule
from prefect.events.schemas.automations import EventTrigger
from prefect.exceptions import PrefectHTTPStatusError
from ruamel.yaml import YAML

from conftest import PROJECT
from pipelines.deploy.deployments import POOL
from pipelines.deploy.heartbeats import CRASH_DETECTION, TAG
from pipelines.flows.fan_out import DEPLOYMENT
from pipelines.flows.nightly import nightly
from project import Project

NIGHTLY = "nightly/nightly"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    home = tmp_path_factory.mktemp("machine")
    project = toy.create(home / "toy", home)
    serving.add_flows(project)
    return project


@pytest.fixture(autouse=True, scope="module")
def empty_afterwards(harness: str) -> Iterator[None]:
    """Other tests have the same server."""
    yield
    with serving.client_of(harness) as client:
        for deployment in client.read_deployments():
            client.delete_deployment(deployment.id)
        for automation in client.read_automations():
            client.delete_automation(automation.id)
        for pool in client.read_work_pools():
            client.delete_work_pool(pool.name)


def test_deploy_sets_up_a_server_and_again_leaves_what_a_user_has_changed(
    harness: str, project: Project
) -> None:
    serving.deploy(project, harness)
    with get_client(sync_client=True) as client:
        check_all_is_there(client)
        change_by_hand(client)
        # Prefect puts the value of a variable that is set here into what the workers are told.
        said = serving.deploy(project, harness, CONVDEPTH_HOME="/elsewhere")
        check_what_was_changed_stays(client)
    assert "nightly/nightly: when it is asked for" in said


def check_all_is_there(client: SyncPrefectClient) -> None:
    pool = client.read_work_pool(POOL)
    assert (pool.type, pool.is_paused, pool.concurrency_limit) == ("process", False, None)
    assert "make worker" in str(pool.description)
    assert "working_dir" in pool.base_job_template["variables"]["properties"]
    found = client.read_deployment_by_name(NIGHTLY)
    assert found.entrypoint == "pipelines/nightly.py:nightly"  # of the worker's clone
    assert found.path is None
    assert found.parameters == {"require_gpu": True, "publish": False, "force": False}
    assert found.tags == [TAG]
    assert found.job_variables == {"env": {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}}
    assert found.global_concurrency_limit is not None
    assert found.global_concurrency_limit.limit == 1
    assert found.concurrency_options is not None
    assert found.concurrency_options.collision_strategy == "ENQUEUE"
    (schedule,) = found.schedules
    assert schedule.active
    assert schedule.schedule == CronSchedule(cron="30 2 * * *", timezone="Etc/UTC")
    assert client.read_deployment_by_name(DEPLOYMENT).schedules == []
    (detection,) = client.read_automations_by_name(CRASH_DETECTION)
    assert isinstance(detection.trigger, EventTrigger)
    assert detection.trigger.within > 3 * datetime.timedelta(seconds=30)
    check_pull_steps(client)


def change_by_hand(client: SyncPrefectClient) -> None:
    client.update_work_pool(POOL, WorkPoolUpdate(is_paused=True, concurrency_limit=3))
    found = client.read_deployment_by_name(NIGHTLY)
    client.update_deployment_schedule(found.id, found.schedules[0].id, active=False)
    client.pause_deployment(client.read_deployment_by_name(DEPLOYMENT).id)
    (detection,) = client.read_automations_by_name(CRASH_DETECTION)
    client.pause_automation(detection.id)


def check_what_was_changed_stays(client: SyncPrefectClient) -> None:
    pool = client.read_work_pool(POOL)
    assert (pool.is_paused, pool.concurrency_limit) == (True, 3)
    found = client.read_deployment_by_name(NIGHTLY)
    (schedule,) = found.schedules
    assert not schedule.active
    assert not found.paused
    assert client.read_deployment_by_name(DEPLOYMENT).paused
    (detection,) = client.read_automations_by_name(CRASH_DETECTION)
    assert not detection.enabled
    check_pull_steps(client)


def check_pull_steps(client: SyncPrefectClient) -> None:
    for name in (NIGHTLY, DEPLOYMENT):
        (step,) = client.read_deployment_by_name(name).pull_steps or []
        assert step == {
            "prefect.deployments.steps.set_working_directory": {
                "directory": "{{ $CONVDEPTH_HOME }}"
            }
        }


def test_a_training_must_be_told_which(harness: str, project: Project) -> None:
    serving.deploy(project, harness)
    with get_client(sync_client=True) as client:
        with pytest.raises(PrefectHTTPStatusError, match="'name' is a required property"):
            serving.submit(client, DEPLOYMENT)
        with pytest.raises(PrefectHTTPStatusError, match="'maybe' is not of type 'boolean'"):
            serving.submit(client, DEPLOYMENT, name="cnn1", force="maybe")


def test_the_file_says_what_the_code_relies_on() -> None:
    content = YAML(typ="safe").load(PROJECT / "pipelines" / "prefect.yaml")
    for deployment in content["deployments"]:
        assert deployment["work_pool"]["name"] == POOL
        assert deployment["tags"] == [TAG]
        assert all(schedule["slug"] for schedule in deployment.get("schedules", []))
    (scheduled,) = (each for each in content["deployments"] if each["name"] == "nightly")
    assert set(scheduled["parameters"]) < set(nightly.parameters.properties)


def test_deploy_needs_a_server_that_stays(project: Project) -> None:
    said = project.run(*serving.PIPELINES, "deploy", code=4)
    assert "make ui" in said
    assert "PREFECT_API_URL" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        ("gpuu", "the Prefect server has no work pool gpuu; there is "),
        ("docker", "the work pool docker of the Prefect server is of the type docker"),
    ],
)
def test_a_worker_refuses_a_pool_that_it_cannot_serve(
    harness: str, project: Project, pool: str, message: str
) -> None:
    with get_client(sync_client=True) as client:
        if pool == "docker" and not [
            each for each in client.read_work_pools() if each.name == pool
        ]:
            client.create_work_pool(WorkPoolCreate(name=pool, type="docker"))
    with serving.worker(project, harness, pool) as process:
        assert process.wait(60) == 2
    said = (Path(project.environment["HOME"]) / "worker.log").read_text()
    assert message in said
