"""Trainings of the studies: another seed, and the settings that a tuning found."""

from pathlib import Path
from typing import Any

import pytest
from study_inputs import SETTINGS, edit, write_studies

from convdepth.config.tuned_settings import read_tuned
from convdepth.core.errors import ParameterError
from convdepth.studies import train_tuned as tuned_module
from convdepth.training import train as train_module

pytestmark = pytest.mark.usefixtures("one_thread")


def train(params: Path, normalized: Path, folder: Path, **seed: int) -> list[bytes]:
    return run(train_module.main, normalized, folder, params=params, **seed)


def run(main: Any, normalized: Path, folder: Path, **options: Any) -> list[bytes]:
    """Run a training of ``tiny``; give the bytes of its model and of its history."""
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


def test_a_seed_replaces_that_of_the_parameters(
    tiny_params: Path, normalized: Path, tmp_path: Path
) -> None:
    found = train(tiny_params, normalized, tmp_path / "option", seed=7)
    edit(tiny_params, {"train.seed": 7})
    assert found == train(tiny_params, normalized, tmp_path / "parameter")


def test_a_tuned_training_is_one_by_a_recipe_with_the_settings(
    tiny_params: Path, normalized: Path, tmp_path: Path
) -> None:
    edit(tiny_params, {"train.validation_images": 100})  # a tuned network has them all
    studies = write_studies(tmp_path)
    options = {"seed": 7, "params": tiny_params, "studies": studies}
    found = run(tuned_module.main, normalized, tmp_path / "tuned", **options)
    recipe = ("learning_rate", "schedule", "weight_decay", "label_smoothing")
    changes: dict[str, Any] = {f"train.{key}": SETTINGS[key] for key in recipe}
    changes["train.augmentation"] = {key: SETTINGS[key] for key in ("shift", "rotation", "zoom")}
    changes |= {
        "train.seed": 7,
        "train.epochs": 1,
        "train.precision": "mixed_bfloat16",
        "train.validation_images": 0,
        "architectures.tiny.dropout_scale": 0.5,
        "architectures.tiny.block1.batch_normalization": True,
    }
    edit(tiny_params, changes)
    assert found == train(tiny_params, normalized, tmp_path / "recipe")


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
        run(tuned_module.main, normalized, tmp_path / "tuned", seed=1, **options)
    assert not (tmp_path / "tuned").exists()
