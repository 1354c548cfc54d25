"""Checks of parameters, ``dvc.lock``, and what runs have left behind."""

import json
import subprocess
from fnmatch import fnmatch
from hashlib import sha256
from pathlib import Path

import pytest
from holding import holding

from convdepth.core.errors import DataError, ParameterError
from convdepth.core.files import atomic_path
from convdepth.integrity import check_project as checks
from convdepth.integrity.findings import Finding, Severity
from convdepth.integrity.interrupted_trainings import Interrupted, versions
from convdepth.models import numeric_class
from convdepth.training.checkpoints import Unfinished

TRAIN = (
    "convdepth train ${key} --model kept/${key}.keras --normalized '%s' --checkpoints left/${key}"
)


@pytest.fixture
def folder(tiny_params: Path, normalized: Path) -> Path:
    """A project with the tiny network, trained as its lock says, where nothing is wrong."""
    project, command = tiny_params.parent, TRAIN % normalized
    graph = {
        "train": {
            "foreach": "${architectures}",
            "do": {"cmd": command, "outs": ["kept/${key}.keras"]},
        }
    }
    (project / "dvc.yaml").write_text(json.dumps({"stages": graph}))
    out = {"path": "kept/tiny.keras", "hash": "md5", "md5": "0" * 32}
    entry = {"cmd": command.replace("${key}", "tiny"), "outs": [out]}
    (project / "dvc.lock").write_text(
        json.dumps({"schema": "2.0", "stages": {"train@tiny": entry}})
    )
    (project / ".dvc" / "tmp").mkdir(parents=True)
    (project / ".dvc" / "config").write_text("[core]\nno_scm = true\n")
    return project


def only(findings: list[Finding], severity: Severity) -> str:
    """Return the text of the only finding, which has this severity."""
    (finding,) = findings
    assert finding.severity is severity, finding
    return finding.text


def follow(finding: Finding, folder: Path) -> None:
    """Run the command between backticks."""
    remedy = finding.remedy.partition("`")[2].partition("`")[0]
    subprocess.run(["sh", "-c", remedy], cwd=folder, check=True)


def test_params(folder: Path) -> None:
    assert "tiny" in only(checks.check_params(folder), Severity.OK)
    params = folder / "params.yaml"
    params.write_text(params.read_text().replace("epochs: 2", "epochs: 0"))
    with pytest.raises(ParameterError, match=r"train\.epochs"):
        checks.check_params(folder)


def test_lock(folder: Path) -> None:
    only(checks.check_lock(folder), Severity.OK)
    params = folder / "params.yaml"
    tiny = params.read_text().rpartition("architectures:\n")[2]
    params.write_text(params.read_text() + tiny.replace("  tiny:", "  other:"))
    assert "other" in only(checks.check_lock(folder), Severity.FAULT)
    (folder / "dvc.lock").write_text("<<<<<<< HEAD\n")
    with pytest.raises(DataError, match=r"dvc\.lock"):
        checks.check_lock(folder)


def test_the_numeric_class_of_a_model(folder: Path) -> None:
    only(checks.check_models(folder), Severity.OK)
    model = folder / "kept" / "tiny.keras"
    model.parent.mkdir()
    model.write_bytes(b"weights")
    made = {"model_sha256": sha256(b"weights").hexdigest(), **versions(), "device": "a CPU"}
    record = model.with_name("tiny.numeric_class.json")
    for changes, severity, device in (
        ({}, Severity.OK, "a CPU"),
        ({"tensorflow": "2.0"}, Severity.NOTE, "a CPU"),
        ({"model_sha256": "0"}, Severity.OK, ""),
    ):
        record.write_text(json.dumps(made | changes))
        assert device in only(checks.check_models(folder), severity)
    assert record.name == model.stem + numeric_class.SUFFIX


def test_unfinished_files(folder: Path) -> None:
    (folder / ".dvc" / "tmp" / ".x.1.tmp").touch()  # DVC's own
    only(checks.check_leftovers(folder), Severity.OK)
    (folder / "kept it").mkdir()
    left = folder / "kept it" / ".tiny.1a2b3c4d.tmp.keras"
    left.touch()
    with holding("train@tiny", folder / "kept" / "tiny.keras"):
        only(checks.check_leftovers(folder), Severity.OK)
        assert "train@tiny" in only(checks.check_writers(folder), Severity.NOTE)
    only(checks.check_writers(folder), Severity.OK)
    (finding,) = checks.check_leftovers(folder)
    assert finding.severity is Severity.FAULT
    assert "kept it/.tiny.1a2b3c4d.tmp.keras" in finding.text
    follow(finding, folder)
    assert not left.exists()
    with atomic_path(folder / "kept it" / "tiny.keras") as temporary:
        assert fnmatch(temporary.name, checks.LEFTOVERS)


@pytest.mark.parametrize("content", ["", '{"write": {"/a'])
def test_a_torn_rwlock(folder: Path, content: str) -> None:
    rwlock = folder / ".dvc" / "tmp" / "rwlock"
    rwlock.write_text("{}")
    only(checks.check_leftovers(folder), Severity.OK)
    rwlock.write_text(content)
    (finding,) = checks.check_leftovers(folder)
    assert finding.severity is Severity.FAULT
    follow(finding, folder)
    assert not rwlock.exists()


def test_an_interrupted_training_that_is_not_taken_up_can_be_deleted(folder: Path) -> None:
    only(checks.check_interrupted(folder), Severity.OK)
    path = folder / "left" / "tiny" / "0123" / "epoch-0002.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"epoch": 2, "fingerprint": {"code": "0"}}))
    (finding,) = checks.check_interrupted(folder)
    assert finding.severity is Severity.NOTE
    assert "code" in finding.text
    follow(finding, folder)
    assert not path.exists()
    (folder / "params.yaml").write_text("train: 3")
    only(checks.check_interrupted(folder), Severity.OK)


@pytest.mark.parametrize("knows_parameters", [True, False])
def test_an_interrupted_training_that_is_taken_up(folder: Path, knows_parameters: bool) -> None:
    kept = Unfinished(folder / "left" / "0123" / "epoch-0004.json", 4, 2_000_000, 0, {})
    finding = checks._judge(Interrupted("train@tiny", kept, (), knows_parameters), folder)
    assert (finding.severity, finding.remedy) == (Severity.NOTE, "")
    assert "train@tiny" in finding.text
    assert "2.0 MB" in finding.text
    assert ("unless" in finding.text) is not knows_parameters
