"""Where the Prefect server of `make ui` is, without Prefect and its seconds of import."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import psutil


def api_url(host: str, port: int | str) -> str:
    """Give the address of the API of a server on this machine.

    Args:
        host: What it listens on; who listens everywhere is reached by the loopback, too.
        port: Its port.
    """
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://{f'[{reached}]' if ':' in reached else reached}:{port}/api"


def running_server(pid_file: Path) -> str | None:
    """Find a server that runs on this machine.

    Args:
        pid_file: Holds the number of its process, as `prefect server stop` expects it.

    Returns:
        The address of its API; None if it does not run.
    """
    try:
        process = psutil.Process(int(pid_file.read_text(encoding="utf-8")))
        return _address(process.cmdline())
    except (OSError, ValueError, psutil.Error):
        return None


def _address(command: Sequence[str]) -> str | None:
    """Read the address from the command line of a server; None if it is that of none."""
    options = dict(itertools.pairwise(command))
    if "prefect" not in " ".join(command) or not {"--host", "--port"} <= options.keys():
        return None  # the number is another program's by now
    return api_url(options["--host"], options["--port"])
