"""Checks of parameters, ``dvc.lock``, and what runs have left behind."""

import json
import subprocess
from fnmatch import fnmatch
from hashlib import sha256
from pathlib import Path

import pytest
from holding import holding
from stand_in import stand_in

from convdepth.config.recipe import read_training
from convdepth.core.errors import DataError, ParameterError
from convdepth.core.files import atomic_path
from convdepth.integrity import check_project as checks
from convdepth.integrity.check_environment import Finding
from convdepth.models import numeric_class
from convdepth.training.checkpoints import Checkpoints, describe_training
from convdepth.workspace.code_digests import read_command

COMMAND = "convdepth train ${key} --model kept/${key}.keras --checkpoints=left/${key}"
STUDIES = """
vars: [../params.yaml]
stages:
  train_recipe:
    foreach: [2]
    do:
      wdir: ..
      cmd: convdepth train tiny --seed ${item} --checkpoints left/tiny-${item}
  collapse:
    foreach: ${architectures}
    do:
      wdir: ..
      cmd: convdepth collapse ${key} --checkpoints collapse/${key}
"""


@pytest.fixture
def folder(tiny_params: Path) -> Path:
    """A project with the tiny network, trained as its lock says, where nothing is wrong."""
    project = tiny_params.parent
    graph = {"train": {"foreach": "${architectures}", "do": {"cmd": COMMAND}}}
    (project / "dvc.yaml").write_text(json.dumps({"stages": graph}))
    outs = [{"path": "kept/tiny.keras"}]
    entry = {"cmd": COMMAND.replace("${key}", "tiny"), "outs": outs}
    lock = {"schema": "2.0", "stages": {"train@tiny": entry}}
    (project / "dvc.lock").write_text(json.dumps(lock))
    (project / "studies").mkdir()
    (project / "studies" / "dvc.yaml").write_text(STUDIES)
    (project / ".dvc" / "tmp").mkdir(parents=True)
    (project / ".dvc" / "config").write_text("[core]\nno_scm = true\n")
    return project


def only(findings: list[Finding], severity: str) -> str:
    """Return the text of the only finding, which has this severity."""
    (finding,) = findings
    assert finding.severity == severity, finding
    return finding.text


def follow(finding: Finding, folder: Path) -> None:
    """Run the command between backticks."""
    remedy = finding.remedy.partition("`")[2].partition("`")[0]
    subprocess.run(["sh", "-c", remedy], cwd=folder, check=True)


def test_parameters_and_lock(folder: Path) -> None:
    assert "tiny" in only(checks.check_params(folder), "ok")
    only(checks.check_lock(folder), "ok")
    params = folder / "params.yaml"
    tiny = params.read_text().rpartition("architectures:\n")[2]
    params.write_text(params.read_text() + tiny.replace("  tiny:", "  other:"))
    assert "other" in only(checks.check_lock(folder), "FAULT")
    params.write_text(params.read_text().replace("epochs: 2", "epochs: 0"))
    with pytest.raises(ParameterError, match=r"train\.epochs"):
        checks.check_params(folder)
    (folder / "dvc.lock").write_text("<<<<<<< HEAD\n")
    with pytest.raises(DataError, match=r"dvc\.lock"):
        checks.check_lock(folder)


def test_the_numeric_class_of_a_model(folder: Path) -> None:
    only(checks.check_models(folder), "ok")
    model = folder / "kept" / "tiny.keras"
    model.parent.mkdir()
    model.write_bytes(b"weights")
    made = {"model_sha256": sha256(b"weights").hexdigest(), **checks.versions(), "device": "a CPU"}
    for changes, severity, device in (
        ({}, "ok", "a CPU"),
        ({"tensorflow": "2.0"}, "note", "a CPU"),
        ({"model_sha256": "0"}, "ok", ""),
    ):
        model.with_suffix(numeric_class.SUFFIX).write_text(json.dumps(made | changes))
        assert device in only(checks.check_models(folder), severity)


def test_unfinished_files(folder: Path) -> None:
    (folder / ".dvc" / "tmp" / ".x.1.tmp").touch()  # DVC's own
    only(checks.check_leftovers(folder), "ok")
    (folder / "kept it").mkdir()
    left = folder / "kept it" / ".tiny.1a2b3c4d.tmp.keras"
    left.touch()
    with holding("train@tiny", folder / "kept" / "tiny.keras"):
        assert "train@tiny" in only(checks.check_leftovers(folder), "note")
        only(checks.check_interrupted(folder), "ok")
    (finding,) = checks.check_leftovers(folder)
    assert finding.severity == "FAULT"
    assert "kept it/.tiny.1a2b3c4d.tmp.keras" in finding.text
    follow(finding, folder)
    assert not left.exists()
    with atomic_path(folder / "kept it" / "tiny.keras") as temporary:
        assert fnmatch(temporary.name, checks.LEFTOVERS)


def test_files_of_a_removed_network_are_listed_until_they_are_deleted(folder: Path) -> None:
    lock = json.loads((folder / "dvc.lock").read_text())
    outs = [{"path": "kept/old.keras"}, {"path": "kept/gone.csv"}, {"path": "kept/tiny.keras"}]
    lock["stages"]["train@old"] = {"cmd": "convdepth train old", "outs": outs}
    (folder / "dvc.lock").write_text(json.dumps(lock))
    only(checks.check_removed(folder), "ok")
    model = folder / "kept" / "old.keras"
    model.parent.mkdir()
    files = [model, model.with_suffix(checks.RECORD), model.with_name("tiny.keras")]
    for path in files:
        path.touch()
    (finding,) = checks.check_removed(folder)
    assert finding.severity == "note"
    follow(finding, folder)
    assert [path.exists() for path in files] == [False, False, True]
    only(checks.check_removed(folder), "ok")


@pytest.mark.parametrize("content", ["", '{"write": {"/a'])
def test_a_torn_rwlock(folder: Path, content: str) -> None:
    rwlock = folder / ".dvc" / "tmp" / "rwlock"
    rwlock.write_text("{}")
    only(checks.check_leftovers(folder), "ok")
    rwlock.write_text(content)
    (finding,) = checks.check_leftovers(folder)
    assert finding.severity == "FAULT"
    follow(finding, folder)
    assert not rwlock.exists()


@pytest.mark.parametrize(
    ("place", "command", "seed", "stage"),
    [
        ("left/tiny", "train", 1, "train@tiny"),
        ("left/tiny-2", "train", 2, "studies/dvc.yaml:train_recipe@2"),
        ("collapse/tiny/scale-0.5/seed-2", "collapse", 2, "studies/dvc.yaml:collapse@tiny"),
    ],
)
def test_an_interrupted_training_is_taken_up_if_it_is_the_same(
    folder: Path, place: str, command: str, seed: int, stage: str
) -> None:
    only(checks.check_interrupted(folder), "ok")
    params = folder / "params.yaml"
    architecture, recipe = read_training("tiny", params)
    recipe = recipe.model_copy(update={"seed": seed})
    code = read_command(command).digest
    kept = Checkpoints(
        folder / place, describe_training(architecture, recipe, [], code, checks.versions())
    )
    kept.save(stand_in(0), [{"loss": 1.0}] * 2)
    text = only(checks.check_interrupted(folder), "note")
    assert (f"{stage}: " in text, "after epoch 2;" in text, "resumes" in text) == (True,) * 3
    old = Checkpoints(folder / place, kept.fingerprint | {"code": "old"})
    old.save(stand_in(0), [{"loss": 1.0}])
    params.write_text(params.read_text().replace("epochs: 2", "epochs: 9"))
    findings = checks.check_interrupted(folder)
    texts = [finding.text.partition("not taken up")[2] for finding in findings]
    assert any("code" in text for text in texts)
    assert any("train.epochs: 2 there, 9 here" in text for text in texts) == (command == "train")
    for finding in findings:
        if finding.remedy:
            follow(finding, folder)
    assert not old.folder.exists()
