"""From the cron schedule to the result, with a real server and a real worker.

`test_soak` has what may befall them, on planned nights.
"""

import datetime
from pathlib import Path

import pytest
import serving
import toy
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun

NIGHTLY = "nightly/nightly"
EVERY_MINUTE = {"slug": "every-night", "cron": "* * * * *", "timezone": "Etc/UTC"}


def message(run: FlowRun) -> str:
    return str(run.state and run.state.message)


@pytest.mark.nightly
def test_the_schedule_runs_and_a_run_with_nothing_to_do_takes_seconds(tmp_path: Path) -> None:
    project = toy.create(tmp_path / "toy", tmp_path)
    project.environment["TOY"] = str(project.folder)
    parameters = {"require_gpu": False, "jobs": 2}
    serving.add_flows(project, {"nightly": {"schedules": [EVERY_MINUTE], "parameters": parameters}})
    project.commit("The flows")
    with serving.server(tmp_path / "server") as url, serving.client_of(url) as client:
        assert "nightly/nightly: * * * * * (Etc/UTC)" in serving.deploy(project, url)
        deployment = client.read_deployment_by_name(NIGHTLY).id
        ours = FlowRunFilter.model_validate({"deployment_id": {"any_": [deployment]}})

        def ended() -> list[FlowRun]:
            """The runs of the schedule that have ended, the oldest first."""
            runs = client.read_flow_runs(flow_run_filter=ours)
            found = [run for run in runs if run.auto_scheduled and run.end_time]
            return sorted(found, key=lambda run: run.start_time or datetime.datetime.max)

        with serving.worker(project, url):
            serving.wait_for_server(lambda: bool(ended()), 300)
            client.pause_deployment(deployment)
            run = ended()[0]
            second = serving.submit(client, NIGHTLY)
            again = serving.wait_for_state(client, second, "Completed", "Failed", "Crashed")
    assert message(run) == "7 ran"
    assert set(run.tags) > {"convdepth", "auto-scheduled"}  # and commit, machine, device
    assert message(again) == "7 restored"
    assert again.total_run_time < datetime.timedelta(seconds=45)  # 10 on a quiet machine
    assert sorted(toy.log(project)) == toy.WHOLE_LOG
    assert list(project.folder.glob("*.model")) == []  # the worker's folder stays as it is
