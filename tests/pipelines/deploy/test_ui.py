"""The server that stays: it is found, it is said where, and it stops when it is told."""

import os
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import serving
from waiting import lives, wait_until

from conftest import PROJECT

PASSWORD = "user:secret"


@pytest.fixture(scope="module")
def port() -> int:
    return serving.free_port()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prefect")


def run(home: Path, port: int, *command: str, code: int = 0, **variables: str) -> str:
    ended = subprocess.run(
        command,
        cwd=PROJECT,
        env=os.environ
        | {"PREFECT_HOME": str(home), "PREFECT_SERVER_API_PORT": str(port), **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert ended.returncode == code, ended.stdout
    return ended.stdout


@pytest.fixture(scope="module")
def said(home: Path, port: int) -> Iterator[str]:
    """What `ui` says when it has started a server, which wants a password."""
    yield run(
        home,
        port,
        *serving.PIPELINES,
        "ui",
        PREFECT_SERVER_API_AUTH_STRING=PASSWORD,
        PREFECT_API_URL="http://127.0.0.1:9/api",  # its page must not ask there
    )
    if (home / "server.pid").exists():
        os.kill(int((home / "server.pid").read_text()), signal.SIGKILL)


def process_of(home: Path) -> psutil.Process:
    return psutil.Process(int((home / "server.pid").read_text()))


def test_the_server_outlives_the_command_and_it_is_said_where_it_is(
    said: str, home: Path, port: int
) -> None:
    assert f"Its page: http://127.0.0.1:{port}\n" in said
    assert f"export PREFECT_API_URL=http://127.0.0.1:{port}/api" in said
    assert "prefect server stop" in said
    assert "PREFECT_API_URL=http://127.0.0.1:9/api is set" in said
    assert lives(process_of(home))
    assert os.getsid(process_of(home).pid) != os.getsid(0)  # so that it outlives the terminal
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/ui-settings") as page:
        assert f'"api_url":"http://127.0.0.1:{port}/api"' in page.read().decode()


def test_a_second_start_only_says_where_it_is(said: str, home: Path, port: int) -> None:
    before = process_of(home).pid
    again = run(home, port, *serving.PIPELINES, "ui")
    assert again == said.rpartition("Note:")[0]
    assert process_of(home).pid == before


def test_a_server_that_hangs_is_told(tmp_path: Path) -> None:
    options = ["-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", "9"]
    code = "import time; time.sleep(60)"
    with subprocess.Popen([serving.PIPELINES[0], "-c", code, *options]) as process:
        (tmp_path / "server.pid").write_text(str(process.pid))
        message = run(tmp_path, 4200, *serving.PIPELINES, "ui", code=4)
        process.kill()
    assert "at http://127.0.0.1:9/api runs, but does not answer" in message
    assert "prefect server stop" in message


CODE = "from pipelines.deploy.server import require_server; require_server()"


@pytest.mark.usefixtures("said")
def test_flows_find_it_and_need_its_password(home: Path, port: int) -> None:
    assert run(home, 4200, *serving.PIPELINES, "deploy", code=4) == (
        f"error: http://127.0.0.1:{port}/api: the Prefect server wants a password: set "
        "PREFECT_API_AUTH_STRING to what its own PREFECT_SERVER_API_AUTH_STRING is.\n"
    )
    code = f"import os; {CODE}; print(os.environ['PREFECT_API_URL'])"
    python = serving.PIPELINES[0]
    found = run(home, 4200, python, "-c", code, PREFECT_API_AUTH_STRING=PASSWORD)
    assert found == f"http://127.0.0.1:{port}/api\n"


@pytest.mark.usefixtures("said")
def test_a_port_that_another_server_has_is_told(tmp_path: Path, port: int) -> None:
    message = run(tmp_path, port, *serving.PIPELINES, "ui", code=4)
    assert message == (
        f"error: port {port} of 127.0.0.1 cannot be had: another Prefect server has it; to use "
        f"that one: PREFECT_API_URL=http://127.0.0.1:{port}/api. Another port: "
        "PREFECT_SERVER_API_PORT=4201 make ui\n"
    )


def test_a_port_that_another_program_has_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        message = run(tmp_path, taken.getsockname()[1], *serving.PIPELINES, "ui", code=4)
    assert "Address already in use" in message
    assert "PREFECT_SERVER_API_PORT=4201 make ui" in message
    assert not (tmp_path / "server.pid").exists()


def test_a_host_that_is_not_of_this_machine_is_told(tmp_path: Path) -> None:
    command = [*serving.PIPELINES, "ui"]
    message = run(tmp_path, 4200, *command, code=4, PREFECT_SERVER_API_HOST="192.0.2.1")
    assert message.startswith("error: port 4200 of 192.0.2.1 cannot be had: [Errno 99]")


def test_a_server_that_does_not_start_shows_its_log(tmp_path: Path) -> None:
    message = run(
        tmp_path,
        serving.free_port(),
        *serving.PIPELINES,
        "ui",
        code=4,
        PREFECT_SERVER_DATABASE_CONNECTION_URL=f"sqlite+aiosqlite:///{tmp_path}/missing/a.db",
    )
    assert "error: the Prefect server could not be started" in message
    assert "unable to open database file" in message
    assert not (tmp_path / "server.pid").exists()


@pytest.mark.usefixtures("said")
def test_prefects_own_command_stops_it(home: Path, port: int) -> None:
    server = process_of(home)
    run(home, port, str(Path(serving.PIPELINES[0]).with_name("prefect")), "server", "stop")
    wait_until(lambda: not lives(server))
    assert not (home / "server.pid").exists()
