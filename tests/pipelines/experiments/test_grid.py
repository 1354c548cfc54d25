"""Which experiments a sweep is made of, and what is refused before any of them runs."""

import json
import os
import re
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from conftest import PROJECT
from convdepth.config.params import read_params
from convdepth.core.errors import MachineError, ParameterError
from pipelines.experiments.grid import combine, parse_settings, plan, set_values
from project import Project

HELD_OUT = {"train.validation_images": [5000]}
GRID = {"train.seed": [1, 2], "train.epochs": [1, 2], **HELD_OUT}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, params_text: str) -> Project:
    """A git repository with the project's own parameters in its only commit."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "params.yaml").write_text(params_text)
    project = Project(folder, tmp_path)
    project.run("git", "init", "--quiet")
    project.commit("Parameters")
    for name, value in project.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)
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


def test_true_and_1_are_two_values() -> None:
    assert [repr(point["a"]) for point in combine({"a": [True, 1, True]})] == ["True", "1"]


def test_samples_of_other_seeds_differ() -> None:
    samples = {json.dumps(combine({"a": range(9), "b": range(9)}, 5, seed)) for seed in range(20)}
    assert len(samples) == 20


def test_only_the_values_are_changed_in_the_text(params_text: str) -> None:
    changes = {
        "train.learning_rate": 1e-05,
        "train.precision": "mixed_bfloat16",
        "normalize.max_images": 600,
        "architectures.cnn3.block2.conv1.filters": 8,
    }
    changed = set_values(params_text, changes)
    pairs = zip(params_text.splitlines(), changed.splitlines(), strict=True)
    assert [" ".join(new.split()) for old, new in pairs if old != new] == [
        "max_images: 600 # a number keeps the first N of each split, for quick trials",
        "learning_rate: 1e-05",
        "precision: mixed_bfloat16 # or mixed_bfloat16",
        "conv1: {filters: 8, kernel_size: 3}",
    ]
    assert set_values(params_text, {}) == params_text


@pytest.mark.parametrize("value", [None, True, 3, 0.5, "", "text", "no", "1", "a, b", "a: b", "#x"])
def test_a_value_is_read_again_unchanged(value: object) -> None:
    for text in (
        "k: {a: 1, b: 2} # é\n",
        "k:\n  é: ü\n  a:\nb: 2\n",
        "k: {a: '1'}",
        "k: {a: &x 1, b: *x}\n",
        "k:\n  a: |\n    1\n  b: 2\n",
        "k: {}\n",
    ):
        before = YAML(typ="safe").load(text)
        after = YAML(typ="safe").load(set_values(text, {"k.a": value}))  # type: ignore[dict-item]
        assert after == before | {"k": before["k"] | {"a": value}}


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


def test_a_mistake_is_told_without_prefect_and_dvc(project: Project) -> None:
    code = (
        "import sys; from pipelines.experiments.grid import parse_settings, plan\n"
        "try: plan(parse_settings(['train.sed=1,2,3']))\n"
        "finally: assert not {'prefect', 'dvc'} & set(sys.modules), 'slow'"
    )
    project.environment["PYTHONPATH"] = f"{PROJECT}{os.pathsep}{PROJECT / 'src'}"
    said = project.run(sys.executable, "-c", code, code=1)
    assert "params.yaml: train.sed: " in said
    assert "slow" not in said
