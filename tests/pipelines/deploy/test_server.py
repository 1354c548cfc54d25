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
from convdepth.workspace.servers import api_url
from pipelines.deploy.server import pid_file, require_server, start_ui, staying_server

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
    ended = subprocess.run(
        command,
        cwd=PROJECT,
        env=os.environ | server | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert ended.returncode == code, ended.stdout
    return ended.stdout


@pytest.mark.nightly
def test_the_server_of_ui_outlives_the_command_and_is_found(tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    port = serving.free_port()
    url = f"http://127.0.0.1:{port}/api"
    elsewhere = "http://127.0.0.1:9/api"  # its page must not ask there
    said = run(home, port, *UI, PREFECT_API_URL=elsewhere, PREFECT_SERVER_API_AUTH_STRING=PASSWORD)
    server = psutil.Process(int((home / "server.pid").read_text()))
    try:
        assert f"http://127.0.0.1:{port}\n" in said
        assert f"export PREFECT_API_URL={url}" in said
        assert "prefect server stop" in said
        assert f"PREFECT_API_URL={elsewhere} is set" in said
        assert lives(server)
        assert os.getsid(server.pid) != os.getsid(0)  # so that it outlives the terminal
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ui-settings") as page:
            assert f'"api_url":"{url}"' in page.read().decode()
        # A second start only says where it is.
        assert run(home, port, *UI) == said.rpartition("Note:")[0]
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


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [
        ("DATABASE_CONNECTION_URL", "sqlite+aiosqlite:////missing/a.db", "unable to open database"),
        pytest.param(
            "API_HOST", "192.0.2.1", "192.0.2.1", marks=pytest.mark.nightly
        ),  # of no machine
        pytest.param("API_PORT", "", "running on port", marks=pytest.mark.nightly),
    ],
)
def test_a_server_that_does_not_start_shows_its_log(
    tmp_path: Path, setting: str, value: str, reason: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1] if setting == "API_PORT" else serving.free_port()
        variables = {f"PREFECT_SERVER_{setting}": value} if value else {}
        message = run(tmp_path, port, *UI, code=4, **variables)
    assert reason in message
    assert str(tmp_path / "server.log") in message
    assert not (tmp_path / "server.pid").exists()


@pytest.fixture
def no_server(tmp_path: Path) -> Iterator[None]:
    """A folder of Prefect's where nothing is, and no server in the settings."""
    with temporary_settings({PREFECT_HOME: tmp_path}, restore_defaults=[PREFECT_API_URL]):
        yield


@pytest.mark.usefixtures("no_server")
def test_a_server_that_hangs_is_told() -> None:
    pid_file().write_text(str(os.getpid()))  # another program's by now
    assert staying_server() is None
    code = "import time; time.sleep(60)"
    options = ["-m", "prefect", "server", "start", "--host", "0.0.0.0", "--port", "9"]
    with subprocess.Popen([sys.executable, "-c", code, *options]) as process:
        pid_file().write_text(str(process.pid))
        assert staying_server() == "http://127.0.0.1:9/api"
        with pytest.raises(MachineError, match=r"`make ui`: http://127.0.0.1:9/api: .*dvc repro"):
            require_server()
        with pytest.raises(MachineError, match=r"http://127.0.0.1:9/api: .*prefect server stop"):
            start_ui()
        process.kill()


@pytest.mark.usefixtures("no_server")
def test_another_server_that_is_up_is_told() -> None:
    with servers.serve({"*": servers.answer()}, secure=False) as server:
        url = f"{server.url}api"
        with (
            temporary_settings({PREFECT_API_URL: url}),
            pytest.raises(MachineError, match=f"PREFECT_API_URL={url}: .*Failed to reach API"),
        ):
            require_server()


def test_addresses_and_settings(tmp_path: Path) -> None:
    assert api_url("gpu1", 4200) == "http://gpu1:4200/api"
    assert api_url("::", 4200) == "http://[::1]:4200/api"
    assert run(tmp_path, 4200, PYTHON, "-c", SETTINGS) == "False False\n"
