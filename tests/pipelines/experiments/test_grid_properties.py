"""Grids: each combination once, samples, names; and texts of any kind as values."""

import itertools
import json
import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import cases
from ruamel.yaml import YAML

from conftest import PROJECT
from convdepth.core.errors import ParameterError
from pipelines.experiments.grid import PARAMS, Value, combine, parse_settings, set_values

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
def test_each_combination_is_there_once(changes: Mapping[str, list[Value]], random: Any) -> None:
    points = combine(changes)
    assert len(set(flat(points))) == len(points) == math.prod(map(len, changes.values()))
    expected = itertools.product(*changes.values())
    assert flat(points) == flat([dict(zip(changes, each, strict=True)) for each in expected])
    repeated = {key: values + random.choices(values, k=3) for key, values in changes.items()}
    assert flat(combine(repeated)) == flat(points)


@cases(100)
@given(CHANGES, st.integers(-1, 300), st.integers())
def test_samples_keep_the_order(changes: Mapping[str, list[Value]], size: int, seed: int) -> None:
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
        assert any(ParameterError.printable(setting) in str(error) for setting in settings)
    else:
        assert len(changes) == len(settings)
        json.dumps(changes, allow_nan=False)
