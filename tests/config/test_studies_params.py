"""The parameters of the studies: those of the project are valid, and mistakes are named."""

from pathlib import Path

import pytest

from conftest import PROJECT
from convdepth.config.params import read_params
from convdepth.config.studies import read_study_params, require_consistent
from convdepth.core.errors import ParameterError

PATH = PROJECT / "studies" / "params.yaml"
TEXT = PATH.read_text(encoding="utf-8")


def test_the_projects_own_are_valid() -> None:
    studies, params = read_study_params(PATH), read_params(PROJECT / "params.yaml")
    require_consistent(PATH, studies, params)
    assert len(studies.replicates.seeds) >= 4
    assert 1 in studies.collapse.scales
    assert set(studies.tuned.settings) == set(params.architectures)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("seeds: [2, 3, 4, 5]", "seeds: 5", "replicates.seeds"),
        ("seeds: [2, 3, 4, 5]", "seeds: [-1]", "replicates.seeds.0"),
        ("seeds: [2, 3, 4, 5]", "seeds: []", "replicates.seeds"),
        ("seeds: [2, 3, 4, 5]", "seeds: [2, 2]", "replicates.seeds"),
        ("seeds: [2, 3, 4, 5]", "seds: [2]", "replicates.seeds"),
        ("learned: 0.9", "learned: 1.5", "collapse.learned"),
        ("scales: [0, ", "scales: [-1, ", "collapse.scales.0"),
        ("weight_decay: 0.01", "weight_decay: 0.5", "tuning"),
        ("[constant, cosine, one_cycle]", "[constant]", "tuning"),
        ("trials: 9", "trials: 2", "tuning"),
        ("startup_trials: 4", "startup_trials: 0", "tuning.startup_trials"),
        ("low: 0.0005, high: 0.01", "low: 0, high: 0.01", "tuning.space.learning_rate"),
        ("{low: 0, high: 0.15}", "{low: 0.2, high: 0.1}", "tuning.space.label_smoothing"),
        ("weight_decay: 0.04149, ", "", "tuned.settings.cnn1.weight_decay"),
        ("batch_normalization: false}\n    cnn3", "}\n    cnn3", "tuned.settings.cnn1"),
    ],
)
def test_a_mistake_is_named_by_its_key(tmp_path: Path, old: str, new: str, key: str) -> None:
    path = tmp_path / "params.yaml"
    assert old in TEXT
    path.write_text(TEXT.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ParameterError) as caught:
        read_study_params(path)
    assert f"{path}: {key}" in str(caught.value)


@pytest.mark.parametrize("text", [None, "replicates\ncollapse: 1\n"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "params.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ParameterError) as caught:
        read_study_params(path)
    assert str(caught.value).startswith(f"{path}: ")
