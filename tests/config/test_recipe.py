"""What a training reads of the parameters."""

from pathlib import Path

import pytest

from conftest import PROJECT
from convdepth.config.params import read_architecture, read_params
from convdepth.config.recipe import Train, read_section, read_training
from convdepth.core.errors import ParameterError
from project import edit_yaml

PARAMS = PROJECT / "params.yaml"


def test_a_training_reads_what_the_whole_file_says(tiny_params: Path) -> None:
    edit_yaml(tiny_params, {"train.dropout_scale": 0.5, "architectures.tiny.dropout_scale": 3})
    architecture, recipe = read_training("tiny", tiny_params)
    assert (architecture.dropout_scale, recipe.dropout_scale) == (1.5, 0.5)
    assert architecture == read_architecture("tiny", tiny_params)
    for name in read_params(PARAMS).architectures:
        expected = read_architecture(name, PARAMS), read_params(PARAMS).train
        assert read_training(name, PARAMS) == expected


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (None, "train"),
        ("train", "train"),
        ("train: [1, 2\n", "train"),
        ("normalize: {}\n", "train"),
        ("train: {seed: 1}\n", "train"),
        ("train: {sections: {}}\n", "train.seed"),
        ("architectures: {tiny: {}}\n", "architectures.huge"),
    ],
)
def test_a_wrong_section_is_named(tmp_path: Path, text: str | None, key: str) -> None:
    path = tmp_path / "params.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ParameterError) as caught:
        read_section(path, tuple(key.split(".")), Train)
    assert str(caught.value).startswith(f"{path}: {key}: ")
