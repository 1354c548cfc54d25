"""The stages `train_tuned` and `evaluate_seed`: one training of a study."""

import inspect
from typing import Any

import pandas as pd
import pytest
from study_inputs import SETTINGS, Study

from convdepth.config.recipe import read_training
from convdepth.config.tuned_settings import read_tuned
from convdepth.core.errors import IntegrityError, ParameterError
from convdepth.data.arrays import read_split
from convdepth.evaluation.answers import predict
from convdepth.models.archive import save_network
from convdepth.models.build import build_network
from convdepth.studies import evaluate_seed, train_tuned
from convdepth.training import train as train_module
from convdepth.workspace.code_digests import read_command
from project import edit_yaml


def train(study: Study, main: Any, **options: Any) -> Any:
    """Train ``tiny``, but for the training: return the architecture and the recipe."""
    paths = {"model": "tiny.keras", "history": "tiny.csv", "checkpoints": "checkpoints"}
    with pytest.MonkeyPatch.context() as patch:
        calls: list[Any] = []
        patch.setattr(inspect.getmodule(main), "train", lambda *given: calls.append(given))
        study.run(main, **paths, **options)
    ((_title, architecture, recipe, *_),) = calls
    return architecture, recipe


def test_a_tuned_training_is_one_by_a_recipe_with_the_settings(study: Study) -> None:
    # A tuned network trains on all images. bfloat16 cannot be portable.
    edit_yaml(study.params, {"train.validation_images": 100, "train.portable": True})
    found = train(study, train_tuned.main, seed=7)
    recipe = ("learning_rate", "schedule", "weight_decay", "label_smoothing")
    changes: dict[str, Any] = {f"train.{key}": SETTINGS[key] for key in recipe}
    changes["train.augmentation"] = {key: SETTINGS[key] for key in ("shift", "rotation", "zoom")}
    changes |= {
        "train.epochs": 1,
        "train.precision": "mixed_bfloat16",
        "train.portable": False,
        "train.validation_images": 0,
        "architectures.tiny.dropout_scale": 0.5,
        "architectures.tiny.block1.batch_normalization": True,
    }
    edit_yaml(study.params, changes)
    assert found == train(study, train_module.main, seed=7)
    edit_yaml(study.params, {"train.seed": 7})
    assert found == train(study, train_module.main)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({}, r"tuned\.settings\.tiny"),
        ({"tiny": SETTINGS | {"rotation": 0.7}}, "tuned"),
        ({"tiny": SETTINGS | {"dropout_scale": 5}}, r"tuned\.settings\.tiny\.dropout_scale"),
    ],
)
def test_wrong_settings_train_nothing(study: Study, settings: dict[str, Any], key: str) -> None:
    edit_yaml(study.studies, {"tuned.settings": settings})
    with pytest.raises(ParameterError, match=rf"studies\.yaml: {key}: "):
        train(study, train_tuned.main, seed=1)


@pytest.mark.parametrize("tuned", [False, True])
def test_the_answers_are_those_of_the_network(study: Study, tuned: bool) -> None:
    architecture, recipe = read_training("tiny", study.params)
    if tuned:
        _, architecture, recipe = read_tuned("tiny", study.params, study.studies)
    network = build_network(architecture, recipe.precision, seed=3)
    save_network(network, study.folder / "7.keras")
    paths = {"model": "7.keras", "answers": "7.answers.csv", "scores": "7.scores.json"}
    with pytest.raises(IntegrityError, match=r"7\.keras"):
        study.run(evaluate_seed.main, **paths, tuned=not tuned)
    assert not list(study.folder.glob("7.*.*"))
    study.run(evaluate_seed.main, **paths, tuned=tuned)
    expected = predict(network, *read_split(study.normalized, "test"))
    answers = pd.read_csv(study.folder / "7.answers.csv")
    pd.testing.assert_frame_equal(answers, expected[["label", "predicted"]], check_dtype=False)
    scores = study.read("7.scores.json")
    assert set(scores) == {"accuracy", "loss", "status", "calibration_error", "reliability"}
    assert scores["accuracy"] == (answers["label"] == answers["predicted"]).mean()
    assert scores["loss"] == pytest.approx(expected["loss"].mean(), abs=1e-6)
    assert sum(each["images"] for each in scores["reliability"]) == len(answers)


@pytest.mark.parametrize("command", ["train", "train_tuned", "evaluate_seed", "collapse"])
def test_other_result_files_are_no_part_of_an_expensive_stage(command: str) -> None:
    modules = {name.removeprefix("convdepth.") for name in read_command(command).modules}
    cheap = {"evaluation.results", "evaluation.significance", "studies.runs", "config.params"}
    assert not modules & cheap
