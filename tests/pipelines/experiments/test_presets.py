"""Presets: their values replace those of the recipe, and all else stays."""

import difflib
from pathlib import Path

import pytest

from convdepth.config.params import read_params
from convdepth.core.errors import ParameterError
from pipelines.experiments.presets import apply_preset


@pytest.fixture
def path(tmp_path: Path, params_text: str) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(params_text, encoding="utf-8")
    return path


@pytest.mark.parametrize("missing", ["no line", "  dropout_scale: "])
def test_the_recipe_becomes_that_of_the_preset(path: Path, missing: str) -> None:
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith(missing)))
    before, text = read_params(path), path.read_text()
    changes = apply_preset("fast", path.parent)
    after = read_params(path)
    assert {key: getattr(after.train, key) for key, _ in after.presets["fast"]} == dict(
        before.presets["fast"]
    )
    for key in ("seed", "threads", "validation_images"):
        assert getattr(after.train, key) == getattr(before.train, key)
    assert after.model_copy(update={"train": before.train}) == before
    assert changes["train.epochs"] == (before.train.epochs, after.train.epochs)
    lines = list(difflib.ndiff(text.splitlines(), path.read_text().splitlines()))
    assert sum(line.startswith("+ ") for line in lines) == len(changes)  # comments stay
    content = path.read_bytes()
    assert apply_preset("fast", path.parent) == {}
    assert path.read_bytes() == content


def test_a_preset_that_is_not_there_is_named_with_those_that_are(path: Path) -> None:
    text = path.read_bytes()
    with pytest.raises(ParameterError, match=r"presets\.fats: .* mean fast\?"):
        apply_preset("fats", path.parent)
    assert path.read_bytes() == text
