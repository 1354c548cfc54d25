"""Grids: each combination once, samples, names; and texts of any kind as values."""

import itertools
import json
import math
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import cases
from ruamel.yaml import YAML

from conftest import PROJECT
from convdepth.core.errors import ParameterError
from pipelines.experiments.grid import PARAMS, Value, combine, parse_settings, plan, set_values

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["C", "Z"]), max_size=9)
)
CHANGES = st.dictionaries(
    st.text(min_size=1, max_size=5),
    st.lists(SCALARS, min_size=1, max_size=4, unique_by=json.dumps),
    max_size=4,
)
TEXT = (PROJECT / PARAMS).read_text(encoding="utf-8")


def flat(points: list[dict[str, Value]]) -> list[str]:
    return [json.dumps(point) for point in points]


@cases(100)
@given(CHANGES, st.randoms(use_true_random=False))
def test_each_combination_is_there_once_and_the_last_key_changes_fastest(
    changes: Mapping[str, list[Value]], random: Any
) -> None:
    points = combine(changes)
    assert len(set(flat(points))) == len(points) == math.prod(map(len, changes.values()))
    expected = itertools.product(*changes.values())
    assert flat(points) == flat([dict(zip(changes, each, strict=True)) for each in expected])
    repeated = {key: values + random.choices(values, k=3) for key, values in changes.items()}
    assert flat(combine(repeated)) == flat(points)


@cases(100)
@given(CHANGES, st.integers(-1, 300), st.integers())
def test_a_sample_has_its_size_and_keeps_the_order_of_the_grid(
    changes: Mapping[str, list[Value]], size: int, seed: int
) -> None:
    points = flat(combine(changes))
    if not 1 <= size <= len(points):
        with pytest.raises(ParameterError, match=rf"1 to {len(points)},.* got {size}"):
            combine(changes, size, seed)
        return
    sample = flat(combine(changes, size, seed))
    assert len(set(sample)) == len(sample) == size
    assert sample == [point for point in points if point in sample]
    assert flat(combine(changes, size, seed)) == sample


@cases(25)
@given(st.sampled_from(["train.seed", "train.new", "normalize.max_images", "new.section"]), SCALARS)
def test_a_value_is_set_and_all_else_stays(key: str, value: Value) -> None:
    section, name = key.split(".")
    changed = set_values(TEXT, {key: value})
    expected = YAML(typ="safe").load(TEXT)
    expected.setdefault(section, {})[name] = value
    assert YAML(typ="safe").load(changed) == expected
    lines = set(TEXT.splitlines()) - set(changed.splitlines())
    assert len(lines) <= 1


@cases(300)
@given(st.lists(st.text(max_size=20) | st.just("train.seed=1,2"), max_size=3))
def test_any_text_gives_values_or_a_mistake(settings: list[str]) -> None:
    try:
        changes = parse_settings(settings)
    except ParameterError as error:
        assert error.exit_code == 2
        assert any(setting in str(error) for setting in settings)
    else:
        assert len(changes) == len(settings)
        json.dumps(changes, allow_nan=False)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository with the project's parameters, in which images are held out."""
    folder = tmp_path_factory.mktemp("repository")
    held_out = TEXT.replace("validation_images: 0", "validation_images: 5000")
    (folder / PARAMS).write_text(held_out, encoding="utf-8")
    git = ["git", "-C", str(folder), "-c", "user.name=test", "-c", "user.email=test@example.org"]
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "Parameters"]):
        subprocess.run([*git, *words], check=True)
    for key, value in (("user.name", "test"), ("user.email", "test@example.org")):
        subprocess.run(["git", "-C", str(folder), "config", key, value], check=True)
    return folder


@pytest.mark.parametrize("networks", [[], ["cnn1"], ["cnn3", "cnn1"]])
def test_names_are_unique_and_follow_from_commit_values_and_networks(
    repository: Path, monkeypatch: pytest.MonkeyPatch, networks: list[str]
) -> None:
    monkeypatch.chdir(repository)
    grid = {"train.seed": [1, 2], "train.epochs": [1, 2]}
    wide = plan(grid, architectures=networks)
    same = plan(dict(reversed(grid.items())), architectures=networks[::-1])
    part = plan(grid, sample=2, architectures=networks)
    other = plan(grid, sample=2, architectures=["cnn5"])
    names = {each.name for each in wide}
    assert len(names) == len(wide) == 4
    assert {each.name for each in same} == names
    assert {each.name for each in part} < names
    assert not {each.name for each in other} & names
    by_name = {each.name: each.changes for each in same}
    assert all(by_name[each.name] == each.changes for each in wide)
