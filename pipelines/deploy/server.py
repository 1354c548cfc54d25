"""The Prefect server that a flow reports to: one that runs already, or one for this flow alone."""

import atexit
import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import prefect.context
from prefect.settings import PREFECT_API_URL

from convdepth.core.errors import MachineError
from convdepth.workspace.servers import api_url
from pipelines.deploy.addresses import check_health, require_answer, staying_server

PROJECT = Path(__file__).resolve().parents[2]
"""The root of the project; Prefect reads the settings in its ``pyproject.toml`` only there."""

START_SECONDS = 120.0
"""How long a new server may take: the first one of all creates its database."""

STOP_SECONDS = 5.0

LEASH = 'exec 3<&0; (cat <&3; kill $$ 2>&-) & exec "$@" 3<&- </dev/null'
"""Runs a program that gets SIGTERM when the other end of its standard input is closed."""


def require_server() -> None:
    """Use a server that runs, or start one for this process alone.

    The first is the one that ``PREFECT_API_URL`` names, or else that of `make ui`.

    Raises:
        MachineError: It does not answer within seconds, or cannot be started.
    """
    url = PREFECT_API_URL.value() or staying_server()
    if url is None:
        url = _start()
    else:
        require_answer(url, "run `dvc repro`, which needs no server and gives the same results")
    _use(url)


def require_staying_server() -> None:
    """Use a server that runs, and that is still there when this process has ended.

    Raises:
        MachineError: There is none, or it does not answer within seconds.
    """
    url = PREFECT_API_URL.value() or staying_server()
    if url is None:
        raise MachineError(
            "schedules and workers need a Prefect server that stays. PREFECT_API_URL names none, "
            "and none runs here: start one by `make ui`, or set the variable to the address of "
            "one, such as http://127.0.0.1:4200/api."
        )
    require_answer(url, "use that of `make ui`")
    _use(url)


def wait_for(url: str, process: subprocess.Popen[bytes]) -> Exception | None:
    """Wait until a new server answers.

    Args:
        url: The address of its API.
        process: Its process.

    Returns:
        None as soon as it answers; what is wrong, if it ends before that or is too slow.
    """
    deadline = time.monotonic() + START_SECONDS
    while (error := check_health(url)) is not None:
        if process.poll() is not None or time.monotonic() > deadline:
            return error
        time.sleep(0.2)
    return None


def _use(url: str) -> None:
    os.environ["PREFECT_API_URL"] = url  # for the child processes
    prefect.context.refresh_global_settings_context()


def _start() -> str:
    """Start a server that ends with this process, even if this process is killed.

    Prefect would start one by itself, but in the process group of the flow: Ctrl-C would end it
    first, and the flow would then try for minutes to tell it that the run was interrupted.
    """
    print("starting a Prefect server for this flow alone", flush=True)
    host, port = "127.0.0.1", str(_free_port())
    process = _start_process(host, port)
    atexit.register(_stop, process)
    url = api_url(host, port)
    if (error := wait_for(url, process)) is not None:
        raise MachineError(
            f"no Prefect server could be started: {error}. Its own messages are above. "
            "`dvc repro` needs none and gives the same results."
        )
    return url


def _start_process(host: str, port: str) -> subprocess.Popen[bytes]:
    factory = "prefect.server.api.server:create_app"
    uvicorn = [sys.executable, "-m", "uvicorn", "--factory", factory, "--log-level", "error"]
    environment = {**os.environ, "PREFECT__SERVER_EPHEMERAL": "1"}  # as Prefect does it
    return subprocess.Popen(
        ["sh", "-c", LEASH, "sh", *uvicorn, "--host", host, "--port", port],
        stdin=subprocess.PIPE,
        env=environment,
        cwd=PROJECT,
        process_group=0,
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.stdin:
        process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    process.kill()
    process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
