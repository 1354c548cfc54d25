"""Interrupted trainings: which are found, and which of them the next run takes up."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from holding import holding
from stand_in import stand_in

from conftest import PROJECT
from convdepth.config.params import find_architecture, read_params
from convdepth.data.arrays import array_paths
from convdepth.integrity import interrupted_trainings
from convdepth.integrity.interrupted_trainings import SEARCHES, Interrupted, find_interrupted
from convdepth.training.checkpoints import Checkpoints
from convdepth.training.fingerprint import describe_training
from convdepth.workspace.code_digests import read_command
from convdepth.workspace.dvc import find_option
from pipelines.flows.tune import command as tune_command

GRAPH = """
stages:
  train:
    foreach: ${architectures}
    do:
      cmd: convdepth train ${key} --normalized NORMALIZED --checkpoints left/${key}
  plot:
    cmd: convdepth plot --normalized NORMALIZED
"""

STUDIES = """
vars: [../params.yaml]
stages:
  train_seed:
    matrix:
      network: ${architectures}
      seed: ${seeds}
    wdir: ..
    cmd: >-
      convdepth train ${item.network} --seed ${item.seed}
      --normalized NORMALIZED --checkpoints left/${item.network}-${item.seed}
  train_tuned:
    matrix:
      network: [tiny]
      seed: ${seeds}
    wdir: ..
    cmd: >-
      convdepth train-tuned ${item.network} --seed ${item.seed}
      --normalized NORMALIZED --checkpoints left/${item.network}-tuned-${item.seed}
  collapse:
    foreach: ${architectures}
    do:
      wdir: ..
      cmd: convdepth collapse ${key} --normalized NORMALIZED --checkpoints collapse/${key}
"""


@pytest.fixture
def folder(tiny_params: Path, normalized: Path) -> Path:
    """A project with one tiny network and one further seed."""
    project = tiny_params.parent
    (project / ".dvc").mkdir()
    (project / ".dvc" / "config").write_text("[core]\nno_scm = true\n")
    (project / "studies").mkdir()
    (project / "studies" / "params.yaml").write_text("seeds: [2]\n")
    for path, text in (("dvc.yaml", GRAPH), ("studies/dvc.yaml", STUDIES)):
        (project / path).write_text(text.replace("NORMALIZED", f"'{normalized}'"))
    text = tiny_params.read_text()
    tiny_params.write_text(text.replace("dropout_scale: 1 ", "dropout_scale: 0.5 "))
    return project


def fingerprint(folder: Path, normalized: Path, module: str, **changes: Any) -> dict[str, Any]:
    """What a training of the tiny network depends on, as the stage computes it."""
    from convdepth.models.numeric_class import describe_numeric_class

    path = folder / "params.yaml"
    params = read_params(path)
    recipe = params.train.model_copy(update=changes)
    return describe_training(
        find_architecture("tiny", params, path),
        recipe,
        array_paths(normalized),
        read_command(module).digest,
        describe_numeric_class(recipe.threads, recipe.precision),
    )


def interrupt(folder: Path, depends_on: Mapping[str, Any], epochs: int = 2) -> Path:
    """Leave the checkpoint of an interrupted training."""
    kept = Checkpoints(folder, depends_on)
    kept.save(stand_in(0), [{"loss": 1.0}] * epochs)
    return kept.folder


def the_only(folder: Path) -> Interrupted:
    (found,) = find_interrupted(folder)
    return found


@pytest.mark.parametrize(
    ("place", "module", "changes", "stage"),
    [
        ("left/tiny", "train", {}, "train@tiny"),
        ("left/tiny-2", "train", {"seed": 2}, "studies/dvc.yaml:train_seed@tiny-2"),
        ("left/tiny-tuned-2", "train_tuned", {}, "studies/dvc.yaml:train_tuned@tiny-2"),
        ("collapse/tiny/scale-0.5/seed-2", "collapse", {}, "studies/dvc.yaml:collapse@tiny"),
        (f"{SEARCHES}/tiny/trial-3", "tune", {}, "tune@tiny"),
    ],
)
def test_a_training_of_any_stage_is_found_and_compared(
    folder: Path,
    normalized: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    module: str,
    changes: dict[str, Any],
    stage: str,
) -> None:
    assert find_interrupted(folder) == []
    depends_on = fingerprint(folder, normalized, module, **changes)
    old = interrupt(folder / place, depends_on | {"code": "0" * 64})
    assert the_only(folder).differing == ("code",)
    shutil.rmtree(old)
    interrupt(folder / place, depends_on)
    found = the_only(folder)
    assert (found.stage, found.differing) == (stage, ())
    assert found.knows_parameters is (module == "train")
    assert found.checkpoint.epoch == 2
    versions = {"tensorflow": "9", "keras": "9"}
    monkeypatch.setattr(interrupted_trainings, "versions", lambda: versions)
    for graph in ("dvc.yaml", "studies/dvc.yaml"):
        text = (folder / graph).read_text()
        (folder / graph).write_text(text.replace(str(normalized), "none"))
    data, numeric_class = the_only(folder).differing
    assert data == "data"
    assert "keras" in numeric_class


@pytest.mark.parametrize(
    ("old", "new", "keys"),
    [
        ("epochs: 2", "epochs: 9", ["train.epochs"]),
        ("dropout: 0.2}", "dropout: 0.3}", ["architecture.head.dropout"]),
        ("threads: 1 ", "threads: 2 ", ["threads", "train.threads"]),
    ],
)
def test_other_parameters_are_named(
    folder: Path, normalized: Path, old: str, new: str, keys: list[str]
) -> None:
    interrupt(folder / "left" / "tiny", fingerprint(folder, normalized, "train"))
    params = folder / "params.yaml"
    assert old in params.read_text()
    params.write_text(params.read_text().replace(old, new))
    differing = the_only(folder).differing
    assert [text.partition("(")[2].partition(":")[0] for text in differing] == keys


def test_a_running_training_is_not_interrupted(folder: Path, normalized: Path) -> None:
    (folder / "studies" / "dvc.yaml").unlink()
    interrupt(folder / "left" / "tiny", fingerprint(folder, normalized, "train"))
    with holding("train@tiny", folder / "kept" / "tiny.keras"):
        assert find_interrupted(folder) == []
    assert the_only(folder).stage == "train@tiny"


def test_all_commands_with_checkpoints_are_known() -> None:
    commands = interrupted_trainings._trainings(PROJECT)
    for option in ("--checkpoints", "--normalized"):
        assert find_option(commands["tune@cnn1"], option) == find_option(
            tune_command("cnn1"), option
        )
    assert {stage.rpartition(":")[2].partition("@")[0] for stage in commands} == {
        *("train", "train_seed", "train_tuned", "collapse", "tune")
    }
