"""Which Prefect server is used, and what is said when there is none that can be."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from pipelines.deploy.addresses import pid_file, staying_server
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from conftest import PROJECT
from convdepth.core.errors import MachineError
from convdepth.workspace.servers import api_url
from pipelines.deploy.server import require_server, require_staying_server


@pytest.fixture(autouse=True)
def home(tmp_path: Path) -> Iterator[Path]:
    """A folder of Prefect's where nothing is, and no server in the settings."""
    with temporary_settings({PREFECT_HOME: tmp_path}, restore_defaults=[PREFECT_API_URL]):
        yield tmp_path


@pytest.mark.parametrize("content", [None, "", "no number", "999999999"])
def test_no_server_is_found_where_none_runs(content: str | None) -> None:
    if content is not None:
        pid_file().write_text(content)
    assert staying_server() is None


def test_another_program_with_the_number_of_a_server_that_ended_is_none() -> None:
    pid_file().write_text(str(os.getpid()))
    assert staying_server() is None


def test_the_address_of_a_server_is_that_of_its_process() -> None:
    wait = "import time; time.sleep(60)"
    options = ["-m", "prefect", "server", "start", "--host", "0.0.0.0", "--port", "4321"]
    with subprocess.Popen([sys.executable, "-c", wait, *options]) as process:
        pid_file().write_text(str(process.pid))
        assert staying_server() == "http://127.0.0.1:4321/api"
        with pytest.raises(MachineError, match=r"the server of `make ui` does not answer at http"):
            require_server()
        process.kill()


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:4200/api"),
        ("gpu1", "http://gpu1:4200/api"),
        ("::", "http://[::1]:4200/api"),
    ],
)
def test_addresses(host: str, url: str) -> None:
    assert api_url(host, 4200) == url


def test_what_needs_a_server_that_stays_says_how_to_start_one() -> None:
    with pytest.raises(MachineError, match=r"PREFECT_API_URL names none.*`make ui`"):
        require_staying_server()


@pytest.fixture
def impostor() -> Iterator[str]:
    """Answers as a server that is up, and that is no Prefect server."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/api/health" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/api"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_server_that_is_up_but_does_not_work_is_told(impostor: str) -> None:
    with (
        temporary_settings({PREFECT_API_URL: impostor}),
        pytest.raises(MachineError, match="does not answer: Failed to reach API"),
    ):
        require_server()


def test_the_server_can_be_imported_and_the_settings_hold() -> None:
    """With fastapi 0.165 it cannot be; the settings are those of ``[tool.prefect]``."""
    code = """
from prefect.server.api.server import create_app
from prefect.settings import get_current_settings
settings = get_current_settings()
assert create_app
assert settings.server.analytics_enabled is False
assert settings.results.persist_by_default is False
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
