"""Addresses of Prefect servers on this machine, without Prefect and its seconds of import."""

import itertools
from pathlib import Path

import psutil


def api_url(host: str, port: int | str) -> str:
    """Return the address of a server's API; one that listens on all addresses is on loopback."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://{f'[{reached}]' if ':' in reached else reached}:{port}/api"


def running_server(pid_file: Path) -> str | None:
    """Return the address of the API of the server whose process id a file holds, if it runs."""
    try:
        command = psutil.Process(int(pid_file.read_text(encoding="utf-8"))).cmdline()
    except (OSError, ValueError, psutil.Error):
        return None
    options = dict(itertools.pairwise(command))
    if "prefect" not in " ".join(command) or not {"--host", "--port"} <= options.keys():
        return None  # another program has this process id by now
    return api_url(options["--host"], options["--port"])
