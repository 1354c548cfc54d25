"""The stages `replicates` and `tuned`: trainings summarized, and damaged inputs named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from study_inputs import (
    ACCURACIES,
    LABELS,
    SETTINGS,
    TUNED,
    tables,
    write_run,
    write_studies,
    wrong_from,
)

from convdepth.config.params import read_architecture
from convdepth.core.errors import DataError
from convdepth.core.files import write_csv
from convdepth.data.arrays import read_split
from convdepth.evaluation.metrics import score_training
from convdepth.evaluation.results import read_seed_answers
from convdepth.studies import aggregate_recipe, aggregate_tuned
from convdepth.studies.aggregate_tuned import SUMMARY, read_tuned_answers
from convdepth.studies.runs import Run, rightness, summarize


def run(seed: int, predicted: np.ndarray, loss: float = 0.5) -> Run:
    history, predictions = tables(LABELS, predicted)
    return Run(seed, history, predictions, score_training(predictions.assign(loss=loss)))


def test_mean_deviation_and_failures_by_hand() -> None:
    summary = summarize([run(1, wrong_from(180), 0.3), run(2, wrong_from(190), 0.5)])
    accuracy, loss = summary.accuracy, summary.loss
    assert (accuracy.mean, accuracy.standard_deviation) == (0.925, 0.035355)
    assert (loss.mean, loss.standard_deviation) == (0.4, 0.141421)
    assert accuracy.low < 0.9
    assert accuracy.high == 1  # two seeds say little; no accuracy is above 1
    assert summary.has_learned
    summary = summarize([run(1, LABELS), run(2, np.ones_like(LABELS)), run(3, LABELS)])
    assert (summary.collapsed, summary.near_chance, summary.count) == (1, 0, 3)
    assert summary.accuracy.mean == pytest.approx(0.7, abs=1e-6)
    assert not summary.has_learned
    single = summarize([run(7, wrong_from(180))])
    assert single.accuracy.standard_deviation is None
    assert single.accuracy.low < 0.9 < single.accuracy.high


@pytest.fixture
def folder(normalized: Path, tmp_path: Path) -> Path:
    """The training of the pipeline in ``own``, the trainings of the studies in ``seeds``."""
    _, labels = read_split(normalized, "test")
    history, predictions = tables(labels, wrong_from(1800, labels))
    write_csv(tmp_path / "own" / "history" / "tiny.csv", history.assign(val_accuracy=[0.1, 0.2]))
    write_csv(tmp_path / "own" / "predictions" / "tiny.csv", predictions)
    write_run(tmp_path / "seeds", 2, labels, wrong_from(1900, labels))
    write_run(tmp_path / "seeds", 3, labels, labels)  # of former parameters
    for seed in (1, 2):
        write_run(tmp_path / "seeds" / "tiny-tuned", seed, labels, wrong_from(900 * seed, labels))
    return tmp_path


def replicate(params: Path, normalized: Path, folder: Path) -> Any:
    aggregate_recipe.main(
        name="tiny",
        normalized=normalized,
        histories=folder / "own" / "history",
        predictions=folder / "own" / "predictions",
        seeds=folder / "seeds",
        summary=folder / "summary.json",
        answers=folder / "answers.csv",
        params=params,
        studies=write_studies(folder),
    )
    return json.loads((folder / "summary.json").read_text())


def test_the_first_run_is_the_pipelines_and_the_others_are_of_the_studies(
    tiny_params: Path, normalized: Path, folder: Path
) -> None:
    first, second = replicate(tiny_params, normalized, folder)["runs"]
    assert (first["seed"], first["accuracy"]) == (1, 0.9)
    assert (second["seed"], second["accuracy"]) == (2, 0.95)
    assert first["curves"]["val_accuracy"] == [0.1, 0.2]
    assert second["curves"]["val_accuracy"] == ACCURACIES
    answers = read_seed_answers(folder / "answers.csv")
    assert list(answers.columns) == ["label", "seed_1", "seed_2"]
    assert rightness(answers).sum(axis=1).tolist() == [1800, 1900]


def replace(old: str, new: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    return damage


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *((f"seeds/2{end}", Path.unlink) for end in (".csv", ".answers.csv", ".scores.json")),
        *((f"own/{kind}/tiny.csv", Path.unlink) for kind in ("history", "predictions")),
        ("seeds/2.csv", replace("val_loss", "lost")),
        ("seeds/2.csv", lambda path: path.write_text(path.read_text().partition("\n")[0])),
        *(("seeds/2.csv", replace("0.300000", value)) for value in ("x", "", "inf")),
        *(("seeds/2.answers.csv", replace("\n6,6", row)) for row in ("\n6,66", "\n6,", "\n7,6")),
        ("seeds/2.answers.csv", lambda path: path.write_text(path.read_text()[:1000])),
        ("seeds/2.scores.json", lambda path: path.write_text(path.read_text()[:20])),
        ("seeds/2.scores.json", lambda path: path.write_text("[]")),
        ("seeds/2.scores.json", replace('"loss"', '"lost"')),
        ("seeds/2.scores.json", replace("0.95", "NaN")),
        ("seeds/2.scores.json", replace('"ok"', '"fine"')),
    ],
)
def test_a_damaged_file_is_named(
    tiny_params: Path, normalized: Path, folder: Path, name: str, damage: Callable[[Path], None]
) -> None:
    damage(folder / name)
    with pytest.raises(DataError) as caught:
        replicate(tiny_params, normalized, folder)
    assert str(caught.value).startswith(f"{folder / name}: ")
    assert "`dvc repro" in str(caught.value)
    assert not (folder / "summary.json").exists()


def tuned(params: Path, normalized: Path, folder: Path, **changes: object) -> dict[str, Any]:
    aggregate_tuned.main(
        normalized=normalized,
        seeds=folder / "seeds",
        tuned=folder / "tuned",
        params=params,
        studies=write_studies(folder, **changes),
    )
    found: dict[str, Any] = json.loads((folder / "tuned" / SUMMARY).read_text())["networks"]
    return found


def test_a_tuned_network_has_its_own_seeds_settings_and_cost(
    tiny_params: Path, normalized: Path, folder: Path
) -> None:
    found = tuned(tiny_params, normalized, folder, epochs=3)
    assert list(found) == ["tiny"]
    runs = found["tiny"]["runs"]
    assert [(run["seed"], run["accuracy"]) for run in runs] == [(1, 0.45), (2, 0.9)]
    assert found["tiny"]["settings"] == SETTINGS | {"optimizer": "adam"}
    assert found["tiny"]["precision"] == TUNED["precision"]
    cost = found["tiny"]["cost"]
    assert cost["images"] == 3 * len(read_split(normalized, "train")[1])
    # Tuning adds batch normalization, which has parameters.
    assert cost["parameters"] > read_architecture("tiny", tiny_params).num_parameters
    answers = read_tuned_answers(folder / "tuned", ["tiny"])["tiny"]
    assert list(answers.columns) == ["label", "seed_1", "seed_2"]
    with pytest.raises(DataError, match=rf"{SUMMARY}: .*tiny"):
        read_tuned_answers(folder / "tuned", ["other"])
    (folder / "tuned" / "tiny.csv").unlink()
    with pytest.raises(DataError, match=r"tiny\.csv: "):
        read_tuned_answers(folder / "tuned", ["tiny"])


def test_without_settings_there_is_no_tuned_network(
    tiny_params: Path, normalized: Path, tmp_path: Path
) -> None:
    assert tuned(tiny_params, normalized, tmp_path, settings={}) == {}
    assert [path.name for path in (tmp_path / "tuned").iterdir()] == [SUMMARY]
    assert read_tuned_answers(tmp_path / "tuned", ["tiny"]) == {}


def test_a_missing_tuned_seed_is_named(tiny_params: Path, normalized: Path, folder: Path) -> None:
    with pytest.raises(DataError) as caught:
        tuned(tiny_params, normalized, folder, seeds=[1, 3])
    assert str(caught.value).startswith(f"{folder / 'seeds' / 'tiny-tuned' / '3.csv'}: ")
    assert not (folder / "tuned").exists()
