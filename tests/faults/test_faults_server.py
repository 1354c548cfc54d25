"""The Prefect server dies while a flow runs, and comes back or does not: the work is done."""

from pathlib import Path

import pytest
import serving
import toy
from fault_report import is_full
from waiting import wait_until

import faults
from conftest import PROJECT
from project import Project


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # One that never returns is given up after some minutes.
    metafunc.parametrize("returns", [True, False] if is_full(metafunc.config) else [True])


def test_the_work_is_done_although_the_server_was_killed(
    project: Project, tmp_path: Path, returns: bool
) -> None:
    hang = 'if [ -f "$control/hang-$1" ]; then'
    wait = 'while [ -f "$control/hang-$1" ]; do sleep 0.1; done\n'
    toy.edit_work(project, hang, f"{wait}{hang}")
    toy.mark(project, "hang-train@one")
    home, port = tmp_path / "server", serving.free_port()
    url, log = f"http://127.0.0.1:{port}/api", tmp_path / "flow.log"
    project.environment |= {"PREFECT_HOME": str(tmp_path / "prefect"), "PYTHONPATH": str(PROJECT)}
    project.environment["PREFECT_API_URL"] = url
    command = [*serving.PIPELINES, "pipeline", "--jobs", "1"]
    server = serving.start_server(home, port)
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
