"""Runs DVC's command line in forks of a process that has imported DVC.

The import takes 2 s, most commands 0.4 s. Each command runs in its own process, which is a child of
the fork server, not of the test. Tests of signals start a real ``dvc`` instead.

``forked_dvc.py --serve ADDRESS`` starts the fork server. With other arguments the file replaces
``dvc``; the environment variable `ADDRESS` names the server's socket.
"""

import atexit
import importlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

ADDRESS = "FORKED_DVC"
"""Environment variable with the path of the server's socket."""

MODULES = [
    "dulwich.porcelain",
    "dvc.cli.parser",
    "dvc.repo.experiments.queue.celery",
    "dvc.repo.plots",
    "networkx",
    "platformdirs",
    "ruamel.yaml",
]
"""What most commands import. Without pygit2, which keeps the home that it is imported with."""


def run(arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """Run DVC in a folder; return its exit code and its output."""
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        place = output.fileno()
        code = ask(server(), arguments, folder, environment, (place, place))
        output.seek(0)
        return code, output.read()


@cache
def server() -> str:
    """Start the fork server, once per test process; return its address."""
    folder = tempfile.mkdtemp(prefix="dvc-")
    atexit.register(shutil.rmtree, folder)
    address = f"{folder}/socket"
    command = [sys.executable, "-P", __file__, "--serve", address]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    atexit.register(process.kill)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return address


def ask(
    address: str,
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    outputs: tuple[int, int],
) -> int:
    """Send a command to the fork server; return its exit code."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        socket.send_fds(connection, [b"."], outputs)
        request = [list(arguments), str(folder.absolute()), dict(environment)]
        connection.sendall(json.dumps(request).encode() + b"\n")
        return int(connection.recv(8) or -9)


def serve(address: str) -> None:
    """Fork for each request until standard input closes."""
    for module in MODULES:
        importlib.import_module(module)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    print("ready", flush=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the children are not waited for
    while 0 not in select.select([0, listener], [], [])[0]:
        connection, _ = listener.accept()
        if os.fork() == 0:
            os._exit(answer(connection))
        connection.close()


def answer(connection: socket.socket) -> int:
    """Run one requested command in this process; return its exit code."""
    from dvc.cli import main

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, outputs, _, _ = socket.recv_fds(connection, 1, 2)
    arguments, folder, environment = json.loads(connection.makefile().readline())
    for stream, given in zip((1, 2), outputs, strict=True):
        os.dup2(given, stream)
        os.close(given)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["dvc", *arguments]
    code = int(main(arguments))
    sys.stdout.flush()
    sys.stderr.flush()
    connection.sendall(str(code).encode())
    return code


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        serve(sys.argv[2])
    else:
        os.environ.pop("CONVDEPTH_PARENT", None)  # as `dvc_child` does it
        sys.exit(ask(os.environ[ADDRESS], sys.argv[1:], Path(), os.environ, (1, 2)))
