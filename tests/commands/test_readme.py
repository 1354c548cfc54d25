"""The README tells the results that are committed, and commands that exist."""

import json
import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer

from conftest import PROJECT
from convdepth.commands.readme import (
    pairs_table,
    results_table,
    seeds_table,
    tuned_table,
    update_readme,
)
from convdepth.config.params import read_params
from convdepth.core.errors import DataError

README = PROJECT / "README.md"
METRICS = PROJECT / "metrics"
NAMES = list(read_params(PROJECT / "params.yaml").architectures)


def update(readme: Path, metrics: Path = METRICS) -> None:
    update_readme(readme, metrics, PROJECT / "data" / "notebook.json", PROJECT / "params.yaml")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    path = tmp_path / "README.md"
    path.write_text(README.read_text(encoding="utf-8"), encoding="utf-8")
    return path


def test_the_tables_are_those_of_the_committed_results(copy: Path) -> None:
    update(copy)
    assert copy.read_text(encoding="utf-8") == README.read_text(encoding="utf-8")


def test_another_result_makes_another_readme(copy: Path, tmp_path: Path) -> None:
    for name in NAMES:
        metrics = json.loads((METRICS / f"{name}.json").read_text(encoding="utf-8"))
        if name == NAMES[-1]:
            metrics["accuracy"] = 0.123456
        (tmp_path / f"{name}.json").write_text(json.dumps(metrics))
    update(copy, tmp_path)
    assert "**12.35 %**" in copy.read_text(encoding="utf-8")


def test_no_other_number_of_a_result_is_in_the_text() -> None:
    text = re.sub(
        r"<!-- (\w+) -->.*?<!-- /\1 -->", "", README.read_text(encoding="utf-8"), flags=re.DOTALL
    )
    assert not re.findall(r"\d+\.\d+ ?%|0\.9\d+", text)


def test_a_network_beyond_the_notebook_has_a_row_too() -> None:
    metrics = {
        "blocks": 2,
        "parameters": 1234,
        "accuracy": 0.5,
        "accuracy_low": 0.4,
        "accuracy_high": 0.6,
        "notebook_accuracy": None,
        "status": "ok",
    }
    row = results_table({"cnn2": metrics}).splitlines()[-1]
    assert row == "| `cnn2` | 2 | 1,234 | **50.00 %** | 40.00 % to 60.00 % | - | ok |"


def test_several_seeds_are_told_or_that_there_are_none() -> None:
    accuracy = {"mean": 0.99206, "standard_deviation": 0.000472, "low": 0.99042, "high": 0.99362}
    found = {"count": 5, "collapsed": 1, "accuracy": accuracy}
    *_, first, second = seeds_table({"cnn1": found, "cnn9": {}}).splitlines()
    assert first == "| `cnn1` | 5 | **99.21 %** | 0.05 % | 99.04 % to 99.36 % | 1 of 5 |"
    assert second == "| `cnn9` | not run | - | - | - | - |"


def test_pairs_are_told_that_were_compared() -> None:
    entry = {"difference": -0.0029, "low": -0.005, "high": -0.0008, "verdict": "cnn1 is better"}
    pairs = {"cnn1 / cnn3": entry | {"corrected_p": 0.0123}}
    pairs |= {"cnn1 / cnn5": entry | {"corrected_p": None}, "cnn1 / former": entry}
    table = pairs_table(pairs, ["cnn1", "cnn3", "cnn5"])
    assert table.splitlines()[2:] == [
        "| `cnn1` / `cnn3` | -0.29 | -0.50 to -0.08 | 0.012 | cnn1 is better |",
        "| `cnn1` / `cnn5` | -0.29 | -0.50 to -0.08 | - | cnn1 is better |",
    ]
    assert len(pairs_table({}, ["cnn1", "cnn3"]).splitlines()) == 2
    nothing = {"cnn1 / cnn3": entry | {"difference": -0.00002, "corrected_p": 1.0}}
    assert "| +0.00 | -0.50 to -0.08 | 1 |" in pairs_table(nothing, ["cnn1", "cnn3"])


def test_tuned_networks_are_told_with_what_they_gain() -> None:
    accuracy = {"mean": 0.995, "standard_deviation": 0.0005, "low": 0.994, "high": 0.996}
    tuned = {"cnn3": {"count": 5, "collapsed": 0, "accuracy": accuracy}}
    gain = {"difference": 0.0058, "low": 0.003, "high": 0.008, "corrected_p": 0.00001}
    table = tuned_table(tuned, {"cnn3": gain | {"verdict": "tuned is better"}}, ["cnn1", "cnn3"])
    assert table.splitlines()[2:] == [
        "| `cnn3` | **99.50 %** | 0.05 % | 0 of 5 | +0.58 | +0.30 to +0.80 | < 0.0001 | tuned is "
        "better |"
    ]


def test_a_readme_without_the_marks_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text("no marks")
    with pytest.raises(DataError, match=r"README\.md: expected .*results"):
        update(path)
    assert path.read_text() == "no marks"


def test_missing_metrics_are_named(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"{NAMES[0]}\.json: cannot be read.*dvc repro"):
        update(copy, tmp_path / "nowhere")


def test_every_target_that_the_readme_names_exists() -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`?make ([a-z-]+)", README.read_text(encoding="utf-8")):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize(
    ("program", "module"),
    [("convdepth", "convdepth.cli"), ("python -m pipelines", "pipelines.__main__")],
)
def test_every_command_that_the_readme_shows_is_understood(program: str, module: str) -> None:
    group: Any = typer.main.get_command(import_module(module).app)
    shown = commands(program)
    assert len(shown) > 3
    for line in shown:
        words = shlex.split(line.removeprefix(program))
        parent = group.make_context(program, words)
        name, command, rest = group.resolve_command(parent, words)
        if rest:  # else the text may only name it
            command.make_context(name, rest, parent)  # refuses what is missing or unknown


def commands(program: str) -> list[str]:
    """Give all that the README shows of a program, in blocks and in the text."""
    text = README.read_text(encoding="utf-8").replace("\\\n", " ")
    block = re.compile(r"^```.*?\n(.*?)^```", re.DOTALL | re.MULTILINE)
    lines = [
        part.strip()
        for found in block.findall(text)
        for line in found.splitlines()
        for part in line.partition("#")[0].split("&&")
    ]
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", block.sub("", text))]
    found = [each for each in dict.fromkeys([*lines, *spans]) if each.startswith(f"{program} ")]
    return [each for each in found if not each.startswith(f"{program} -")]


def test_every_file_that_the_readme_shows_exists() -> None:
    for name in re.findall(r"\]\((?!https:)([^)]+)\)", README.read_text(encoding="utf-8")):
        assert (PROJECT / name).is_file(), name
