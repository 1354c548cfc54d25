"""Interrupted trainings: which are found, and which of them the next run takes up."""

import dataclasses
import json
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
from convdepth.integrity import interruptions
from convdepth.integrity.interruptions import RECORD, SEARCHES, Interrupted, find_interrupted
from convdepth.training.checkpoints import Checkpoints
from convdepth.training.fingerprint import describe_training
from convdepth.workspace.code_digests import read_command
from convdepth.workspace.repository import find_option

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


def test_nothing_was_interrupted(folder: Path) -> None:
    assert find_interrupted(folder) == []
    (folder / "studies" / "dvc.yaml").unlink()
    assert find_interrupted(folder) == []


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
def test_a_training_of_any_stage_is_found_and_taken_up(
    folder: Path, normalized: Path, place: str, module: str, changes: dict[str, Any], stage: str
) -> None:
    interrupt(folder / place, fingerprint(folder, normalized, module, **changes))
    found = the_only(folder)
    assert (found.stage, found.differing, found.module) == (stage, (), module)
    assert found.is_compared == (module == "train")
    assert found.is_search == (module == "tune")
    nested = {"collapse": "scale-0.5/seed-2", "tune": "trial-3"}
    assert found.part == nested.get(module, "")
    (kept,) = found.kept
    assert kept.epoch == 2
    assert kept.bytes > 1_000_000


def test_a_seed_is_one_of_the_things_that_differ(folder: Path, normalized: Path) -> None:
    interrupt(folder / "left" / "tiny-2", fingerprint(folder, normalized, "train", seed=3))
    assert the_only(folder).differing == ("parameters (train.seed: 3 there, 2 here)",)


@pytest.mark.parametrize(
    ("old", "new", "differing"),
    [
        ("epochs: 2", "epochs: 9", ("parameters (train.epochs: 2 there, 9 here)",)),
        (
            "dropout: 0.2}",
            "dropout: 0.3}",
            ("parameters (architecture.head.dropout: 0.2 there, 0.3 here)",),
        ),
        (
            "threads: 1 ",
            "threads: 2 ",
            (
                "numeric class (threads: 1 there, 2 here)",
                "parameters (train.threads: 1 there, 2 here)",
            ),
        ),
    ],
)
def test_other_parameters_are_told(
    folder: Path, normalized: Path, old: str, new: str, differing: tuple[str, ...]
) -> None:
    interrupt(folder / "left" / "tiny", fingerprint(folder, normalized, "train"))
    params = folder / "params.yaml"
    assert old in params.read_text()
    params.write_text(params.read_text().replace(old, new))
    assert the_only(folder).differing == differing


@pytest.mark.parametrize("module", ["train", "train_tuned", "collapse", "tune"])
def test_other_code_data_and_libraries_are_told_of_each_command(
    folder: Path, normalized: Path, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {"train": "left/tiny", "train_tuned": "left/tiny-tuned-2", "collapse": "collapse/tiny"}
    place = folder / places.get(module, f"{SEARCHES}/tiny/trial-0")
    depends_on = fingerprint(folder, normalized, module)
    other = interrupt(place, depends_on | {"code": "0" * 64})
    assert the_only(folder).differing == ("code",)
    shutil.rmtree(other)
    interrupt(place, depends_on)
    monkeypatch.setattr(interruptions, "versions", lambda: {"tensorflow": "9", "keras": "9"})
    for graph in ("dvc.yaml", "studies/dvc.yaml"):
        text = (folder / graph).read_text()
        (folder / graph).write_text(text.replace(str(normalized), "none"))
    (first, second) = the_only(folder).differing
    assert first == "data"
    assert second.startswith("numeric class (keras: ")


def test_trainings_of_a_stage_that_differ_alike_are_told_together(
    folder: Path, normalized: Path
) -> None:
    depends_on = fingerprint(folder, normalized, "collapse")
    root = folder / "collapse" / "tiny"
    for seed in (1, 2):
        interrupt(root / "scale-1" / f"seed-{seed}", depends_on, seed)
    together = the_only(folder)
    assert [kept.epoch for kept in together.kept] == [1, 2]
    assert together.part == "scale-1/seed-2"
    assert together.paths == [root]
    stale = interrupt(root / "scale-0" / "seed-1", depends_on | {"code": "0" * 64})
    found = {each.differing: each for each in find_interrupted(folder)}
    assert {differing: len(each.kept) for differing, each in found.items()} == {(): 2, ("code",): 1}
    assert found["code",].paths == [stale]


def test_a_trial_that_had_ended_counts(folder: Path, normalized: Path) -> None:
    depends_on = fingerprint(folder, normalized, "tune")
    trial = folder / SEARCHES / "tiny" / "trial-0"
    trial.mkdir(parents=True)
    (trial / RECORD).write_text(json.dumps({"fingerprint": depends_on, "accuracies": [0.1] * 8}))
    (trial.parent / "trial-1").mkdir()
    (trial.parent / "trial-1" / RECORD).write_text('{"torn')
    found = the_only(folder)
    assert (found.stage, found.differing, found.part) == ("tune@tiny", (), "trial-0")
    assert found.kept[0].epoch == 8
    assert dataclasses.replace(found, is_all=False).paths == [trial]


def test_a_training_that_runs_is_not_interrupted(folder: Path, normalized: Path) -> None:
    interrupt(folder / "left" / "tiny", fingerprint(folder, normalized, "train"))
    with holding("train@tiny", folder / "kept" / "tiny.keras"):
        assert find_interrupted(folder) == []
    assert the_only(folder).stage == "train@tiny"


def test_the_names_of_a_search_are_those_that_are_written() -> None:
    from convdepth.studies import search as tune
    from pipelines.flows.tune import command

    assert RECORD == tune.RECORD
    assert find_option(command("cnn1"), "--checkpoints") == f"{SEARCHES}/cnn1"
    commands = interruptions._trainings(PROJECT)
    assert find_option(commands["tune@cnn1"], "--normalized") == find_option(
        command("cnn1"), "--normalized"
    )
    assert {stage.rpartition(":")[2].partition("@")[0] for stage in commands} == {
        *("train", "train_seed", "train_tuned", "collapse", "tune")
    }
