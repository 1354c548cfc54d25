"""`convdepth doctor` as a whole."""

import shutil
import subprocess
from pathlib import Path

import pytest

import project as projects
from conftest import PROJECT
from convdepth.core.errors import MachineError, ParameterError
from convdepth.integrity import check_environment as checks_environment
from convdepth.integrity import check_project as checks_project
from convdepth.integrity import check_services as checks_services
from convdepth.integrity.doctor import CHECKS, REMOTE_ANSWERS, Check, diagnose, print_diagnosis
from convdepth.integrity.findings import Finding, Severity, note, ok
from project import Project


def refuse(_: Path) -> list[Finding]:
    raise ParameterError("params.yaml: train.epochs: expected at least 1, got 0.")


def crash(_: Path) -> list[Finding]:
    raise ZeroDivisionError("division by zero")


def test_every_check_is_registered() -> None:
    modules = (checks_environment, checks_project, checks_services)
    written = {
        function
        for module in modules
        for name, function in vars(module).items()
        if name.startswith("check_")
    }
    assert {check.run for check in [*CHECKS, REMOTE_ANSWERS]} == written


def test_a_check_that_fails_hides_no_other(tmp_path: Path) -> None:
    checks = [
        Check("refused", refuse),
        Check("broken", crash),
        Check("silent", lambda _: []),
        Check("well", lambda folder: [ok(str(folder)), note("so", "Do this.")]),
    ]
    found = [(label, finding.severity, finding.text) for label, finding in diagnose(checks)]
    assert found == [
        ("refused", Severity.FAULT, "params.yaml: train.epochs: expected at least 1, got 0"),
        ("broken", Severity.FAULT, "this check itself failed: ZeroDivisionError: division by zero"),
        ("well", Severity.OK, str(Path.cwd())),
        ("well", Severity.NOTE, "so"),
    ]
    assert next(diagnose(checks[3:], tmp_path))[1].text == str(tmp_path)


def test_one_line_for_each_finding(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = [Check("a", lambda _: [ok("well"), note("so", "Do this.")])]
    monkeypatch.setattr("convdepth.integrity.doctor.CHECKS", checks)
    print_diagnosis()
    assert capsys.readouterr().out == "ok     a: well\nnote   a: so. Do this.\n"
    checks.append(Check("b", refuse))
    with pytest.raises(MachineError, match="1 thing is wrong; each line that begins with FAULT"):
        print_diagnosis()
    assert "FAULT  b: params.yaml: train.epochs" in capsys.readouterr().out


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The project as somebody has it who has just cloned it."""
    project = projects.create(tmp_path / "convdepth", tmp_path, {})
    shutil.copy(PROJECT / "dvc.lock", project.folder)
    project.environment["PYTHONPATH"] = str(project.folder / "src")
    return project


def test_a_fresh_clone_is_healthy_until_something_is_wrong(project: Project) -> None:
    output = project.run("convdepth", "doctor", "--remote")
    labels = {line[7:].partition(":")[0] for line in output.splitlines()}
    assert labels == {check.label for check in CHECKS}
    assert {line.split()[0] for line in output.splitlines()} == {"ok", "note"}
    (project.folder / "dvc.lock").unlink()
    (project.folder / ".dvc" / "tmp").mkdir(exist_ok=True)
    (project.folder / ".dvc" / "tmp" / "rwlock").write_text("{")
    output = project.run("convdepth", "doctor", code=4)
    faults = [line.split()[1] for line in output.splitlines() if line.startswith("FAULT")]
    assert sorted(set(faults)) == ["dvc.lock:", "rwlock:"]
    assert "error: 2 things are wrong" in output
    assert "Traceback" not in output


def test_tensorflow_and_dvc_are_not_loaded(project: Project) -> None:
    finished = subprocess.run(
        ["convdepth", "doctor"],
        cwd=project.folder,
        env=project.environment | {"PYTHONPROFILEIMPORTTIME": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0
    loaded = {line.rpartition("|")[2].strip() for line in finished.stderr.splitlines()}
    assert "convdepth.integrity.doctor" in loaded
    assert not loaded & {"tensorflow", "keras", "pandas", "dvc", "prefect"}
