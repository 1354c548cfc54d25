"""Checks of packages, code and DVC remote."""

import os
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from conftest import PROJECT
from convdepth.integrity.check_environment import (
    Finding,
    check_code,
    check_packages,
    check_remote,
    ok,
)
from convdepth.workspace import dvc
from project import Project

PYTEST, NUMPY = (f"{name}=={version(name)}" for name in ("pytest", "numpy"))


def write_lock(folder: Path, *requirements: str, name: str = "requirements.lock") -> None:
    entries = [f"{line} \\\n    --hash=sha256:00 \\\n    --hash=sha256:01" for line in requirements]
    (folder / name).write_text("\n".join(["# made by uv", *entries, ""]))


def test_packages_are_compared_with_the_lock(tmp_path: Path) -> None:
    extra = f"httpx[http2]=={version('httpx')}"
    write_lock(tmp_path, PYTEST, NUMPY, extra, "no-such-package==1 ; sys_platform == 'win32'")
    assert check_packages(tmp_path) == [ok("all 3 of requirements.lock")]
    write_lock(tmp_path, "pytest==0.1", NUMPY, "no-such-package==1")
    (finding,) = check_packages(tmp_path)
    assert finding.severity == "FAULT"
    for part in ("2 of 3", f"pytest {version('pytest')}", "==0.1", "no-such-package"):
        assert part in finding.text


def test_the_lock_is_the_one_that_was_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    write_lock(tmp_path, PYTEST)
    write_lock(tmp_path, "pytest==0.1", name="requirements-gpu.lock")
    for place, name in enumerate(("requirements.lock", "requirements-gpu.lock")):
        (tmp_path / f"installed-{name}").touch()
        os.utime(tmp_path / f"installed-{name}", (place, place))
    (finding,) = check_packages(tmp_path)
    assert "make environment LOCK=requirements-gpu.lock" in finding.remedy


def test_the_environment_of_the_tests_is_that_of_a_lock() -> None:
    (finding,) = check_packages(PROJECT)
    assert finding.severity == "ok"


def test_the_code_that_runs(tmp_path: Path) -> None:
    assert [finding.severity for finding in check_code(PROJECT)] == ["ok"]
    (finding,) = check_code(tmp_path)
    assert finding.severity == "FAULT"
    assert f"expected {tmp_path / 'src' / 'convdepth'}" in finding.text


def test_a_remote_that_answers_and_one_that_does_not(project: Project, tmp_path: Path) -> None:
    (finding,) = check_remote(project.folder)
    assert finding.severity == "note"
    project.run("dvc", "remote", "add", "--default", "a.b", str(tmp_path / "remote"))
    project.repro()
    assert check_remote(project.folder) == [Finding("ok", "a.b answers")]
    project.run("dvc", "remote", "modify", "a.b", "url", "s3://bucket/folder")
    (finding,) = check_remote(project.folder)
    assert finding.severity == "FAULT"
    assert "s3" in finding.text  # its library is not installed


def test_a_silent_remote(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    # Stands for a host that takes a connection and says nothing.
    monkeypatch.setattr(sys, "executable", str(project.folder / "slow"))
    (project.folder / "slow").write_text("#!/bin/sh\nexec sleep 600\n")
    (project.folder / "slow").chmod(0o755)
    assert "0 s" in (dvc.ask_remote(project.folder, 0.5) or "")
