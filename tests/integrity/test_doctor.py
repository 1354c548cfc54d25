"""`convdepth doctor` as a whole."""

import shutil
import subprocess
from pathlib import Path

import pytest
from command_line import loaded

import project as projects
from conftest import PROJECT
from convdepth.core.errors import MachineError, ParameterError
from convdepth.integrity.check_environment import Finding, note, ok
from convdepth.integrity.doctor import CHECKS, REMOTE, print_diagnosis


def refuse(_: Path) -> list[Finding]:
    raise ParameterError("params.yaml: train.epochs: expected at least 1, got 0.")


def crash(_: Path) -> list[Finding]:
    raise ZeroDivisionError("division by zero")


def test_a_check_that_fails_is_a_fault_and_hides_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    checks = {"a": refuse, "b": crash, "c": lambda folder: [ok(str(folder)), note("so", "Do it.")]}
    monkeypatch.setattr("convdepth.integrity.doctor.CHECKS", checks)
    (tmp_path / ".dvc").mkdir()
    with pytest.raises(MachineError, match="2"):
        print_diagnosis(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        *(["FAULT", "a:"], ["FAULT", "b:"], ["ok", "c:"], ["note", "c:"])
    ]
    assert "train.epochs" in lines[0]
    assert "ZeroDivisionError" in lines[1]


def test_a_fresh_clone_is_healthy_until_something_is_wrong(tmp_path: Path) -> None:
    project = projects.create(tmp_path / "convdepth", tmp_path, {})
    shutil.copy(PROJECT / "dvc.lock", project.folder)
    project.environment["PYTHONPATH"] = str(project.folder / "src")
    finished = subprocess.run(
        ["convdepth", "doctor", "--remote"],
        cwd=project.folder,
        env=project.environment | {"PYTHONPROFILEIMPORTTIME": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = finished.stdout.splitlines()
    assert {line[7:].partition(":")[0] for line in lines} == {*CHECKS, *REMOTE}
    assert {line.split()[0] for line in lines} == {"ok", "note"}
    modules = loaded(finished.stderr)
    assert "convdepth.integrity.doctor" in modules
    assert not modules & {"tensorflow", "keras", "pandas", "prefect"}
    (project.folder / "dvc.lock").unlink()
    (project.folder / ".dvc" / "tmp").mkdir(exist_ok=True)
    (project.folder / ".dvc" / "tmp" / "rwlock").write_text("{")
    output = project.run("convdepth", "doctor", code=4)
    faults = [line.split()[1] for line in output.splitlines() if line.startswith("FAULT")]
    assert faults == ["dvc.lock:", "leftovers:"]
    assert "Traceback" not in output
