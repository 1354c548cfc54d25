"""Which Prefect server is used, the one of `ui`, and what is said when none can be used."""

import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import servers
import serving
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
from waiting import lives, wait_until

from conftest import PROJECT
from convdepth.core.errors import MachineError
from convdepth.workspace.servers import api_url, running_server
from pipelines.deploy.server import LOG_BYTES, pid_file, require_server, start_ui
from project import Project

PASSWORD = "user:secret"
UI = [*serving.PIPELINES, "ui"]
PYTHON = serving.PIPELINES[0]

USED = """
import os
from pipelines.deploy.server import require_server
require_server()
print(os.environ['PREFECT_API_URL'])
"""

# Those of ``[tool.prefect]``.
SETTINGS = """
from prefect.settings import get_current_settings
settings = get_current_settings()
print(settings.server.analytics_enabled, settings.results.persist_by_default)
"""


def run(home: Path, port: int, *command: str, code: int = 0, **variables: str) -> str:
    server = {"PREFECT_HOME": str(home), "PREFECT_SERVER_API_PORT": str(port)}
    return Project(PROJECT, home).run(*command, code=code, **server | variables)


@pytest.mark.nightly
def test_the_server_of_ui_outlives_the_command_and_is_found(tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    port = serving.free_port()
    url = f"http://127.0.0.1:{port}/api"
    elsewhere = "http://127.0.0.1:9/api"  # its page must not ask there
    home.mkdir()
    with (home / "server.log").open("wb") as log:
        log.truncate(LOG_BYTES + 1)
    said = run(home, port, *UI, PREFECT_API_URL=elsewhere, PREFECT_SERVER_API_AUTH_STRING=PASSWORD)
    server = psutil.Process(int((home / "server.pid").read_text()))
    try:
        assert f"http://127.0.0.1:{port}\n" in said
        assert f"export PREFECT_API_URL={url}" in said
        assert "prefect server stop" in said
        assert f"PREFECT_API_URL={elsewhere} is set" in said
        assert lives(server)
        assert (home / "server.log.1").stat().st_size == LOG_BYTES + 1
        assert (home / "server.log").stat().st_size < LOG_BYTES
        assert os.getsid(server.pid) != os.getsid(0)  # so that it outlives the terminal
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ui-settings") as page:
            assert f'"api_url":"{url}"' in page.read().decode()
        # A second start only says where it is.
        assert run(home, port, *UI) == said.rpartition("Note:")[0].partition("\n")[2]
        assert psutil.Process(int((home / "server.pid").read_text())) == server
        with (
            temporary_settings({PREFECT_HOME: home}, restore_defaults=[PREFECT_API_URL]),
            pytest.raises(MachineError, match=rf"{url}: .*PREFECT_API_AUTH_STRING"),
        ):
            require_server(staying=True)
        found = run(home, 4200, PYTHON, "-c", USED, PREFECT_API_AUTH_STRING=PASSWORD)
        assert found == f"{url}\n"
        message = run(other, port, *UI, code=4)  # another server has the port
        assert f"PREFECT_API_URL={url}" in message
        assert "PREFECT_SERVER_API_PORT=4201 make ui" in message
        run(home, port, str(Path(PYTHON).with_name("prefect")), "server", "stop")
        wait_until(lambda: not lives(server))
        assert not (home / "server.pid").exists()
    finally:
        serving.kill_tree(server.pid)


def test_a_server_that_does_not_start_says_why_in_one_line(tmp_path: Path) -> None:
    database = tmp_path / "prefect.db"
    database.write_bytes(b"no database" * 100)
    log = tmp_path / "server.log"
    log.write_bytes(b"The former log\n")
    port = serving.free_port()
    said = run(tmp_path, port, *serving.PIPELINES, "prepare-data", code=4)
    assert len(said.splitlines()) == 2  # with the one that comes at once
    assert f"{database}: " in said
    url = "sqlite+aiosqlite:////missing/a.db"
    said = run(tmp_path, port, *UI, code=4, PREFECT_SERVER_DATABASE_CONNECTION_URL=url)
    assert len(said.splitlines()) == 2
    assert "PREFECT_SERVER_DATABASE_CONNECTION_URL: " in said
    assert str(log) in said
    assert log.read_bytes().startswith(b"The former log\n")
    assert not (tmp_path / "server.pid").exists()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        said = run(tmp_path, taken.getsockname()[1], *UI, code=4)
    assert "PREFECT_SERVER_API_PORT" in said


@pytest.mark.parametrize(
    ("command", "variables", "code", "named"),
    [
        ("prepare-data", {"PREFECT_CLIENT_MAX_RETRIES": "x"}, 2, "PREFECT_CLIENT_MAX_RETRIES"),
        ("worker", {"PREFECT_LOGGING_LEVEL": "loud"}, 2, "PREFECT_LOGGING_LEVEL"),
        ("ui", {"PREFECT_CLIENT_CUSTOM_HEADERS": "x"}, 2, "PREFECT_CLIENT_CUSTOM_HEADERS"),
        ("ui", {"PREFECT_SERVER_API_PORT": "99999"}, 2, "PREFECT_SERVER_API_PORT"),
        ("deploy", {"PREFECT_API_URL": "127.0.0.1:4200"}, 2, "PREFECT_API_URL"),
        ("deploy", {"PREFECT_API_URL": "http://127.0.0.1:99999/api"}, 2, "PREFECT_API_URL"),
        ("deploy", {"PREFECT_HOME": "/proc/missing"}, 4, "PREFECT_HOME=/proc/missing"),
        ("prepare-data", {"PREFECT_PROFILES_PATH": "bad"}, 2, "profiles.toml"),
        ("prepare-data", {"PREFECT_PROFILES_PATH": "wrong"}, 2, "PREFECT_API_REQUEST_TIMEOUT"),
        ("prepare-data", {"ALL_PROXY": "socks5://127.0.0.1:9"}, 4, "ALL_PROXY"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(
    tmp_path: Path, command: str, variables: dict[str, str], code: int, named: str
) -> None:
    profiles = tmp_path / "profiles.toml"
    wrong = 'active = "a"\n[profiles.a]\nPREFECT_API_REQUEST_TIMEOUT = "soon"\n'
    if content := {"bad": "x = [", "wrong": wrong}.get(variables.get("PREFECT_PROFILES_PATH", "")):
        profiles.write_text(content)
        variables = {"PREFECT_PROFILES_PATH": str(profiles)}
    said = run(tmp_path, 4200, *serving.PIPELINES, command, code=code, **variables).splitlines()
    assert said[-1].startswith(("error: " + named, f"error: {profiles}"))
    assert len(said) <= 2


REACHED = """
import asyncio, os
from pipelines.__main__ import _call
_call('server', 'require_server')
from prefect.events import Event
from prefect.events.clients import get_events_client

async def emit():
    async with get_events_client(checkpoint_every=1) as client:
        await client.emit(Event(event='a', resource={'prefect.resource.id': 'b'}))

asyncio.run(emit())
print(os.environ['NO_PROXY'], os.environ['no_proxy'], os.environ['HTTP_PROXY'])
"""


def test_local_servers_are_reached_without_the_proxy(harness: str, tmp_path: Path) -> None:
    dead = f"http://127.0.0.1:{serving.free_port()}"
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"), dead)
    given = {"PREFECT_API_URL": harness, "NO_PROXY": "a.example, b.example"}
    said = run(tmp_path, 4200, PYTHON, "-c", REACHED, **proxies, **given, no_proxy="c.example")
    exceptions = "c.example,a.example,b.example,127.0.0.1,localhost,::1"
    assert said.splitlines()[-1] == f"{exceptions} {exceptions} {dead}"


@pytest.fixture
def no_server(tmp_path: Path) -> Iterator[None]:
    """A folder of Prefect's where nothing is, and no server in the settings."""
    with temporary_settings({PREFECT_HOME: tmp_path}, restore_defaults=[PREFECT_API_URL]):
        yield


@pytest.mark.usefixtures("no_server")
def test_a_server_that_does_not_work_is_told() -> None:
    with servers.serve({"*": servers.answer()}, secure=False) as server:
        url = f"{server.url}api"
        with (
            temporary_settings({PREFECT_API_URL: url}),
            pytest.raises(MachineError, match=f"PREFECT_API_URL={url}: .*Failed to reach API"),
        ):
            require_server()
    assert running_server(pid_file()) is None
    for content in ("", "no number", "999999999", str(os.getpid())):  # another program's by now
        pid_file().write_text(content)
        assert running_server(pid_file()) is None
    code = "import time; time.sleep(60)"
    options = ["-m", "prefect", "server", "start", "--host", "0.0.0.0", "--port", "9"]
    with subprocess.Popen([sys.executable, "-c", code, *options]) as process:
        pid_file().write_text(str(process.pid))
        assert running_server(pid_file()) == "http://127.0.0.1:9/api"
        with pytest.raises(MachineError, match=r"`make ui`: http://127.0.0.1:9/api: .*dvc repro"):
            require_server()
        with pytest.raises(MachineError, match=r"http://127.0.0.1:9/api: .*prefect server stop"):
            start_ui()
        process.kill()


def test_addresses_and_settings(tmp_path: Path) -> None:
    assert api_url("gpu1", 4200) == "http://gpu1:4200/api"
    assert api_url("::", 4200) == "http://[::1]:4200/api"
    assert run(tmp_path, 4200, PYTHON, "-c", SETTINGS) == "False False\n"
