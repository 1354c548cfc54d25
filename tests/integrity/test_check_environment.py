"""Checks of packages, code, GPU, DVC remote and Prefect."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import serving

from conftest import PROJECT
from convdepth.core.errors import MachineError
from convdepth.integrity.check_environment import (
    Finding,
    check_code,
    check_gpu,
    check_packages,
    check_prefect,
    check_remote,
    ok,
)
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


def test_the_code_that_runs(tmp_path: Path) -> None:
    assert [finding.severity for finding in check_code(PROJECT)] == ["ok"]
    (finding,) = check_code(tmp_path)
    assert finding.severity == "FAULT"
    assert f"expected {tmp_path / 'src' / 'convdepth'}" in finding.text


def test_a_schedule_that_requires_a_gpu_which_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVDEPTH_DEVICE", "cpu")
    cpu, schedule = check_gpu(PROJECT)
    assert (cpu.severity, schedule.severity) == ("ok", "note")
    assert "nightly requires a GPU" in schedule.text


def test_a_remote_that_answers_and_one_that_does_not(ran: Project, tmp_path: Path) -> None:
    (finding,) = check_remote(ran.folder)
    assert finding.severity == "note"
    ran.run("dvc", "remote", "add", "--default", "a.b", str(tmp_path / "remote"))
    assert check_remote(ran.folder) == [Finding("ok", "a.b answers")]
    ran.run("dvc", "remote", "modify", "a.b", "url", "gs://bucket/folder")
    (finding,) = check_remote(ran.folder)
    assert finding.severity == "FAULT"
    assert "-m pip install dvc-gs`" in finding.text  # it is not installed


def ask(folder: Path, severity: str) -> str:
    (finding,) = check_prefect(folder)
    assert finding.severity == severity
    return finding.text


def test_a_prefect_server(harness: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    assert ask(tmp_path, "note") == "no server"
    monkeypatch.setenv("PREFECT_API_URL", harness)
    for name in ("HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{serving.free_port()}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
    assert harness in ask(tmp_path, "ok")
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{serving.free_port()}/api")
    assert os.environ["PREFECT_API_URL"] in ask(tmp_path, "note")
    monkeypatch.setenv("PREFECT_API_REQUEST_TIMEOUT", "soon")
    assert "PREFECT_API_REQUEST_TIMEOUT: " in ask(tmp_path, "FAULT")
    monkeypatch.delenv("PREFECT_API_REQUEST_TIMEOUT")
    monkeypatch.delenv("PREFECT_API_URL")
    (tmp_path / "pyproject.toml").write_text('[tool.prefect.server.api]\nport = "x"')
    wrong = ask(tmp_path, "FAULT")
    assert "PREFECT_SERVER_API_PORT: " in wrong
    assert "pyproject.toml" in wrong
    monkeypatch.setenv("PREFECT_HOME", "/proc/missing")
    with pytest.raises(MachineError, match="PREFECT_HOME=/proc/missing: "):
        check_prefect(tmp_path)


def test_a_silent_server_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    port = str(serving.free_port())
    options = ["-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", port]
    wait = [sys.executable, "-c", "import time; time.sleep(600)"]
    with subprocess.Popen([*wait, *options]) as process:
        (tmp_path / "server.pid").write_text(str(process.pid))
        assert f"127.0.0.1:{port}" in ask(tmp_path, "note")
        process.kill()
