"""Which experiments a sweep is made of, and what is refused before any of them runs."""

import contextlib
import itertools
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import cases
from ruamel.yaml import YAML

from conftest import PROJECT
from convdepth.config.params import read_params
from convdepth.core.errors import MachineError, ParameterError
from pipelines.experiments.grid import PARAMS, Value, combine, parse_settings, plan, set_values
from project import Project

HELD_OUT = {"train.validation_images": [5000]}
GRID = {"train.seed": [1, 2], "train.epochs": [1, 2], **HELD_OUT}

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "no", "1", "a, b", "a: b", "#x"])
    | st.text(st.characters(exclude_categories=["C", "Z"]), max_size=9)
)
CHANGES = st.dictionaries(
    st.text(min_size=1, max_size=5),
    st.lists(SCALARS | st.sampled_from([True, 1]), min_size=1, max_size=4, unique_by=json.dumps),
    max_size=4,
)
TEXTS = (
    (PROJECT / PARAMS).read_text(encoding="utf-8"),
    "train: {seed: 1, b: 2} # é\n",
    "train:\n  é: ü\n  seed:\nb: 2\n",
    "train: {seed: '1'}",
    "train: {a: &x 1, seed: *x}\n",
    "train:\n  seed: |\n    1\n  b: 2\n",
    "train: {}\n",
)
KEYS = ("train.seed", "train.new", "new.section", "architectures.cnn3.block2.conv1.filters")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, params_text: str) -> Project:
    """A git repository with the project's own parameters in its only commit."""
    project = Project(tmp_path / "project", tmp_path)
    project.folder.mkdir()
    (project.folder / "params.yaml").write_text(params_text)
    project.run("git", "init", "--quiet")
    project.commit("Parameters")
    project.enter(monkeypatch)
    return project


def test_values_are_read_as_dvc_reads_yaml_or_all_refused_at_once() -> None:
    settings = ["train.learning_rate=5e-4,.001", "a.b=null,no,true, 3 ,text", 'c="1",https://a/b']
    assert parse_settings(settings) == {
        "train.learning_rate": [0.0005, 0.001],
        "a.b": [None, "no", True, 3, "text"],
        "c": ["1", "https://a/b"],
    }
    wrong = ["a", "b=", "c=1,,2", "d=[1", "e={a: 1}", "f=2020-01-01", "g=.nan", "ok=2"]
    with pytest.raises(ParameterError) as caught:
        parse_settings(["ok=1", *wrong])
    lines = str(caught.value).splitlines()
    assert [line.partition(": expected KEY=VALUE")[0] for line in lines] == wrong


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


def test_samples_of_other_seeds_differ() -> None:
    samples = {json.dumps(combine({"a": range(9), "b": range(9)}, 5, seed)) for seed in range(20)}
    assert len(samples) == 20


@pytest.mark.parametrize("text", TEXTS)
@cases(20)
@given(st.sampled_from(KEYS), SCALARS)
def test_a_value_is_set_and_all_else_stays(text: str, key: str, value: Value) -> None:
    changed = set_values(text, {key: value})
    expected = YAML(typ="safe").load(text)
    *sections, last = key.split(".")
    entry = expected
    for section in sections:
        entry = entry.setdefault(section, {})
    entry[last] = value
    assert YAML(typ="safe").load(changed) == expected
    if text == TEXTS[0]:  # in the project's layout no other line changes
        assert len(set(text.splitlines()) - set(changed.splitlines())) <= 1
        assert set_values(text, {}) == text


@pytest.mark.parametrize("networks", [[], ["cnn1"], ["cnn3", "cnn1"]])
def test_names_follow_from_commit_and_changes(project: Project, networks: list[str]) -> None:
    wide = plan(GRID, architectures=networks)
    same = plan(dict(reversed(GRID.items())), architectures=[*networks[::-1], *networks])
    names = {each.name for each in wide}
    assert len(names) == len(wide) == 4
    assert all(re.fullmatch("sweep-[0-9a-f]{8}", name) for name in names)
    assert {each.name: each.changes for each in same} == {each.name: each.changes for each in wide}
    assert {each.name for each in plan(GRID, sample=2, architectures=networks)} < names
    assert not {each.name for each in plan(GRID, architectures=["cnn5"])} & names
    (project.folder / "params.yaml").write_text(wide[0].params)  # all of them
    train = read_params().train
    assert (train.seed, train.validation_images) == (1, 5000)
    project.commit("Hold images out")
    assert not {each.name for each in plan(GRID, architectures=networks)} & names
    assert len(plan({"train.seed": [1, 2]})) == 2


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({"train.learning_rat": [1]}, ["train.learning_rat: .*learning_rate"]),
        ({"train": [1]}, ["train: "]),
        ({"download.sources": [1], "xyz": [1]}, ["download.sources: ", "xyz: "]),
        ({"train.seed.x": [1]}, ["train.seed.x: "]),
        ({"download.sources.0": [1]}, ["download.sources.0: "]),
        (
            {"train.seed": [1, -1, "x"], "train.epochs": [1, 2]},  # each is told once
            ["train.seed: .*-1", "train.seed: .*'x'"],
        ),
        ({"train.validation_images": [0]}, ["train.validation_images: .*got 0"]),
    ],
)
def test_wrong_keys_and_values_are_told(changes: dict[str, list[object]], lines: list[str]) -> None:
    with pytest.raises(ParameterError) as caught:
        plan({**HELD_OUT, **changes})  # type: ignore[arg-type]
    found = str(caught.value).splitlines()
    assert len(found) == len(lines), found
    for line, expected in zip(found, lines, strict=True):
        assert re.match(f"params.yaml: {expected}", line)


def test_an_experiment_varies_a_commit(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {"train.seed": [1], **HELD_OUT}
    for nothing in ({}, {"train.epochs": []}):
        with pytest.raises(ParameterError, match="nothing is varied"):
            plan(nothing)
    with pytest.raises(ParameterError, match=r"architectures.cnn9: no such architecture"):
        plan(changes, architectures=["cnn3", "cnn9"])
    (project.folder / "notes.txt").touch()  # git does not have it, and so no experiment has it
    assert plan(changes)
    project.edit_params({"train.epochs": 3})
    with pytest.raises(ParameterError, match=r"params.yaml. Run `git commit --all`"):
        plan(changes)
    project.commit("More")
    monkeypatch.delenv("GIT_COMMITTER_NAME")
    with pytest.raises(MachineError, match=r"`git config user.name "):
        plan(changes)


@cases(300)
@given(st.lists(st.text(max_size=20) | st.just("train.seed=1,2"), max_size=3))
def test_any_text_gives_values_or_a_mistake(settings: list[str]) -> None:
    with contextlib.suppress(ParameterError):
        changes = parse_settings(settings)
        assert len(changes) == len(settings)
        json.dumps(changes, allow_nan=False)
