"""With the data there, the whole pipeline runs where no network is, and does not look for one."""

import subprocess
from pathlib import Path

import pytest
from fault_report import Record

import faults
from faults import Finished
from project import Project, stages_run

WITHOUT_NETWORK = (["unshare", "--net"], ["unshare", "--map-root-user", "--net"])
"""As the superuser, and as anybody else."""

WATCH = """
import os, sys

def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        address = arguments[0] if event.endswith(("info", "name")) else arguments[1]
        if not isinstance(address, (str, bytes)) or event.endswith(("info", "name")):
            with open(os.environ["ATTEMPTS"], "a") as attempts:
                attempts.write(f"{event} {address!r} by {sys.orig_argv}\\n")

sys.addaudithook(watch)
with open(os.environ["ATTEMPTS"] + ".watched", "a") as watched:
    watched.write(" ".join(sys.orig_argv) + "\\n")
"""
"""Is run by each Python as it starts. Addresses of sockets of this machine alone are texts."""


def test_the_pipeline_runs_without_network_and_does_not_look_for_one(
    finished: Finished, workspace: Project, tmp_path: Path, full: bool, record_fault: Record
) -> None:
    prefix = find_prefix()
    hooks, attempts = tmp_path / "hooks", tmp_path / "attempts"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(WATCH)
    workspace.environment["PYTHONPATH"] += f":{hooks}"
    workspace.environment["ATTEMPTS"] = str(attempts)
    stages = list(faults.locked(workspace)) if full else ["download", "normalize", "validate"]
    faults.forget(workspace, *stages)
    ran = stages_run(workspace.run(*prefix, "dvc", "repro"))
    made = attempts.read_text().splitlines() if attempts.exists() else []
    quiet = finished.differences(workspace) == made == []
    record_fault("no network", int(quiet), 1, f"{len(ran)} stages, {len(made)} attempts")
    assert sorted(ran) == sorted(stages)
    assert quiet, made
    watched = (tmp_path / "attempts.watched").read_text()
    assert all(f"convdepth {verb}" in watched for verb in ("normalize", "validate"))
    # An attempt would be found.
    code = "import socket; socket.create_connection(('203.0.113.1', 9), timeout=1)"
    workspace.run(*prefix, "python", "-c", code, code=1)
    assert "203.0.113.1" in attempts.read_text()


def find_prefix() -> list[str]:
    """Return what comes before a command, so that it has no network."""
    for prefix in WITHOUT_NETWORK:
        if subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode == 0:
            return prefix
    pytest.skip("this user may not make a network namespace")
