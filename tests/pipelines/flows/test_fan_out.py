"""Training on several machines: what is refused, and two workers in two clones."""

import logging
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import serving
import toy
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed

from pipelines.flows import fan_out
from pipelines.flows.fan_out import spread, unfinished_networks
from project import Project


@pytest.fixture
def project(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with the flows, an upstream and a DVC remote, all of it committed and pushed."""
    serving.add_flows(project)
    toy.share(project)
    project.enter(monkeypatch, "GIT_CONFIG_NOSYSTEM")
    return project


@pytest.mark.usefixtures("harness", "project")
def test_a_server_without_the_deployment_is_refused() -> None:
    state = spread(return_state=True)
    assert state.is_failed()
    assert "train-on-worker/train-architecture" in str(state.message)


@pytest.mark.usefixtures("harness", "quick_dvc")
def test_only_networks_that_dvc_cannot_restore_are_queued(project: Project) -> None:
    assert unfinished_networks(["one", "two"]) == ["one", "two"]
    project.repro()
    text = (project.folder / "params.yaml").read_text()
    (project.folder / "params.yaml").write_text(text.replace("filters: 1", "filters: 3"))
    assert unfinished_networks(["one", "two"]) == ["one"]
    project.run("dvc", "repro", "train@one")
    (project.folder / "params.yaml").write_text(text)
    (project.folder / "one.model").unlink()
    assert unfinished_networks(["one", "two"]) == []  # the run cache has the first result


def test_only_a_user_cancels_the_trainings_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is away for longer than Prefect's client tries, then back."""
    monkeypatch.setattr(fan_out, "POLL_SECONDS", 0.01)
    runs, cancelled = {name: uuid4() for name in ("one", "two")}, []
    away = [httpx.ConnectError("refused"), *map(http_error, (500, 503))]

    class Client:
        """A server that is away three times."""

        def read_flow_run(self, run: UUID) -> FlowRun:
            if away:
                raise away.pop()
            if run == runs["two"]:
                raise interruption
            return FlowRun(id=run, flow_id=uuid4(), state=Completed())

        def set_flow_run_state(self, run: UUID, state: State[Any]) -> None:
            cancelled.append((run, state.type))

    monkeypatch.setattr(fan_out, "get_client", lambda **_: nullcontext(Client()))
    monkeypatch.setattr(fan_out, "get_run_logger", lambda: logging.getLogger("test"))
    interruption: BaseException = ObjectNotFound(Exception())  # somebody has deleted the run
    assert "deleted" in fan_out._wait(runs)[0]
    assert (away, cancelled) == ([], [])
    interruption = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        fan_out._wait(runs)
    assert cancelled == [(runs["two"], "CANCELLING")]
    interruption = http_error(401)  # it would not help to wait
    with pytest.raises(httpx.HTTPStatusError):
        fan_out._wait(runs)
    assert len(cancelled) == 1


def http_error(status: int) -> httpx.HTTPStatusError:
    request = httpx.Request("GET", "http://127.0.0.1")
    return httpx.HTTPStatusError("no", request=request, response=httpx.Response(status))


def machine(name: str, home: Path) -> Project:
    """Clone the project; the clone has a home of its own."""
    project = Project(home / name / "clone", home / name)
    project.environment |= {"MACHINE": name, "TOY": str(home / "toy")}
    project.environment["PREFECT_HOME"] = str(home / name / "prefect")
    Project(home, home).run(
        "git", "clone", "--quiet", str(home / "origin.git"), str(project.folder)
    )
    return project


@pytest.mark.nightly
def test_each_network_is_trained_once_and_none_where_they_are_collected(
    project: Project, tmp_path: Path
) -> None:
    # Each training waits for the other, so one worker alone would fail; and one fails afterwards.
    toy.mark(project, "meet")
    first, second = (machine(name, tmp_path) for name in ("first", "second"))
    spread_command = [*serving.PIPELINES, "spread"]
    with ExitStack() as stack:
        url = stack.enter_context(serving.server(tmp_path / "server"))
        serving.deploy(project, url)
        stack.enter_context(serving.worker(first, url))
        stack.enter_context(serving.worker(second, url))
        project.environment |= {"PREFECT_API_URL": url, "MACHINE": "collector"}
        output = project.run(*spread_command)
        assert "train@one | Stage 'train@one' is cached" in output
        log = toy.log(project)
        assert {line.split(" on ")[1] for line in log if "train" in line} == {"first", "second"}
        (project.folder / "meet").unlink()

        # A failed training is named, and the others are kept.
        text = (project.folder / "params.yaml").read_text()
        (project.folder / "params.yaml").write_text(text.replace("filters: ", "filters: 1"))
        toy.push(project, "Wider")
        toy.mark(project, "fail-train@one")
        assert "one: Failed: train@one: " in project.run(*spread_command, code=1)
        (project.folder / "fail-train@one").unlink()
        project.run(*spread_command)
    ended = [line.split(" on ")[0] for line in toy.log(project) if "end train" in line]
    assert sorted(ended[:2]) == ["end train@one", "end train@two"]
    assert ended[2:] == ["end train@two", "end train@one"]
    plain = machine("plain", tmp_path)
    plain.repro()
    assert toy.locked(project) == toy.locked(plain)
    assert toy.clones(first) == []
