"""Both files of parameters: the stage `check`, and mistakes in that of the studies."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from conftest import PROJECT
from convdepth.config.check import main
from convdepth.core.errors import ParameterError
from project import edit_yaml

NAMES = ("params.yaml", "studies.yaml")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with both files of the project's parameters."""
    shutil.copy(PROJECT / "params.yaml", tmp_path / NAMES[0])
    shutil.copy(PROJECT / "studies" / "params.yaml", tmp_path / NAMES[1])
    return tmp_path


def check(folder: Path) -> bytes:
    checked = folder / "metrics" / "parameters.txt"
    main(folder / NAMES[0], folder / NAMES[1], checked)
    return checked.read_bytes()


def test_all_valid_parameters_give_the_same_bytes(folder: Path) -> None:
    expected = check(folder)
    edit_yaml(folder / NAMES[0], {"train.seed": 6, "train.epochs": 3})
    edit_yaml(folder / NAMES[1], {"tuned.seeds": [6, 5, 4, 3, 2], "tuning.trials": 3})
    assert check(folder) == expected
    edit_yaml(folder / NAMES[1], {"tuned.seeds": [8], "depth.networks": [4, 2]})
    assert check(folder) == expected


@pytest.mark.parametrize(
    ("file", "key", "value", "said"),
    [
        (0, "train.epochs", 0, None),
        (1, "collapse.masks", 0, None),
        (1, "recipe.seeds", [2, 3, 4, 4], None),
        (1, "tuned.seeds", [1, 2, 2], None),
        (1, "tuned.settings.cnn3.zoom", 1, None),
        (1, "tuned.settings.cnn3.dropout_scale", 2, None),
        (1, "tuned.settings.cnn9", {}, None),
        (1, "tuned.settings.cnn1.weight_decay", None, None),
        *((1, "recipe.seeds", value, None) for value in (5, [])),
        (1, "recipe.seeds", [-1], "recipe.seeds.0"),
        (1, "recipe.seds", [2], None),
        (1, "fresh.networks", ["cnn1", "$(id)"], "fresh.networks.1"),
        (1, "fresh.groups", ["; id #"], "fresh.groups.0"),
        (1, "images.groups", [600, 5], "images.groups.1"),
        (1, "collapse.learned", 1.5, None),
        (1, "collapse.scales", [-1, 1], "collapse.scales.0"),
        (1, "tuning.space.schedule", ["constant"], "tuning"),
        (1, "tuning.trials", 2, "tuning"),
        (1, "tuning.startup_trials", 0, None),
        (1, "tuning.space.learning_rate", {"low": 0, "high": 1, "log": True}, None),
        (1, "tuning.space.zoom", {"low": 0.2, "high": 0.1}, None),
    ],
)
def test_a_wrong_parameter_is_named_and_nothing_is_written(
    folder: Path, file: int, key: str, value: Any, said: str | None
) -> None:
    edit_yaml(folder / NAMES[file], {key: value})
    blamed = folder / NAMES[1 if said else file]
    with pytest.raises(ParameterError) as caught:
        check(folder)
    assert str(caught.value).startswith(f"{blamed}: {said or key}")
    assert not (folder / "metrics").exists()
