"""What `convdepth doctor` says of Prefect, of the DVC remote and of git."""

import base64
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import serving
import toy
from convdepth.integrity.check_services import (
    check_git,
    check_prefect,
    check_remote,
    check_remote_answers,
)

from convdepth.core.errors import MachineError
from convdepth.integrity.findings import Finding, Severity
from convdepth.workspace import repository
from project import Project


def only(findings: list[Finding], severity: Severity) -> str:
    """Give the text and the remedy of the only finding, which counts so."""
    (finding,) = findings
    assert finding.severity is severity, finding
    return f"{finding.text}. {finding.remedy}"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of Prefect's where nothing is."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    return tmp_path / "prefect"


def test_no_server(tmp_path: Path) -> None:
    text = only(check_prefect(tmp_path), Severity.NOTE)
    assert "no server runs here, and PREFECT_API_URL names none. `make repro` starts one" in text


def test_a_server_that_a_setting_names_and_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://127.0.0.1:{serving.free_port()}/api"
    monkeypatch.setenv("PREFECT_API_URL", url)
    text = only(check_prefect(tmp_path), Severity.FAULT)
    assert text.startswith(f"{url} does not answer: ")
    assert "Start it, or unset PREFECT_API_URL" in text


def test_a_server_of_ours_that_hangs(tmp_path: Path, home: Path) -> None:
    options = ["-m", "prefect", "server", "start", "--host", "127.0.0.1"]
    port = str(serving.free_port())
    wait = [sys.executable, "-c", "import time; time.sleep(600)"]
    with subprocess.Popen([*wait, *options, "--port", port]) as process:
        home.mkdir()
        (home / "server.pid").write_text(str(process.pid))
        text = only(check_prefect(tmp_path), Severity.FAULT)
        process.kill()
    assert text.startswith(f"http://127.0.0.1:{port}/api does not answer: ")
    assert "Run `prefect server stop`, then `make ui`" in text


PASSWORD = "user:pass:word"


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A server that wants a password, as Prefect's own does; gives a project that uses it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            header = f"Basic {base64.b64encode(PASSWORD.encode()).decode()}"
            allowed = self.path == "/api/health" or self.headers.get("Authorization") == header
            self.send_response(200 if allowed else 401)
            self.end_headers()
            self.wfile.write(b"true")

        def log_message(self, *_: object) -> None:
            pass

    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "prefect.yaml").write_text("deployments: []")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{server.server_port}/api")
    yield tmp_path
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_server_with_a_password(locked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = only(check_prefect(locked), Severity.FAULT)
    assert "wants a password, or another one. Set PREFECT_API_AUTH_STRING" in text
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "user:another")
    assert "or another one" in only(check_prefect(locked), Severity.FAULT)
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", PASSWORD)
    assert "answers" in only(check_prefect(locked), Severity.OK)


def test_what_a_real_server_would_run_and_who_runs_it(
    harness: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", harness)
    project = toy.create(tmp_path / "toy", tmp_path)
    serving.add_flows(project)
    text = "; ".join(finding.text for finding in check_prefect(project.folder))
    assert text == f"{harness} answers; nightly is not on the server, so nothing is scheduled"
    serving.deploy(project, harness)
    with serving.client_of(harness) as client:
        try:
            answers, *findings = check_prefect(project.folder)
            assert [finding.severity for finding in findings] == [Severity.OK, Severity.NOTE]
            assert findings[0].text == "nightly is scheduled: 30 2 * * *"
            assert findings[1].text.startswith("no worker serves the work pool gpu")
            client.send_worker_heartbeat("gpu", "a worker", heartbeat_interval_seconds=600)
            client.pause_deployment(client.read_deployment_by_name("nightly/nightly").id)
            answers, *findings = check_prefect(project.folder)
        finally:
            for deployment in client.read_deployments():
                client.delete_deployment(deployment.id)
            client.delete_work_pool("gpu")
    assert answers.severity is Severity.OK
    assert [finding.severity for finding in findings] == [Severity.NOTE, Severity.OK]
    assert findings[0].text == "nightly is on the server, but its schedule is paused"
    assert findings[1].text == "the work pool gpu is served by a worker"


def test_remotes(project: Project, tmp_path: Path) -> None:
    assert "none is set" in only(check_remote(project.folder), Severity.NOTE)
    assert check_remote_answers(project.folder) == []
    long = tmp_path / ("remote" * 30)
    project.run("dvc", "remote", "add", "a.b", str(long))
    text = only(check_remote(project.folder), Severity.NOTE)
    assert "none of a.b is the default, so results are not shared. `dvc remote default" in text
    project.run("dvc", "remote", "default", "a.b")
    assert only(check_remote(project.folder), Severity.OK) == "a.b is the default. "
    project.repro()
    assert only(check_remote_answers(project.folder), Severity.OK) == "a.b answers. "


def test_a_remote_that_does_not_work(project: Project) -> None:
    project.repro()
    project.run("dvc", "remote", "add", "--default", "storage", "s3://bucket/folder")
    text = only(check_remote_answers(project.folder), Severity.FAULT)
    assert text.startswith("storage does not answer: ")
    assert "s3" in text  # what it needs is not installed


def test_a_remote_that_is_silent(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.run("dvc", "remote", "add", "--default", "storage", "/nowhere")
    # Stands for a host that takes a connection and says nothing.
    monkeypatch.setattr(sys, "executable", str(project.folder / "slow"))
    (project.folder / "slow").write_text("#!/bin/sh\nexec sleep 600\n")
    (project.folder / "slow").chmod(0o755)
    assert repository.ask_remote(project.folder, 0.5) == "no answer within 0 s"


def test_git(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GIT_CONFIG_NOSYSTEM", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(name, project.environment[name])
    assert (
        only(check_git(project.folder), Severity.OK) == "commits are by test <test@example.org>. "
    )
    (project.folder / "new").touch()
    _, changed = check_git(project.folder)
    assert changed.severity is Severity.NOTE
    assert changed.text == "1 change since the last commit"


def test_git_without_an_identity(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NAME", "EMAIL"):
        monkeypatch.delenv(f"GIT_COMMITTER_{name}", raising=False)
    monkeypatch.delenv("EMAIL", raising=False)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    project.run("git", "config", "user.useConfigOnly", "true")  # do not guess it
    text = only(check_git(project.folder), Severity.NOTE)
    assert "git does not know who you are, so results cannot be committed" in text


def test_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert "no git repository" in only(check_git(tmp_path), Severity.NOTE)


def test_prefect_that_is_set_up_wrongly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_REQUEST_TIMEOUT", "soon")
    with pytest.raises(MachineError, match=r"`prefect config view` failed: .*by hand, run again"):
        check_prefect(tmp_path)
