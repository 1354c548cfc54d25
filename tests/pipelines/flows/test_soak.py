"""Thirty nights in ten minutes, with what may befall them; the table goes to benchmarks/.

The server plans each night as its scheduler does, one day of the calendar after the other, all of
them overdue. Nothing else is pretended: server, worker, webhook, git, DVC and its remote are real.
"""

import contextlib
import datetime
import json
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest
import servers
import serving
import toy
from prefect.client.orchestration import SyncPrefectClient
from prefect.states import Cancelling
from waiting import wait_until

from benchmarks import reporting
from pipelines.checkout.clone import CLONES
from pipelines.deploy.deployments import WEBHOOK
from project import Project

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(3600)]

NIGHTLY = "nightly/nightly"
FAILED, CRASHED, CANCELLED = "is Failed", "is Crashed", "is Cancelled"
RECOVERED = "has recovered"
STAGE_SECONDS = 40
PARAMETERS = {"require_gpu": False, "publish": True, "jobs": 2, "stage_hours": STAGE_SECONDS / 3600}

EARLIER = """
UPDATE flow_run_state SET timestamp = strftime('%Y-%m-%d %H:%M:%f', timestamp, '-1 day')
WHERE type = 'SCHEDULED'
"""


@dataclass
class Nights:
    """A developer's clone, a worker's clone, a server, and what its webhook has received."""

    project: Project  # the developer's
    machine: Project  # the worker's
    server: Path  # its home
    url: str
    client: SyncPrefectClient
    received: list[bytes]
    stack: ExitStack
    worker: Any = None
    width: int = 1
    day: datetime.date = datetime.date(2026, 1, 1)
    told: int = 0  # alerts that were checked
    rows: list[dict[str, Any]] = field(default_factory=list)

    def start_worker(self) -> None:
        self.worker = self.stack.enter_context(serving.worker(self.machine, self.url))

    def plan(self, nights: int = 1) -> list[UUID]:
        """Let the server plan the next nights; they are overdue, so the first begins at once."""
        found, known = self.client.read_deployment_by_name(NIGHTLY), self._planned()
        end = self.day + datetime.timedelta(days=nights)
        body = {"start_time": f"{self.day}T00:00:00Z", "end_time": f"{end}T00:00:00Z"}
        assert found.work_queue_id is not None
        self.client.update_work_queue(found.work_queue_id, is_paused=True)
        self.client.request("POST", f"/deployments/{found.id}/schedule", json=body)
        # A nightly is planned a day ahead. Alerts on a run that begins within five minutes would
        # wait for the event of its planning, which the server does not send.
        with contextlib.closing(sqlite3.connect(self.database, timeout=30)) as database, database:
            database.execute(EARLIER)
        self.client.update_work_queue(found.work_queue_id, is_paused=False)
        self.day = end
        return [run for run in self._planned() if run not in known]

    @property
    def database(self) -> Path:
        return self.server / "prefect" / "prefect.db"

    def _planned(self) -> list[UUID]:
        wanted = {"flow_runs": {"expected_start_time": {"before_": "2026-06-01T00:00:00Z"}}}
        runs = self.client.request("POST", "/flow_runs/filter", json=wanted).json()
        return [UUID(run["id"]) for run in sorted(runs, key=lambda run: run["expected_start_time"])]

    def night(
        self, what: str, state: str, *alerts: str, run: UUID | None = None, clones: int = 0
    ) -> str:
        """Wait for the end of a night, by default of a new one; return its message.

        Its state must be right, its alerts those that are due, and nothing of it left but clones.
        """
        states = ("Completed", "Failed", "Crashed", "Cancelled", "TimedOut", "Superseded")
        ended = serving.wait_for_state(self.client, run or self.plan()[0], *states, seconds=300)
        message = str(ended.state and ended.state.message)
        assert ended.state_name == state, f"{what}: {message}"
        wait_until(lambda: len(self.received) >= self.told + len(alerts))
        time.sleep(2)  # for alerts that are not due
        bodies = self.received[self.told :]
        self.told += len(bodies)
        # On SQLite, a busy server says "database is locked", and may send an alert again.
        texts = list(dict.fromkeys(json.loads(body)["text"] for body in bodies))
        assert len(texts) == len(alerts), f"{what}: {texts}"
        for text, alert in zip(texts, alerts, strict=True):
            assert alert in text, what
            assert f"/runs/flow-run/{ended.id}" in text, what
        left = [path for path in (self.machine.folder / CLONES).glob("*") if path.is_dir()]
        assert len(left) == clones, what
        seconds = round(ended.total_run_time.total_seconds())
        row = {"night": what, "state": state, "seconds": seconds, "alerts": len(alerts)}
        self.rows.append({**row, "repeated": len(bodies) - len(texts)})
        return message

    def push(self, message: str, name: str, content: str) -> None:
        (self.project.folder / name).write_text(content)
        toy.push(self.project, message)

    def undo(self) -> None:
        self.project.run("git", "revert", "--no-edit", "HEAD")
        self.project.run("git", "push", "--quiet")

    def hang(self, seconds: int) -> UUID:
        """Begin a night whose training of a new network hangs."""
        self.width += 2
        self.project.edit_params({"architectures.one.block1.conv1.filters": self.width})
        toy.push(self.project, "Another width")
        mark = self.project.folder / "hang-train@one"
        mark.write_text(str(seconds))
        begun = toy.log(self.project).count("begin train@one")
        (run,) = self.plan()
        wait_until(lambda: toy.log(self.project).count("begin train@one") > begun, 120)
        time.sleep(1)
        mark.unlink()
        return run


@pytest.fixture
def nights(tmp_path: Path) -> Iterator[Nights]:
    project = toy.create(tmp_path / "toy", tmp_path)
    serving.add_flows(project, {"nightly": {"parameters": PARAMETERS}})
    graph = project.folder / "dvc.yaml"
    graph.write_text(
        graph.read_text().replace('deps: ["${key}.model"]', 'deps: ["${key}.model", accuracy]')
    )
    toy.share(project)
    home = tmp_path / "worker"
    home.mkdir()
    machine = Project(home / "clone", home)
    machine.environment |= {"TOY": str(project.folder), "PREFECT_HOME": str(home / "prefect")}
    project.run("git", "clone", "--quiet", str(tmp_path / "origin.git"), str(machine.folder))
    with ExitStack() as stack:
        hook = stack.enter_context(servers.serve({"*": servers.answer(status=204)}, secure=False))
        url = stack.enter_context(serving.server(tmp_path / "server"))
        client = stack.enter_context(serving.client_of(url))
        serving.deploy(project, url, **{WEBHOOK: f"{hook.url}secret"})
        nights = Nights(project, machine, tmp_path / "server", url, client, hook.bodies, stack)
        nights.start_worker()
        yield nights


def test_thirty_nights(nights: Nights, full: bool) -> None:
    first_results(nights)
    restart_server(nights)
    lose_worker(nights)
    lose_remotes(nights)
    fill_disk(nights)
    commit_mistakes(nights)
    regress(nights)
    hang_and_cancel(nights)
    miss_nights(nights)
    while len(nights.rows) < 30:
        nights.night("nothing changed", "Completed")
    serving.kill_tree(nights.worker.pid)
    folder = str(nights.machine.folder)
    commands = [each.info["cmdline"] or [] for each in psutil.process_iter(["cmdline"])]
    assert not [command for command in commands if folder in " ".join(command)]
    assert nights.machine.run("git", "status", "--porcelain") == ""
    if full:
        write(nights.rows)


def first_results(nights: Nights) -> None:
    message = nights.night("first results, published", "Completed")
    branch = message.split()[-1]
    for command in (f"fetch --quiet origin {branch}", "merge --quiet FETCH_HEAD", "push --quiet"):
        nights.project.run("git", *command.split())
    assert "nothing to publish" in nights.night("nothing changed", "Completed")


def restart_server(nights: Nights) -> None:
    for seconds in (2, 20):
        run = nights.hang(seconds + 15)
        serving.kill_server(nights.server)
        time.sleep(seconds)
        serving.start_server(nights.server, nights.url)
        nights.night(f"server killed for {seconds} s and its start", "Completed", run=run)


def lose_worker(nights: Nights) -> None:
    run = nights.hang(300)
    nights.worker.send_signal(signal.SIGKILL)
    nights.worker.wait()
    nights.night("worker killed", "Crashed", CRASHED, run=run)
    nights.start_worker()
    nights.night("the training goes on", "Completed", RECOVERED)
    run = nights.hang(300)
    serving.kill_tree(nights.worker.pid)
    nights.worker.wait()
    nights.night("machine lost", "Crashed", CRASHED, run=run, clones=1)
    nights.start_worker()
    nights.night("the training goes on", "Completed", RECOVERED)


def lose_remotes(nights: Nights) -> None:
    origin, storage = (nights.project.folder.parent / name for name in ("origin.git", "storage"))
    for path, what in ((storage, "DVC remote unavailable"), (origin, "git remote unavailable")):
        moved = path.rename(path.with_name("moved"))
        path.touch()
        nights.night(what, "Failed", FAILED)
        path.unlink()
        moved.rename(path)
    nights.night("both are back", "Completed", RECOVERED)


def fill_disk(nights: Nights) -> None:
    """Give the clones a disk of their own, which takes root's rights."""
    disk = nights.machine.folder / CLONES
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=True)
    try:
        with pytest.raises(OSError, match="No space left"):
            (disk / "full").write_bytes(bytes(3_000_000))
        message = nights.night("disk full", "Failed", FAILED)
        assert "No space left" in message
    finally:
        subprocess.run(["umount", disk], check=True)
    nights.night("room on the disk again", "Completed", RECOVERED)


def commit_mistakes(nights: Nights) -> None:
    params = (nights.project.folder / "params.yaml").read_text()
    nights.push("A slip", "params.yaml", params.replace("train:", "train:\n  dropuot: 1", 1))
    assert "train.dropuot" in nights.night("bad commit: unknown parameter", "Failed", FAILED)
    nights.undo()
    nights.night("commit reverted", "Completed", RECOVERED)
    flow = "pipelines/flows/nightly.py"
    code = (nights.project.folder / flow).read_text()
    nights.push("A slip", flow, f"{code}\n(")
    nights.night("bad commit: syntax error in the flow", "Crashed", CRASHED, clones=1)
    nights.undo()
    nights.night("commit reverted", "Completed", RECOVERED)
    nights.push("New", flow, code.replace("    return summary\n", '    return "new code"\n'))
    assert nights.night("commit with a changed flow", "Completed") == "new code"
    nights.undo()


def regress(nights: Nights) -> None:
    nights.push("Worse", "accuracy", "0.4")
    message = nights.night("regression", "Failed", FAILED)
    (delete,) = (line for line in message.splitlines() if "push origin --delete" in line)
    assert delete.endswith("-regressed")
    nights.project.run(*delete.partition(": ")[2].split())
    nights.undo()
    nights.night("commit reverted", "Completed", RECOVERED)


def hang_and_cancel(nights: Nights) -> None:
    run = nights.hang(600)
    message = nights.night("stage over its time limit", "Failed", FAILED, run=run)
    assert message.startswith("train@one: stopped at its time limit")
    nights.night("the training again", "Completed", RECOVERED)
    run = nights.hang(600)
    nights.client.set_flow_run_state(run, Cancelling())
    nights.night("cancelled on the page", "Cancelled", CANCELLED, run=run)
    nights.night("the training again", "Completed", RECOVERED)


def miss_nights(nights: Nights) -> None:
    nights.worker.send_signal(signal.SIGTERM)
    nights.worker.wait()
    run, *others = nights.plan(3)
    assert len(others) == 2
    nights.start_worker()
    nights.night("worker back after three nights", "Completed", run=run)
    for other in others:
        nights.night("one of the three", "Superseded", run=other)


def write(rows: list[dict[str, Any]]) -> None:
    result = {"machine": reporting.describe_machine(), "nights": rows}
    reporting.write_results("nightly_soak", result)
    reporting.write_section("nightly_soak", table(result))


def table(result: dict[str, Any]) -> list[str]:
    nights = result["nights"]
    lines = ["| ends as | nights | alerts | slowest |", "|---|--:|--:|--:|"]
    for state in dict.fromkeys(row["state"] for row in nights):
        rows = [row for row in nights if row["state"] == state]
        alerts, slowest = sum(row["alerts"] for row in rows), max(row["seconds"] for row in rows)
        lines.append(f"| {state} | {len(rows)} | {alerts} | {slowest} s |")
    return [*lines, "", f"{reporting.where(result)}."]
