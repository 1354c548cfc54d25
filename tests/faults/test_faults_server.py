"""The Prefect server dies while a flow runs, and comes back or does not: the work is done."""

import sys
from pathlib import Path

import pytest
import serving
import toy
from fault_report import is_full
from waiting import wait_until

import faults
from conftest import PROJECT
from project import Project

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # One that never returns is given up after some minutes.
    full = is_full(metafunc.config)
    metafunc.parametrize("returns", [True, False] if full else [True])


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The made-up project; a stage hangs as long as the file that makes it hang is there."""
    project = toy.create(tmp_path / "toy", tmp_path)
    hang = 'if [ -f "$control/hang-$1" ]; then'
    assert hang in toy.WORK_SH
    wait = 'while [ -f "$control/hang-$1" ]; do sleep 0.1; done\n'
    (project.folder / "work.sh").write_text(toy.WORK_SH.replace(hang, f"{wait}{hang}"))
    project.environment |= {"PREFECT_HOME": str(tmp_path / "prefect"), "PYTHONPATH": str(PROJECT)}
    return project


def test_the_work_is_done_although_the_server_was_killed(
    project: Project, tmp_path: Path, returns: bool
) -> None:
    toy.mark(project, "hang-train@one")
    home, port = tmp_path / "server", serving.free_port()
    url = f"http://127.0.0.1:{port}/api"
    project.environment["PREFECT_API_URL"] = url
    server = serving.start_server(home, port)
    command = [sys.executable, "-m", "pipelines", "pipeline", "--jobs", "1"]
    log = tmp_path / "flow.log"
    try:
        serving.wait_for_health(url, server)
        with log.open("w") as file, faults.started(project, *command, stdout=file) as process:
            wait_until(lambda: "begin train@one" in toy.log(project), 120)
            serving.kill_tree(server.pid)
            server.wait()
            (project.folder / "hang-train@one").unlink()
            if returns:
                server = serving.start_server(home, port)
            code = process.wait(900)
    finally:
        serving.kill_tree(server.pid)
        server.wait()
    assert sorted(toy.log(project)) == sorted(
        f"{event} {name}" for name in toy.STAGES for event in ("begin", "end")
    ), log.read_text()
    assert "up to date" in project.run("dvc", "status")
    assert code == 0 if returns else code != 0
