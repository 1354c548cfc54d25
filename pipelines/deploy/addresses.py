"""Where Prefect servers are, and whether they answer."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import (
    PREFECT_API_REQUEST_TIMEOUT,
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_HOME,
    temporary_settings,
)

from convdepth.core.errors import MachineError
from convdepth.workspace.servers import running_server

PATIENCE_SECONDS = 5.0
"""How long a server that runs may take to answer."""


def check_health(url: str) -> Exception | None:
    """Ask a server whether it is up.

    Args:
        url: The address of its API.

    Returns:
        None if it is, else what is wrong.
    """
    with _impatient_client(url) as client:
        return client.api_healthcheck()


def require_answer(url: str, otherwise: str) -> None:
    """Check that a server is up and works with this process.

    Args:
        url: The address of its API.
        otherwise: What else can be done, for the message.

    Raises:
        MachineError: It does not answer within seconds, is of another version, or wants a
            password.
    """
    error = check_health(url) or _check_version(url)
    if error is None:
        return
    if "Unauthorized" in str(error):
        raise MachineError(
            f"{url}: the Prefect server wants a password: set PREFECT_API_AUTH_STRING to what "
            "its own PREFECT_SERVER_API_AUTH_STRING is."
        )
    if PREFECT_API_URL.value() is None:
        raise MachineError(
            f"the server of `make ui` does not answer at {url}: {error}. Its log is "
            f"{log_file()}. Stop it by `prefect server stop` and start it anew, or {otherwise}."
        )
    raise MachineError(
        f"PREFECT_API_URL={url}: the Prefect server does not answer: {error}. Start it, or "
        f"unset the variable, or {otherwise}."
    )


def staying_server() -> str | None:
    """Find the server that `make ui` started, by the file that `prefect server stop` reads.

    Returns:
        The address of its API; None if it does not run.
    """
    return running_server(pid_file())


def pid_file() -> Path:
    """Give the file with the number of the process that `prefect server stop` ends."""
    return Path(PREFECT_HOME.value()) / "server.pid"


def log_file() -> Path:
    """Give the file that the server of `make ui` writes its log to."""
    return Path(PREFECT_HOME.value()) / "server.log"


def _check_version(url: str) -> Exception | None:
    with _impatient_client(url) as client:
        try:
            client.raise_for_api_version_mismatch()
        except Exception as error:
            return error
    return None


@contextlib.contextmanager
def _impatient_client(url: str) -> Iterator[SyncPrefectClient]:
    settings = {
        PREFECT_API_URL: url,
        PREFECT_CLIENT_MAX_RETRIES: 0,
        PREFECT_API_REQUEST_TIMEOUT: PATIENCE_SECONDS,
    }
    with temporary_settings(settings), get_client(sync_client=True) as client:
        yield client
