"""From the schedule to the result, with a real server, a real worker, and what may befall them."""

import datetime
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import psutil
import pytest
import serving
import toy
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelling
from waiting import lives, wait_until

from project import Project

pytestmark = pytest.mark.nightly

NIGHTLY = "nightly/nightly"
EVERY_MINUTE = {"slug": "every-night", "cron": "* * * * *", "timezone": "Etc/UTC"}


@dataclass
class Machine:
    """A clone of the made-up project that has the flows, and the server that it works for."""

    project: Project
    home: Path  # of the server
    url: str
    client: SyncPrefectClient

    def runs(self) -> list[FlowRun]:
        """The runs of the schedule that have ended, the oldest first."""
        deployment = self.client.read_deployment_by_name(NIGHTLY).id
        ours = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployment]))
        found = self.client.read_flow_runs(flow_run_filter=ours)
        ended = [run for run in found if run.auto_scheduled and run.end_time]
        return sorted(ended, key=lambda run: run.start_time or datetime.datetime.max)

    def start_hanging(self, stage: str) -> UUID:
        """Start a run, and wait until a stage of it hangs."""
        toy.mark(self.project, f"hang-{stage}")
        began = toy.log(self.project).count(f"begin {stage}")
        run = serving.submit(self.client, NIGHTLY, force=True)
        wait_until(lambda: toy.log(self.project).count(f"begin {stage}") > began, 120)
        (self.project.folder / f"hang-{stage}").unlink()
        return run

    def finish(self, run: UUID, *names: str, seconds: float = 120) -> FlowRun:
        """Wait until a run is in one of these states; its message says what became of it."""
        return serving.wait_for_state(self.client, run, *names, seconds=seconds)


def message(run: FlowRun) -> str:
    return str(run.state and run.state.message)


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Its flow `nightly` is deployed with a schedule of one minute."""
    home = tmp_path_factory.mktemp("machine")
    project = toy.create(home / "toy", home)
    project.environment["TOY"] = str(project.folder)
    parameters = {"require_gpu": False, "jobs": 2}
    serving.add_flows(project, {"nightly": {"schedules": [EVERY_MINUTE], "parameters": parameters}})
    project.commit("The flows")
    with serving.server(home / "server") as url, serving.client_of(url) as client:
        assert "nightly/nightly: * * * * * (Etc/UTC)" in serving.deploy(project, url)
        yield Machine(project, home / "server", url, client)


@pytest.fixture
def worker(machine: Machine) -> Iterator[subprocess.Popen[bytes]]:
    with serving.worker(machine.project, machine.url) as process:
        yield process


@pytest.mark.usefixtures("worker")
def test_the_schedule_runs_and_a_run_with_nothing_to_do_takes_seconds(machine: Machine) -> None:
    serving.wait_for_server(lambda: len(machine.runs()) >= 1, 300)
    deployment = machine.client.read_deployment_by_name(NIGHTLY)
    machine.client.pause_deployment(deployment.id)
    run = machine.runs()[0]
    assert message(run) == "7 ran"
    assert set(run.tags) > {"convdepth", "auto-scheduled"}  # and commit, machine, device
    second = serving.submit(machine.client, NIGHTLY)
    again = machine.finish(second, "Completed", "Failed", "Crashed")
    assert message(again) == "7 restored"
    assert again.total_run_time < datetime.timedelta(seconds=45)  # 10 on a quiet machine
    assert sorted(toy.log(machine.project)) == sorted(
        f"{event} {name}" for name in toy.STAGES for event in ("begin", "end")
    )
    assert list(machine.project.folder.glob("*.model")) == []  # the worker's folder stays as it is


def test_a_cancel_on_the_server_stops_the_stage_and_sigterm_the_worker(
    machine: Machine, worker: subprocess.Popen[bytes]
) -> None:
    run = machine.start_hanging("train@one")
    members = family(worker)
    assert any("work.sh" in " ".join(member.cmdline()) for member in members)
    machine.client.set_flow_run_state(run, Cancelling())
    wait_until(lambda: not any(map(lives, members)), 20)
    machine.finish(run, "Cancelled", seconds=30)
    assert worker.poll() is None
    assert "end train@one" not in toy.log(machine.project)[-2:]
    assert toy.clones(machine.project) == []
    worker.send_signal(signal.SIGTERM)  # it was started as in the background of a shell
    worker.wait(30)
