"""The stages `replicates` and `tuned`: trainings summarized, and damaged inputs named."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from study_inputs import SETTINGS, TUNED, Study

from convdepth.config.params import read_architecture
from convdepth.core.errors import DataError
from convdepth.core.files import write_csv, write_json
from convdepth.data.arrays import read_split
from convdepth.evaluation.metrics import score_training
from convdepth.evaluation.results import read_seed_answers
from convdepth.studies import aggregate_recipe, aggregate_tuned
from convdepth.studies.runs import Run, rightness, summarize
from project import edit_yaml

LABELS = np.tile(np.arange(10), 20)
CURVES = {"loss": 0.3, "accuracy": 0.8, "val_loss": 0.2, "val_accuracy": [0.7, 0.9]}
HISTORY = pd.DataFrame({"epoch": [1, 2], **CURVES})


def answer(predicted: np.ndarray, labels: np.ndarray = LABELS, loss: float = 0.5) -> pd.DataFrame:
    columns = {"index": np.arange(len(labels)), "label": labels, "predicted": predicted}
    columns |= {"second": (predicted + 1) % 10, "probability": 0.9, "loss": loss}
    return pd.DataFrame(columns)


def wrong_from(first: int, labels: np.ndarray = LABELS) -> np.ndarray:
    return np.where(np.arange(len(labels)) < first, labels, (labels + 1) % 10)


def run(seed: int, predicted: np.ndarray, loss: float = 0.5) -> Run:
    predictions = answer(predicted, loss=loss)
    return Run(seed, HISTORY, predictions, score_training(predictions))


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
def folder(study: Study) -> Path:
    """The training of the pipeline in ``own``, the trainings of the studies in ``seeds``."""
    _, labels = read_split(study.normalized, "test")
    own, seeds = study.folder / "own", study.folder / "seeds"
    write_csv(own / "history" / "tiny.csv", HISTORY.assign(val_accuracy=[0.1, 0.2]))
    write_csv(own / "predictions" / "tiny.csv", answer(wrong_from(1800, labels), labels))
    # The run of seed 3 is of former parameters.
    for name, right in (("2", 1900), ("3", 2000), ("tiny-tuned/1", 900), ("tiny-tuned/2", 1800)):
        predictions = answer(wrong_from(right, labels), labels)
        write_csv(seeds / f"{name}.csv", HISTORY)
        write_csv(seeds / f"{name}.answers.csv", predictions[["label", "predicted"]])
        write_json(seeds / f"{name}.scores.json", score_training(predictions).model_dump())
    return study.folder


def replicate(study: Study) -> Any:
    inputs = {"histories": "own/history", "predictions": "own/predictions", "seeds": "seeds"}
    study.run(aggregate_recipe.main, **inputs, summary="summary.json", answers="answers.csv")
    return study.read("summary.json")


def test_the_first_run_is_the_pipelines_and_the_others_are_of_the_studies(
    study: Study, folder: Path
) -> None:
    first, second = replicate(study)["runs"]
    assert (first["seed"], first["accuracy"]) == (1, 0.9)
    assert (second["seed"], second["accuracy"]) == (2, 0.95)
    assert first["curves"]["val_accuracy"] == [0.1, 0.2]
    assert second["curves"]["val_accuracy"] == CURVES["val_accuracy"]
    answers = read_seed_answers(folder / "answers.csv")
    assert list(answers.columns) == ["label", "seed_1", "seed_2"]
    assert rightness(answers).sum(axis=1).tolist() == [1800, 1900]


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        *((f"seeds/2{end}", None, "") for end in (".csv", ".answers.csv", ".scores.json")),
        *((f"own/{kind}/tiny.csv", None, "") for kind in ("history", "predictions")),
        ("seeds/2.csv", "val_loss", "lost"),
        ("seeds/2.csv", "0.300000", "inf"),
        *(("seeds/2.answers.csv", "\n6,6", row) for row in ("\n6,66", "\n7,6", "\n6,6\n6,6")),
        ("seeds/2.scores.json", '"ok"', '"fine"'),
    ],
)
def test_a_damaged_file_is_named(
    study: Study, folder: Path, name: str, old: str | None, new: str
) -> None:
    path = folder / name
    text = path.read_text()
    path.unlink()
    if old is not None:
        assert old in text
        path.write_text(text.replace(old, new, 1))
    with pytest.raises(DataError) as caught:
        replicate(study)
    assert str(caught.value).startswith(f"{path}: ")
    assert "`dvc repro" in str(caught.value)
    assert not (folder / "summary.json").exists()


def test_a_tuned_network_has_its_own_seeds_settings_and_cost(study: Study, folder: Path) -> None:
    edit_yaml(study.studies, {"tuned.seeds": [1, 3]})
    with pytest.raises(DataError) as caught:
        study.run(aggregate_tuned.main, seeds="seeds", tuned="tuned")
    assert str(caught.value).startswith(f"{folder / 'seeds' / 'tiny-tuned' / '3.csv'}: ")
    assert not (folder / "tuned").exists()
    edit_yaml(study.studies, {"tuned.seeds": [1, 2], "tuned.epochs": 3})
    study.run(aggregate_tuned.main, seeds="seeds", tuned="tuned")
    ((name, found),) = study.read("tuned/summary.json")["networks"].items()
    assert name == "tiny"
    assert [(run["seed"], run["accuracy"]) for run in found["runs"]] == [(1, 0.45), (2, 0.9)]
    assert found["settings"] == SETTINGS | {"optimizer": "adam"}
    assert found["precision"] == TUNED["precision"]
    assert found["cost"]["images"] == 3 * len(read_split(study.normalized, "train")[1])
    # Tuning adds batch normalization, which has parameters.
    by_recipe = read_architecture("tiny", study.params).num_parameters
    assert found["cost"]["parameters"] > by_recipe
    answers = read_seed_answers(folder / "tuned" / "tiny.csv")
    assert list(answers.columns) == ["label", "seed_1", "seed_2"]


def test_without_settings_there_is_no_tuned_network(study: Study) -> None:
    edit_yaml(study.studies, {"tuned.settings": {}})
    study.run(aggregate_tuned.main, seeds="seeds", tuned="tuned")
    assert study.read("tuned/summary.json") == {"networks": {}}
    assert len(list((study.folder / "tuned").iterdir())) == 1
