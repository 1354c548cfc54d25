"""The stages `train_tuned` and `evaluate_seed`: one training of a study."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from study_inputs import SETTINGS, edit, write_studies

from convdepth.config.recipe import read_training
from convdepth.config.tuned_settings import read_tuned
from convdepth.core.errors import ConvdepthError, DataError, IntegrityError, ParameterError
from convdepth.data.arrays import read_split
from convdepth.evaluation.answers import predict
from convdepth.models.archive import save_network
from convdepth.models.build import build_network
from convdepth.studies import evaluate_seed, train_tuned
from convdepth.studies.runs import read_run
from convdepth.training import train as train_module
from convdepth.workspace.code_digests import read_command

pytestmark = pytest.mark.usefixtures("one_thread")


def train(main: Any, normalized: Path, folder: Path, **options: Any) -> list[bytes]:
    """Train ``tiny``; return the bytes of its model and of its history."""
    written = [folder / "tiny.keras", folder / "tiny.csv"]
    main(
        name="tiny",
        normalized=normalized,
        model=written[0],
        history=written[1],
        checkpoints=folder / "checkpoints",
        code="of the tests",
        **options,
    )
    assert not (folder / "checkpoints").exists()
    return [path.read_bytes() for path in written]


def test_a_tuned_training_is_one_by_a_recipe_with_the_settings(
    tiny_params: Path, normalized: Path, tmp_path: Path
) -> None:
    edit(tiny_params, {"train.validation_images": 100})  # a tuned network trains on all images
    options = {"params": tiny_params, "seed": 7}
    studies = write_studies(tmp_path)
    found = train(train_tuned.main, normalized, tmp_path / "tuned", studies=studies, **options)
    recipe = ("learning_rate", "schedule", "weight_decay", "label_smoothing")
    changes: dict[str, Any] = {f"train.{key}": SETTINGS[key] for key in recipe}
    changes["train.augmentation"] = {key: SETTINGS[key] for key in ("shift", "rotation", "zoom")}
    changes |= {
        "train.epochs": 1,
        "train.precision": "mixed_bfloat16",
        "train.validation_images": 0,
        "architectures.tiny.dropout_scale": 0.5,
        "architectures.tiny.block1.batch_normalization": True,
    }
    edit(tiny_params, changes)
    assert found == train(train_module.main, normalized, tmp_path / "option", **options)
    edit(tiny_params, {"train.seed": 7})
    by_params = {"params": tiny_params}
    assert found == train(train_module.main, normalized, tmp_path / "parameter", **by_params)


@pytest.mark.parametrize("normalizes", [False, True])
def test_without_a_setting_each_block_stays(
    tiny_params: Path, tmp_path: Path, normalizes: bool
) -> None:
    edit(tiny_params, {"architectures.tiny.block1.batch_normalization": normalizes})
    settings = {"tiny": SETTINGS | {"batch_normalization": None}}
    studies = write_studies(tmp_path, settings=settings)
    _, architecture, _ = read_tuned("tiny", tiny_params, studies)
    assert architecture.blocks["block1"].batch_normalization is normalizes


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({}, r"tuned\.settings\.tiny"),
        ({"tiny": SETTINGS | {"rotation": 0.7}}, "tuned"),
        ({"tiny": SETTINGS | {"dropout_scale": 5}}, r"tuned\.settings\.tiny\.dropout_scale"),
    ],
)
def test_wrong_settings_train_nothing(
    tiny_params: Path, normalized: Path, tmp_path: Path, settings: dict[str, Any], key: str
) -> None:
    options = {"params": tiny_params, "studies": write_studies(tmp_path, settings=settings)}
    with pytest.raises(ParameterError, match=rf"studies\.yaml: {key}: "):
        train(train_tuned.main, normalized, tmp_path / "tuned", seed=1, **options)
    assert not (tmp_path / "tuned").exists()


def evaluate(params: Path, normalized: Path, folder: Path, *, tuned: bool) -> None:
    evaluate_seed.main(
        name="tiny",
        normalized=normalized,
        model=folder / "7.keras",
        answers=folder / "7.answers.csv",
        scores=folder / "7.scores.json",
        tuned=tuned,
        params=params,
        studies=folder / "studies.yaml",
    )


@pytest.mark.parametrize("tuned", [False, True])
def test_the_answers_are_those_of_the_network(
    tiny_params: Path, normalized: Path, tmp_path: Path, tuned: bool
) -> None:
    architecture, recipe = read_training("tiny", tiny_params)
    studies = write_studies(tmp_path)
    if tuned:
        _, architecture, recipe = read_tuned("tiny", tiny_params, studies)
    network = build_network(architecture, recipe.precision, seed=3)
    save_network(network, tmp_path / "7.keras")
    expected = predict(network, *read_split(normalized, "test"))
    evaluate(tiny_params, normalized, tmp_path, tuned=tuned)
    answers = pd.read_csv(tmp_path / "7.answers.csv")
    pd.testing.assert_frame_equal(answers, expected[["label", "predicted"]], check_dtype=False)
    scores = json.loads((tmp_path / "7.scores.json").read_text())
    assert set(scores) == {"accuracy", "loss", "status", "calibration_error", "reliability"}
    assert scores["accuracy"] == (answers["label"] == answers["predicted"]).mean()
    assert scores["loss"] == pytest.approx(expected["loss"].mean(), abs=1e-6)
    assert sum(each["images"] for each in scores["reliability"]) == len(answers)
    (tmp_path / "7.csv").write_text("epoch,loss,accuracy,val_loss,val_accuracy\n1,2,0.5,2,0.5\n")
    run = read_run(tmp_path, 7, answers["label"].to_numpy())
    assert run.scores.model_dump() == scores


@pytest.mark.parametrize(
    ("wrong", "kind", "said"),
    [
        ("tuned", IntegrityError, r"7\.keras"),
        ("model", IntegrityError, r"7\.keras"),
        ("arrays", DataError, "test_"),
        ("settings", ParameterError, r"studies\.yaml: tuned\.settings\.tiny"),
    ],
)
def test_what_does_not_fit_is_not_evaluated(
    tiny_params: Path,
    normalized: Path,
    tmp_path: Path,
    wrong: str,
    kind: type[ConvdepthError],
    said: str,
) -> None:
    write_studies(tmp_path, **({"settings": {}} if wrong == "settings" else {}))
    if wrong != "model":
        architecture, _ = read_training("tiny", tiny_params)
        save_network(build_network(architecture), tmp_path / "7.keras")
    data = tmp_path / "none" if wrong == "arrays" else normalized
    with pytest.raises(kind, match=said):
        evaluate(tiny_params, data, tmp_path, tuned=wrong in ("tuned", "settings"))
    assert not list(tmp_path.glob("7.*.*"))


@pytest.mark.parametrize("command", ["train", "train_tuned", "evaluate_seed", "collapse"])
def test_other_result_files_are_no_part_of_an_expensive_stage(command: str) -> None:
    modules = {name.removeprefix("convdepth.") for name in read_command(command).modules}
    cheap = {"evaluation.results", "evaluation.significance", "studies.runs", "config.params"}
    assert not modules & cheap
