"""Presets: their values replace those of the recipe, and all else stays."""

import difflib
from pathlib import Path

import pytest

from convdepth.config.params import read_params
from convdepth.core.errors import ParameterError
from pipelines.experiments.presets import apply_preset


@pytest.mark.parametrize("missing", ["no line", "  dropout_scale: "])
def test_the_recipe_becomes_that_of_the_preset(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    params_text: str,
    missing: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("params.yaml")
    lines = params_text.splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith(missing)))
    before, text = read_params(path), path.read_text()
    with pytest.raises(ParameterError, match=r"presets\.fats: .* mean fast\?"):
        apply_preset("fats")
    apply_preset("fast")
    after = read_params(path)
    assert {key: getattr(after.train, key) for key, _ in after.presets["fast"]} == dict(
        before.presets["fast"]
    )
    for key in ("seed", "threads", "validation_images"):
        assert getattr(after.train, key) == getattr(before.train, key)
    assert after.model_copy(update={"train": before.train}) == before
    printed = capsys.readouterr().out
    assert f"train.epochs: {before.train.epochs} -> {after.train.epochs}\n" in printed
    lines = list(difflib.ndiff(text.splitlines(), path.read_text().splitlines()))
    assert sum(line.startswith("+ ") for line in lines) == printed.count(" -> ")  # comments stay
    content = path.read_bytes()
    apply_preset("fast")
    assert capsys.readouterr().out == ""
    assert path.read_bytes() == content
