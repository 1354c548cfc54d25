"""Real Prefect servers and workers for tests, each in processes and folders of its own."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings
from ruamel.yaml import YAML
from waiting import lives, wait_until

from conftest import PROJECT
from project import Project

PIPELINES = [sys.executable, "-m", "pipelines"]

IN_THE_BACKGROUND = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]
"""Comes before a command, to start it as a shell starts one with ``&``: SIGINT is ignored."""

START_SECONDS = 180


@contextlib.contextmanager
def web_server(status: int, **headers: str) -> Iterator[tuple[str, list[bytes]]]:
    """Answer each request with a status; gives the address, and the bodies that arrive."""
    received: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def handle_request(self) -> None:
            received.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()

        do_GET = do_POST = handle_request  # noqa: N815 their names are those of HTTP

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", received
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def server(home: Path, port: int | None = None) -> Iterator[str]:
    """Run a server with a database in a home of its own; gives the address of its API."""
    port = port or free_port()
    process = start_server(home, port)
    try:
        url = f"http://127.0.0.1:{port}/api"
        wait_for_health(url, process)
        yield url
    finally:
        kill_tree(process.pid)
        process.wait()


def start_server(home: Path, port: int) -> subprocess.Popen[bytes]:
    """Start the process of a server; its log is in its home."""
    home.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "prefect", "--no-prompt", "server", "start"]
    with (home / "server.log").open("ab") as log:
        return subprocess.Popen(
            [*command, "--port", str(port), "--analytics-off"],
            env=os.environ | {"HOME": str(home), "PREFECT_HOME": str(home / "prefect")},
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def wait_for_health(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until a server answers."""

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


@contextlib.contextmanager
def worker(project: Project, url: str, pool: str = "gpu") -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker in a project that has the flows; its log is ``worker.log`` beside the project.

    At the end nothing of it or of what it has started is left.
    """
    process = start_worker(project, url, pool)
    try:
        yield process
    finally:
        kill_tree(process.pid)
        process.wait()


def start_worker(project: Project, url: str, pool: str = "gpu") -> subprocess.Popen[bytes]:
    """Start the process of a worker."""
    with (project.folder.parent / "worker.log").open("ab") as log:
        return subprocess.Popen(
            [*IN_THE_BACKGROUND, *PIPELINES, "worker", "--pool", pool],
            env=project.environment | {"PREFECT_API_URL": url, "PREFECT_WORKER_QUERY_SECONDS": "2"},
            cwd=project.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def deploy(project: Project, url: str, **variables: str) -> str:
    """Put the deployments of a project on a server; gives what the command prints."""
    before = project.environment
    project.environment = before | {"PREFECT_API_URL": url, **variables}
    try:
        return project.run(*PIPELINES, "deploy")
    finally:
        project.environment = before


def add_flows(project: Project, changes: Mapping[str, Any] | None = None) -> None:
    """Copy the flows into a project, and change the deployments there.

    Args:
        changes: What to set in each deployment of that name.
    """
    home = Path(project.environment["HOME"])
    project.environment["PREFECT_HOME"] = str(home / "prefect")
    shutil.copytree(
        PROJECT / "pipelines",
        project.folder / "pipelines",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
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

    def ask() -> bool:
        if condition():
            return True
        time.sleep(0.5)
        return False

    wait_until(ask, seconds)


def wait_for_state(
    client: SyncPrefectClient, run: UUID, *names: str, seconds: float = 120
) -> FlowRun:
    """Wait until a run is in one of these states."""
    found = client.read_flow_run(run)

    def arrived() -> bool:
        nonlocal found
        found = client.read_flow_run(run)
        return found.state is not None and found.state.name in names

    try:
        wait_for_server(arrived, seconds)
    except AssertionError as error:
        raise AssertionError(f"{run} is in the state {found.state}") from error
    return found


def kill_tree(pid: int) -> None:
    """Kill a process and all that it has started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for member in [*root.children(recursive=True), root]:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.send_signal(signal.SIGKILL)


def free_port() -> int:
    """Give a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """List what a process has started, and what these have."""
    return psutil.Process(process.pid).children(recursive=True)


def none_lives(processes: list[psutil.Process]) -> bool:
    """Tell whether all of these are gone."""
    return not any(lives(member) for member in processes)
