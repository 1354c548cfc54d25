"""The lines of docs/several-machines.md for DVC remotes, with a local server for S3."""

import contextlib
import re
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


@contextlib.contextmanager
def s3(project: Project) -> Iterator[None]:
    port = serving.free_port()
    url = f"http://127.0.0.1:{port}"
    project.environment |= {"AWS_ENDPOINT_URL": url, "AWS_DEFAULT_REGION": "us-east-1"}
    project.environment |= {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    moto = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]

    def has_bucket() -> bool:
        with contextlib.suppress(httpx.ConnectError):
            return httpx.put(f"{url}/bucket").is_success
        return False

    with subprocess.Popen(moto, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            wait_until(has_bucket)
            yield
        finally:
            serving.kill_tree(server.pid)


def documented() -> tuple[list[str], str]:
    """Give the lines for the first machine and the one for the others."""
    page = (PROJECT / "docs" / "several-machines.md").read_text(encoding="utf-8")
    block = page[page.index("dvc remote add") :].partition("\n```")[0]
    lines = re.sub(r" {2,}#.*", "", block).splitlines()
    lines = [line for line in lines if "remote add" not in line or " s3:" in line]
    return lines[:-1], lines[-1]


@pytest.mark.nightly
def test_another_machine_restores_all_from_the_documented_remote(
    project: Project, tmp_path: Path
) -> None:
    upstream = tmp_path / "upstream.git"
    project.run("git", "clone", "--quiet", "--bare", str(project.folder), str(upstream))
    project.run("git", "remote", "add", "origin", str(upstream))
    project.run("git", "push", "--quiet", "--set-upstream", "origin", "HEAD")
    second = Project(tmp_path / "second", tmp_path)
    project.run("git", "clone", "--quiet", str(upstream), str(second.folder))
    here, elsewhere = documented()
    with s3(project):
        second.environment |= project.environment | {"DVC_SITE_CACHE_DIR": str(tmp_path / "dvc2")}
        assert project.repro()
        project.commit("Results")
        for line in here:
            project.run("sh", "-c", line)
        second.run("sh", "-c", elsewhere)
    assert toy.log(second) == []
    assert (second.folder / "one.model").read_text() == "train@one\n"
    assert second.run("git", "status", "--porcelain") == ""
