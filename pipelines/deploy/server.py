"""The Prefect server of the flows: the one that is set, the one of `make ui`, or one for a flow.

All are started in the project's root: Prefect reads the settings of its ``pyproject.toml`` there.
"""

import atexit
import contextlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import prefect.context
from prefect import settings
from prefect.client.orchestration import SyncPrefectClient, get_client

from convdepth.core.errors import MachineError, ParameterError
from convdepth.core.files import explained_temporary_folder
from convdepth.workspace.servers import api_url, require_home, running_server

START_SECONDS = 120.0  # the longest start of a server: the first one creates its database
PATIENCE_SECONDS = 5.0  # the longest answer of a server, and the longest end of a stopped one
LOG_BYTES = 10_000_000  # a longer log of `make ui` makes way for a new one; one former is kept
PREFECT = [sys.executable, "-m", "prefect", "--no-prompt"]
# Runs a program that gets SIGTERM when the other end of its standard input is closed.
LEASH = 'exec 3<&0; (cat <&3; kill $$ 2>&-) & exec "$@" 3<&- </dev/null'


def require_server(*, staying: bool = False) -> None:
    """Use the server of PREFECT_API_URL or of `make ui`; else start one for this process alone.

    One that is ``staying`` outlives this process, so none is started for it.
    """
    if url := settings.PREFECT_API_URL.value():
        _require_address(url)
    else:
        require_home(pid_file().parent)
        url = running_server(pid_file())
    if url is not None:
        _require_answer(url)
    elif staying:
        raise MachineError(
            "PREFECT_API_URL: not set, and no server of `make ui` runs; schedules and workers need "
            "a Prefect server that stays. Run `make ui`, or set the variable to the address of a "
            "server, such as http://127.0.0.1:4200/api."
        )
    else:
        url = _start_for_this_process()
    os.environ["PREFECT_API_URL"] = url  # for the child processes
    prefect.context.refresh_global_settings_context()


def start_ui() -> None:
    """Start a server that outlives this process unless it runs already; print its addresses."""
    require_home(pid_file().parent)
    if (url := running_server(pid_file())) is None:
        url = _start_staying()
    elif (error := _ask(url)) is not None:
        raise MachineError(
            f"{url}: the Prefect server of `make ui` runs, but does not answer: {error}. Its log "
            f"is {log_file()}. Wait if it has just been started, else run `prefect server stop`."
        )
    print(
        f"The Prefect server runs until it is stopped. Its page: {url.removesuffix('/api')}\n"
        "The flows of this project find it. Other programs need:\n"
        f"  export PREFECT_API_URL={url}\n"
        "To stop it (its database stays):\n"
        f"  {Path(sys.executable).with_name('prefect')} server stop\n"
        f"Its log: {log_file()}"
    )
    if (named := settings.PREFECT_API_URL.value()) not in (None, url):
        print(f"Note: PREFECT_API_URL={named} is set, so the flows report there.")


def pid_file() -> Path:
    """Return the file with the process id of the server, which `prefect server stop` reads."""
    return Path(settings.PREFECT_HOME.value()) / "server.pid"


def log_file() -> Path:
    """Return the file with the log of the server of `make ui`."""
    return pid_file().with_suffix(".log")


def _require_address(url: str) -> None:
    with contextlib.suppress(ValueError):  # the port
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return
    raise ParameterError(
        f"PREFECT_API_URL: expected an address such as http://127.0.0.1:4200/api, got {url!r}. "
        "Correct it, or unset the variable."
    )


def _ask(
    url: str,
    question: Callable[[SyncPrefectClient], Exception | None] = SyncPrefectClient.api_healthcheck,
) -> Exception | None:
    """Put a question to a server without retries; return the error, if there is one."""
    given = {
        settings.PREFECT_API_URL: url,
        settings.PREFECT_CLIENT_MAX_RETRIES: 0,
        settings.PREFECT_API_REQUEST_TIMEOUT: PATIENCE_SECONDS,
    }
    try:
        with settings.temporary_settings(given), get_client(sync_client=True) as client:
            return question(client)
    except Exception as error:
        return error


def _require_answer(url: str) -> None:
    error = _ask(url) or _ask(url, SyncPrefectClient.raise_for_api_version_mismatch)
    if error is None:
        return
    if "Unauthorized" in str(error):
        raise MachineError(
            f"{url}: authentication failed (401): set PREFECT_API_AUTH_STRING to the value of the "
            "server's PREFECT_SERVER_API_AUTH_STRING."
        )
    where, fix = f"PREFECT_API_URL={url}", "Start it, or unset the variable"
    if settings.PREFECT_API_URL.value() is None:
        where, fix = f"`make ui`: {url}", "Run `prefect server stop`, then `make ui`"
    raise MachineError(
        f"{where}: the Prefect server does not answer: {error}. {fix}. `dvc repro` needs no server."
    )


def _start_for_this_process() -> str:
    """Start a server that ends with this process, even if this process is killed.

    Prefect would start one by itself, but in the process group of the flow: Ctrl-C would end it
    first, and the flow would then try for minutes to report that the run was interrupted.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host, port = probe.getsockname()
    uvicorn = [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"]
    options = ["--log-level", "error", "--host", host, "--port", str(port)]
    with explained_temporary_folder():
        log = tempfile.TemporaryFile()  # noqa: SIM115 closed below
    with log:
        process = subprocess.Popen(
            ["sh", "-c", LEASH, "sh", *uvicorn, *options],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PREFECT__SERVER_EPHEMERAL": "1"},  # as Prefect does it
            process_group=0,
        )
        atexit.register(_stop, process)
        url = api_url(host, port)
        if (error := _wait_for(url, process)) is not None:
            log.seek(0)
            raise MachineError(
                f"no Prefect server could be started: {_reason(log.read(), error)} "
                "`dvc repro` needs no server."
            )
    return url


def _reason(log: bytes, error: Exception) -> str:
    """Return why a server did not start: the last error of its log, and what to do."""
    lines = list(filter(None, log.decode(errors="replace").splitlines()))
    found = [line for line in lines if re.match(r"[\w.]+(Error|Exception)\b", line)]
    reason = (found or [" ".join(lines[-2:]) or str(error)])[-1].rstrip(".")
    database = pid_file().with_name("prefect.db")
    if str(database) not in str(settings.PREFECT_SERVER_DATABASE_CONNECTION_URL.value()):
        return f"PREFECT_SERVER_DATABASE_CONNECTION_URL: {reason}. Correct it."
    if not re.search("sqlite3|sqlalchemy|alembic", "\n".join(found[-3:])):
        return f"{reason}."
    fix = "Free space, fix its permissions, or set PREFECT_HOME to another folder"
    if re.search("not a database|malformed|locate revision", reason):
        fix = f"`mv {database} {database}.bad` loses the list of runs, and no result"
    return f"{database}: {reason}. {fix}."


def _require_port(host: str, port: int, url: str) -> None:
    if not 0 < port < 65536:
        raise ParameterError(
            f"PREFECT_SERVER_API_PORT: expected a port from 1 to 65535, got {port}. Correct it."
        )
    if _ask(url) is None:
        raise MachineError(
            f"{url}: another Prefect server has this port. Use it: `export PREFECT_API_URL={url}`, "
            "or use another port: `PREFECT_SERVER_API_PORT=4201 make ui`."
        )
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except OSError as taken:
        raise MachineError(
            f"PREFECT_SERVER_API_HOST={host}, PREFECT_SERVER_API_PORT={port}: no server can listen "
            f"there: {taken.strerror}. Use another port: `PREFECT_SERVER_API_PORT=4201 make ui`."
        ) from taken


def _start_staying() -> str:
    server = settings.get_current_settings().server.api
    host, port, url = server.host, server.port, api_url(server.host, server.port)
    _require_port(host, port, url)
    if log_file().exists() and log_file().stat().st_size > LOG_BYTES:
        log_file().replace(f"{log_file()}.1")
    # Prefect's own `server start --background` gives the server a pipe that nobody reads: the
    # server dies of the first line that it logs.
    with log_file().open("ab") as log:
        begin = log.tell()
        process = subprocess.Popen(
            [*PREFECT, "server", "start", "--host", host, "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PREFECT_API_URL": url},  # for its page and the links in alerts
            start_new_session=True,  # so that it outlives the terminal
        )
    try:
        pid_file().write_text(str(process.pid), encoding="utf-8")
        if (error := _wait_for(url, process)) is not None:
            reason = _reason(log_file().read_bytes()[begin:], error)
            raise MachineError(
                f"{url}: the Prefect server could not be started: {reason} Its log: {log_file()}."
            )
    except BaseException:
        _stop(process)
        pid_file().unlink(missing_ok=True)
        raise
    return url


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> Exception | None:
    """Wait until a new server answers; return the error if it ends before, or is too slow."""
    deadline = time.monotonic() + START_SECONDS
    while (error := _ask(url)) is not None:
        if process.poll() is not None or time.monotonic() > deadline:
            return error
        time.sleep(0.2)
    return None


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.stdin:  # the leash
        process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE_SECONDS)
    process.kill()
    process.wait()
