"""The parameters of the studies: those of the project are right, and mistakes are told."""

from pathlib import Path

import pytest

from conftest import PROJECT
from convdepth.errors import ParameterError
from convdepth.study_params import held_out, read_study_params

TEXT = (PROJECT / "studies" / "params.yaml").read_text(encoding="utf-8")


def test_the_project_s_own_are_right() -> None:
    params = read_study_params(PROJECT / "studies" / "params.yaml")
    assert params.replicates.seeds >= 5
    assert 1 in params.collapse.scales


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("seeds: 5", "seeds: 0", r"replicates\.seeds: expected at least 1, got 0"),
        ("seeds: 5", "seds: 5", r"replicates\.seeds: expected a value, got none"),
        (
            "seeds: 5",
            "seds: 5",
            r"replicates\.seds: unknown key, .* known here: seeds; did you mean seeds",
        ),
        ("learned: 0.9", "learned: 1.5", r"collapse\.learned: expected less than 1\.0, got 1\.5"),
        ("scales: [0, ", "scales: [-1, ", r"collapse\.scales\.0: .*, got -1"),
        (
            "schedule: one_cycle, weight_decay: 0.01",
            "schedule: one_cycle, weight_decay: 0.5",
            r"tuning: expected in first\[0\] a weight_decay that space allows, got 0\.5",
        ),
        (
            "[constant, cosine, one_cycle]",
            "[constant]",
            r"tuning: expected in first\[0\] a schedule that space allows, got one_cycle",
        ),
        ("trials: 9", "trials: 2", r"tuning: expected at least 3 trials, .*, got 2"),
        ("replicates:", "replicates", "is not valid YAML"),
    ],
)
def test_a_mistake_is_told_with_its_key_and_what_was_found(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    path = tmp_path / "params.yaml"
    assert old in TEXT
    path.write_text(TEXT.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ParameterError, match=said):
        read_study_params(path)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"params\.yaml: cannot be read: No such file"):
        read_study_params(tmp_path / "params.yaml")


def test_a_share_is_at_least_one_image_of_each_class() -> None:
    assert held_out(0.1, 60_000) == 6000
    assert held_out(0.1, 600) == 60
    assert held_out(0.001, 600) == 10
