"""Real Prefect servers and workers for tests, each in processes and folders of its own."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import psutil
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings
from ruamel.yaml import YAML
from waiting import wait_until

from conftest import PROJECT
from project import Project

PIPELINES = [sys.executable, "-m", "pipelines"]

# Starts a command as a shell starts one with ``&``: SIGINT is ignored.
IN_THE_BACKGROUND = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]

START_SECONDS = 180

_SERVERS: dict[Path, subprocess.Popen[bytes]] = {}
"""The running server of each home."""


@contextlib.contextmanager
def server(home: Path) -> Iterator[str]:
    """Run a server with a database in a home of its own; gives the address of its API."""
    url = f"http://127.0.0.1:{free_port()}/api"
    start_server(home, url)
    try:
        yield url
    finally:
        kill_server(home)


def start_server(home: Path, url: str) -> None:
    """Start a server, and wait until it answers; its log is in its home."""
    home.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "prefect", "--no-prompt", "server", "start"]
    environment = os.environ | {"HOME": str(home), "PREFECT_HOME": str(home / "prefect")}
    options = ["--port", str(urlsplit(url).port), "--analytics-off"]
    process = _start([*command, *options], home, environment, home / "server.log")
    _SERVERS[home] = process
    wait_for_health(url, process)


def kill_server(home: Path) -> None:
    """Kill the server of a home, as a machine does that loses power."""
    kill_tree(_SERVERS[home].pid)
    _SERVERS[home].wait()


def wait_for_health(url: str, process: subprocess.Popen[bytes]) -> None:
    def answers() -> bool:
        assert process.poll() is None, "the server has ended"
        with contextlib.suppress(urllib.error.URLError):
            return bool(urllib.request.urlopen(f"{url}/health", timeout=5).status == 200)
        return False

    wait_until(answers, START_SECONDS)


@contextlib.contextmanager
def client_of(url: str) -> Iterator[SyncPrefectClient]:
    """A client of this server, whatever the settings of this process say."""
    with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:
        yield client


def records(kind: str, **wanted: str) -> list[dict[str, Any]]:
    """Read what the server of this process has, ``artifacts`` or ``logs``, by values of fields."""
    asked = {kind: {name: {"any_": [value]} for name, value in wanted.items()}}
    with get_client(sync_client=True) as client:
        return list(client.request("POST", f"/{kind}/filter", json=asked).json())  # type: ignore[arg-type]


@contextlib.contextmanager
def worker(
    project: Project, url: str, pool: str = "convdepth"
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker in a project that has the flows; its log is ``worker.log`` beside the project.

    At the end nothing of it or of what it has started is left.
    """
    environment = project.environment | {
        "PREFECT_API_URL": url,
        "PREFECT_WORKER_QUERY_SECONDS": "2",
    }
    command = [*IN_THE_BACKGROUND, *PIPELINES, "worker", "--pool", pool]
    log = project.folder.parent / "worker.log"
    process = _start(command, project.folder, environment, log)
    try:
        yield process
    finally:
        kill_tree(process.pid)
        process.wait()


def _start(
    command: list[str], folder: Path, environment: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    with log.open("ab") as file:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )


def deploy(project: Project, url: str, **variables: str) -> str:
    """Put the deployments of a project on a server; gives what the command prints."""
    return project.run(*PIPELINES, "deploy", PREFECT_API_URL=url, **variables)


def add_flows(project: Project, changes: Mapping[str, Any] | None = None) -> None:
    """Copy the flows into a project; change the deployments there, each by its name."""
    home = Path(project.environment["HOME"])
    project.environment["PREFECT_HOME"] = str(home / "prefect")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PROJECT / "pipelines", project.folder / "pipelines", ignore=ignored)
    shutil.copy2(PROJECT / "pyproject.toml", project.folder)
    yaml, path = YAML(), project.folder / "pipelines" / "deploy" / "prefect.yaml"
    content = yaml.load(path)
    for deployment in content["deployments"]:
        deployment.update((changes or {}).get(deployment["name"], {}))
    yaml.dump(content, path)


def submit(client: SyncPrefectClient, deployment: str, **parameters: Any) -> UUID:
    """Ask for a run of a deployment, as its button on the web page does."""
    found = client.read_deployment_by_name(deployment)
    return client.create_flow_run_from_deployment(found.id, parameters=parameters).id


def wait_for_server(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until something is so that only the server knows; it has other work, too."""
    wait_until(lambda: condition() or bool(time.sleep(0.5)), seconds)


def wait_for_state(
    client: SyncPrefectClient, run: UUID, *names: str, seconds: float = 120
) -> FlowRun:
    """Wait until a run is in one of these states."""

    def arrived() -> bool:
        state = client.read_flow_run(run).state
        return state is not None and state.name in names

    wait_for_server(arrived, seconds)
    return client.read_flow_run(run)


def kill_tree(pid: int) -> None:
    """Kill a process and all that it has started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for member in [*root.children(recursive=True), root]:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()


def free_port() -> int:
    """Give a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
