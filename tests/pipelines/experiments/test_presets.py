"""Presets: their values take the place of those in the recipe, and all else stays."""

import difflib
from pathlib import Path

import pytest

from convdepth.config.params import read_params
from convdepth.core.errors import ParameterError
from pipelines.experiments.presets import apply_preset


@pytest.fixture
def folder(tmp_path: Path, params_text: str) -> Path:
    (tmp_path / "params.yaml").write_text(params_text, encoding="utf-8")
    return tmp_path


def test_the_recipe_becomes_that_of_the_preset(folder: Path) -> None:
    path = folder / "params.yaml"
    before, text = read_params(path), path.read_text()
    changes = apply_preset("fast", folder)
    after = read_params(path)
    assert {key: getattr(after.train, key) for key, _ in after.presets["fast"]} == dict(
        before.presets["fast"]
    )
    for key in ("seed", "threads", "validation_images"):
        assert getattr(after.train, key) == getattr(before.train, key)
    assert after.model_copy(update={"train": before.train}) == before
    assert changes["train.epochs"] == (before.train.epochs, after.train.epochs)
    lines = difflib.ndiff(text.splitlines(), path.read_text().splitlines())
    assert sum(line.startswith("+ ") for line in lines) == len(changes)  # comments stay


def test_a_preset_that_is_in_place_changes_nothing(folder: Path) -> None:
    apply_preset("fast", folder)
    text = (folder / "params.yaml").read_bytes()
    assert apply_preset("fast", folder) == {}
    assert (folder / "params.yaml").read_bytes() == text


def test_a_preset_that_is_not_there_is_named_with_those_that_are(folder: Path) -> None:
    text = (folder / "params.yaml").read_bytes()
    with pytest.raises(ParameterError, match=r"presets\.fats: no such preset; .* mean fast\?"):
        apply_preset("fats", folder)
    assert (folder / "params.yaml").read_bytes() == text


def test_a_key_that_the_recipe_does_not_have_is_told(folder: Path) -> None:
    path = folder / "params.yaml"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith("  dropout_scale: 1 ")))
    text = path.read_bytes()
    assert read_params(path).train.dropout_scale == 1
    said = r"train\.dropout_scale: expected to stand there, to be changed to 0\.125; add it"
    with pytest.raises(ParameterError, match=said):
        apply_preset("fast", folder)
    assert path.read_bytes() == text
