"""The Prefect server that stays, with its web page: `make ui`."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_API_HOST, PREFECT_SERVER_API_PORT

from convdepth.core.errors import MachineError
from convdepth.workspace.servers import api_url
from pipelines.deploy.addresses import check_health, log_file, pid_file, staying_server
from pipelines.deploy.server import PROJECT, wait_for

LAST_LINES = 12
"""How much of its log the error of a server that ended shows."""


def start_ui() -> None:
    """Start a server that goes on after this process, and say where to look and how to stop it.

    Where one runs already, only say so.

    Raises:
        MachineError: Its port is taken, or it cannot be started, or it does not answer.
    """
    url = staying_server()
    if url is None:
        url = _start(PREFECT_SERVER_API_HOST.value(), PREFECT_SERVER_API_PORT.value())
    elif (error := check_health(url)) is not None:
        raise MachineError(
            f"the Prefect server at {url} runs, but does not answer: {error}. Its log is "
            f"{log_file()}. Wait if it has just been started; else `prefect server stop` ends it."
        )
    print(_describe(url))


def _describe(url: str) -> str:
    lines = [
        f"The Prefect server runs until it is stopped. Its page: {url.removesuffix('/api')}",
        "The flows of this project find it. What else is to find it needs:",
        f"  export PREFECT_API_URL={url}",
        "To stop it (its database stays):",
        f"  {_shown(Path(sys.executable).parent / 'prefect')} server stop",
        f"Its log: {log_file()}",
    ]
    elsewhere = PREFECT_API_URL.value()
    if elsewhere not in (None, url):
        lines.append(f"Note: PREFECT_API_URL={elsewhere} is set, so the flows report there.")
    return "\n".join(lines)


def _shown(program: Path) -> Path:
    return program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program


def _start(host: str, port: int) -> str:
    url = api_url(host, port)
    _require_free(host, port, url)
    log_file().parent.mkdir(parents=True, exist_ok=True)
    # Prefect's own `server start --background` gives the server a pipe that nobody reads: it
    # dies of the first line that it logs.
    with log_file().open("wb") as log:
        process = _start_process(host, port, url, log.fileno())
    try:
        pid_file().write_text(str(process.pid), encoding="utf-8")
        error = wait_for(url, process)
        if error is not None:
            lines = log_file().read_text(encoding="utf-8", errors="replace").splitlines()
            last = "\n".join(f"  {line}" for line in lines[-LAST_LINES:])
            raise MachineError(
                f"the Prefect server could not be started: {error}. The last lines of its log, "
                f"{log_file()}:\n{last}"
            )
    except BaseException:
        process.kill()
        process.wait()
        pid_file().unlink(missing_ok=True)
        raise
    return url


def _start_process(host: str, port: int, url: str, log: int) -> subprocess.Popen[bytes]:
    prefect = [sys.executable, "-m", "prefect", "--no-prompt", "server", "start"]
    return subprocess.Popen(
        [*prefect, "--host", host, "--port", str(port)],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PREFECT_API_URL": url},  # its page asks there, not somewhere else
        cwd=PROJECT,
        start_new_session=True,  # so that it outlives the terminal
    )


def _require_free(host: str, port: int, url: str) -> None:
    try:
        _bind(host, port)
    except OSError as error:
        if check_health(url) is None:
            found = f"another Prefect server has it; to use that one: PREFECT_API_URL={url}"
        else:
            found = str(error)
        raise MachineError(
            f"port {port} of {host} cannot be had: {found}. Another port: "
            "PREFECT_SERVER_API_PORT=4201 make ui"
        ) from error


def _bind(host: str, port: int) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
