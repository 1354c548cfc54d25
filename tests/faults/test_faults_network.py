"""With the data there, the whole pipeline runs where no network is, and does not look for one."""

import subprocess
from pathlib import Path

import pytest
from fault_report import Record

import faults
from faults import Finished
from project import Project, stages_run

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]

WITHOUT_NETWORK = (["unshare", "--net"], ["unshare", "--map-root-user", "--net"])
"""As the superuser, and as anybody else."""

WATCH = """
import os, sys

def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        address = arguments[0] if event.endswith(("info", "name")) else arguments[1]
        if not isinstance(address, (str, bytes)) or event.endswith(("info", "name")):
            line = f"{event} {address!r} by {sys.orig_argv}\\n"
            file = os.open(os.environ["ATTEMPTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(file, line.encode())
            os.close(file)

sys.addaudithook(watch)
with open(os.environ["ATTEMPTS"] + ".watched", "a") as watched:
    watched.write(" ".join(sys.orig_argv) + "\\n")
"""
"""Is run by each Python as it starts. Addresses of sockets of this machine alone are texts."""


@pytest.fixture(scope="module")
def without_network() -> list[str]:
    """What comes before a command, so that it has no network."""
    for prefix in WITHOUT_NETWORK:
        if subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode == 0:
            return prefix
    pytest.skip("this user may not make a network namespace")


def test_the_pipeline_runs_without_network_and_does_not_look_for_one(
    finished: Finished,
    workspace: Project,
    tmp_path: Path,
    full: bool,
    record_fault: Record,
    without_network: list[str],
) -> None:
    attempts = watch(workspace.environment, tmp_path)
    stages = list(faults.locked(workspace)) if full else ["download", "normalize", "validate"]
    faults.forget(workspace, *stages)
    ran = stages_run(workspace.run(*without_network, "dvc", "repro"))
    assert sorted(ran) == sorted(stages)
    watched = (tmp_path / "attempts.watched").read_text().splitlines()
    assert all(
        any(f"convdepth {verb}" in line for line in watched) for verb in ("normalize", "validate")
    )
    made = attempts.read_text().splitlines() if attempts.exists() else []
    quiet = faults.results(workspace) == finished.results and not made
    record_fault("no network", int(quiet), 1, f"{len(ran)} stages, {len(made)} attempts")
    assert made == []
    assert faults.results(workspace) == finished.results


def test_an_attempt_would_be_found(
    workspace: Project, tmp_path: Path, without_network: list[str]
) -> None:
    attempts = watch(workspace.environment, tmp_path)
    code = "import socket; socket.create_connection(('203.0.113.1', 9), timeout=1)"
    workspace.run(*without_network, "python", "-c", code, code=1)
    assert "203.0.113.1" in attempts.read_text()


def watch(environment: dict[str, str], folder: Path) -> Path:
    """Let each Python write down its attempts to connect; give where."""
    hooks = folder / "hooks"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(WATCH)
    attempts = folder / "attempts"
    environment["PYTHONPATH"] += f":{hooks}"
    environment["ATTEMPTS"] = str(attempts)
    return attempts
