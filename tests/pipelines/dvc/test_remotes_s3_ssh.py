"""The lines of docs/several-machines.md for DVC remotes, with local servers for S3 and SSH."""

import contextlib
import getpass
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import serving
import toy
from waiting import wait_until

from conftest import PROJECT
from project import Project

pytestmark = pytest.mark.nightly


@contextlib.contextmanager
def listening(*command: str | Path, port: int) -> Iterator[None]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:

        def answers() -> bool:
            assert server.poll() is None, f"{command[0]} has ended with {server.returncode}"
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                return True
            return False

        try:
            wait_until(answers)
            yield
        finally:
            serving.kill_tree(server.pid)


@contextlib.contextmanager
def s3(project: Project, _folder: Path) -> Iterator[None]:
    port = serving.free_port()
    url = f"http://127.0.0.1:{port}"
    project.environment |= {"AWS_ENDPOINT_URL": url, "AWS_DEFAULT_REGION": "us-east-1"}
    project.environment |= {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    moto = (sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port))
    with listening(*moto, port=port):
        httpx.put(f"{url}/bucket").raise_for_status()
        yield


@contextlib.contextmanager
def ssh(project: Project, folder: Path) -> Iterator[None]:
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    assert sshd, "sshd is missing: apt-get install openssh-server"
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd locks itself up
    port, keys = serving.free_port(), Path(project.environment["HOME"]) / ".ssh"
    keys.mkdir(mode=0o700)
    for name in ("host", "user"):
        generate = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f")
        subprocess.run([*generate, keys / name], check=True)
    public = (keys / "host.pub").read_text()
    (keys / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}")
    (keys / "config").write_text(
        f"Host host\n  HostName 127.0.0.1\n  Port {port}\n  User {getpass.getuser()}\n"
        f"  IdentityFile {keys / 'user'}\n"
    )
    options = {"ListenAddress": f"127.0.0.1:{port}", "HostKey": keys / "host", "PidFile": "none"}
    options |= {"AuthorizedKeysFile": keys / "user.pub", "StrictModes": "no", "UsePAM": "no"}
    options |= {"Subsystem": "sftp internal-sftp", "PasswordAuthentication": "no"}
    (folder / "sshd_config").write_text("".join(f"{key} {options[key]}\n" for key in options))
    with listening(sshd, "-D", "-f", folder / "sshd_config", port=port):
        yield


def documented(remote: str, folder: Path) -> tuple[list[str], str]:
    """Give the lines for the first machine and the one for the others."""
    page = (PROJECT / "docs" / "several-machines.md").read_text(encoding="utf-8")
    block = page[page.index("dvc remote add") :].partition("\n```")[0]
    text = re.sub(r" {2,}#.*", "", block).replace("/path/", f"{folder}/")
    lines = [
        line for line in text.splitlines() if "remote add" not in line or f" {remote}:" in line
    ]
    return lines[:-1], lines[-1]


@pytest.mark.parametrize("server", [s3, ssh])
def test_another_machine_restores_all_from_the_documented_remote(
    project: Project, tmp_path: Path, server: type[s3]
) -> None:
    upstream = tmp_path / "upstream.git"
    project.run("git", "clone", "--quiet", "--bare", str(project.folder), str(upstream))
    project.run("git", "remote", "add", "origin", str(upstream))
    project.run("git", "push", "--quiet", "--set-upstream", "origin", "HEAD")
    second = Project(tmp_path / "second", tmp_path)
    project.run("git", "clone", "--quiet", str(upstream), str(second.folder))
    storage = tmp_path / "storage"
    here, elsewhere = documented(server.__name__, storage)
    with server(project, tmp_path):
        second.environment |= project.environment | {"DVC_SITE_CACHE_DIR": str(tmp_path / "dvc2")}
        assert project.repro()
        project.commit("Results")
        for line in here:
            project.run("sh", "-c", line)
        assert storage.exists() == (server is ssh)
        second.run("sh", "-c", elsewhere)
    assert toy.log(second) == []
    assert (second.folder / "one.model").read_text() == "train@one\n"
    assert second.run("git", "status", "--porcelain") == ""
