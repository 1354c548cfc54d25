"""The Prefect server that a flow reports to: one that runs already, or one for this flow alone."""

import atexit
import contextlib
import os
import socket
import subprocess
import sys
import time

import prefect.context
from prefect.client.orchestration import get_client
from prefect.settings import (
    PREFECT_API_REQUEST_TIMEOUT,
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    temporary_settings,
)

from convdepth.errors import MachineError

PATIENCE_SECONDS = 5.0
"""How long a server that runs may take to answer."""

START_SECONDS = 120.0
"""How long a new server may take: the first one of all creates its database."""

STOP_SECONDS = 5.0

LEASH = 'exec 3<&0; (cat <&3; kill $$ 2>&-) & exec "$@" 3<&- </dev/null'
"""Runs a program that gets SIGTERM when the other end of its standard input is closed."""


def require_server() -> None:
    """Check that the server answers, if one is set; without one, start one for this process.

    Raises:
        MachineError: It does not answer within seconds, or cannot be started.
    """
    url = PREFECT_API_URL.value()
    if url is None:
        _start()
    elif (error := _ask(url)) is not None:
        raise MachineError(
            f"PREFECT_API_URL={url}: the Prefect server does not answer: {error}. Start it, or "
            "unset the variable for a server of this flow alone, or run `dvc repro`, which needs "
            "none and gives the same results."
        )


def _ask(url: str) -> Exception | None:
    settings = {
        PREFECT_API_URL: url,
        PREFECT_CLIENT_MAX_RETRIES: 0,
        PREFECT_API_REQUEST_TIMEOUT: PATIENCE_SECONDS,
    }
    with temporary_settings(settings), get_client(sync_client=True) as client:
        return client.api_healthcheck()


def _start() -> None:
    """Start a server that ends with this process, even if this process is killed.

    Prefect would start one by itself, but in the process group of the flow: Ctrl-C would end it
    first, and the flow would then try for minutes to tell it that the run was interrupted.
    """
    print("starting a Prefect server for this flow alone", flush=True)
    address = f"127.0.0.1:{_free_port()}"
    process = _start_process(*address.split(":"))
    atexit.register(_stop, process)
    url = f"http://{address}/api"
    deadline = time.monotonic() + START_SECONDS
    while (error := _ask(url)) is not None:
        if process.poll() is not None or time.monotonic() > deadline:
            raise MachineError(
                f"no Prefect server could be started: {error}. Its own messages are above. "
                "`dvc repro` needs none and gives the same results."
            )
        time.sleep(0.2)
    os.environ["PREFECT_API_URL"] = url
    prefect.context.refresh_global_settings_context()


def _start_process(host: str, port: str) -> subprocess.Popen[bytes]:
    factory = "prefect.server.api.server:create_app"
    uvicorn = [sys.executable, "-m", "uvicorn", "--factory", factory, "--log-level", "error"]
    environment = {**os.environ, "PREFECT__SERVER_EPHEMERAL": "1"}  # as Prefect does it
    return subprocess.Popen(
        ["sh", "-c", LEASH, "sh", *uvicorn, "--host", host, "--port", port],
        stdin=subprocess.PIPE,
        env=environment,
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
