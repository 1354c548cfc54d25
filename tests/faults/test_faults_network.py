"""With the data there, the whole pipeline runs where no network is, and does not look for one."""

from pathlib import Path

import pytest
from fault_report import Record

import faults
from faults import Finished
from project import Project, stages_run

CUT_OFF = """
import os, sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        address = arguments[0] if event.endswith(("info", "name")) else arguments[1]
        if not isinstance(address, (str, bytes)) or event.endswith(("info", "name")):
            with open(os.environ["ATTEMPTS"], "a") as attempts:
                attempts.write(f"{event} {address!r} by {sys.orig_argv}\\n")
            raise OSError("the network is unreachable")

sys.addaudithook(refuse)
with open(os.environ["ATTEMPTS"] + ".watched", "a") as watched:
    watched.write(" ".join(sys.orig_argv) + "\\n")
"""
"""Is run by each Python as it starts. Addresses of sockets of this machine alone are texts."""


@pytest.mark.nightly
def test_the_pipeline_runs_without_network_and_does_not_look_for_one(
    finished: Finished, workspace: Project, tmp_path: Path, full: bool, record_fault: Record
) -> None:
    hooks, attempts = tmp_path / "hooks", tmp_path / "attempts"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(CUT_OFF)
    workspace.environment["PYTHONPATH"] += f":{hooks}"
    workspace.environment["ATTEMPTS"] = str(attempts)
    stages = list(faults.locked(workspace)) if full else ["download", "normalize", "validate"]
    faults.forget(workspace, *stages)
    ran = stages_run(workspace.run("python", "-m", "dvc", "repro"))
    made = attempts.read_text().splitlines() if attempts.exists() else []
    quiet = finished.differences(workspace) == made == []
    record_fault("no network", int(quiet), 1, f"{len(ran)} stages, {len(made)} attempts")
    assert sorted(ran) == sorted(stages)
    assert quiet, made
    watched = (tmp_path / "attempts.watched").read_text()
    assert all(f"convdepth {verb}" in watched for verb in ("normalize", "validate"))
    # An attempt would be found.
    code = "import socket; socket.create_connection(('203.0.113.1', 9), timeout=1)"
    assert "unreachable" in workspace.run("python", "-c", code, code=1)
    assert "203.0.113.1" in attempts.read_text()
