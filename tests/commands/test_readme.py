"""The README tells the results that are committed, and commands that exist."""

import json
import re
import shlex
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer

from conftest import PROJECT
from convdepth.commands.readme import SECTIONS, update_readme
from convdepth.config.params import read_params
from convdepth.core.errors import DataError
from convdepth.core.files import write_json

README = PROJECT / "README.md"
TEXT = README.read_text(encoding="utf-8")
METRICS = PROJECT / "metrics"
NAMES = list(read_params(PROJECT / "params.yaml").architectures)


def update(readme: Path, metrics: Path = METRICS) -> None:
    update_readme(readme, metrics, PROJECT / "data" / "notebook.json", PROJECT / "params.yaml")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copy(README, tmp_path))


def test_the_tables_are_those_of_the_committed_results(copy: Path) -> None:
    update(copy)
    assert copy.read_text(encoding="utf-8") == TEXT


def test_each_table_follows_its_results(tmp_path: Path) -> None:
    readme, metrics = tmp_path / "README.md", tmp_path / "metrics"
    readme.write_text("".join(f"<!-- {name} --><!-- /{name} -->\n" for name in SECTIONS))
    collapsed = {"status": "collapsed", "evidence": {"answer_share": 0.987, "answer": 1}}
    for name in NAMES:
        entry = json.loads((METRICS / f"{name}.json").read_text(encoding="utf-8"))
        entry |= {"notebook_accuracy": None, **collapsed} if name == NAMES[0] else {}
        write_json(metrics / f"{name}.json", entry)
    accuracy = {"mean": 0.99206, "standard_deviation": 0.000472, "low": 0.99042, "high": 0.99362}
    seeds = {"count": 5, "collapsed": 1, "accuracy": accuracy}
    write_json(metrics / "replicates" / "cnn1.json", seeds)
    write_json(metrics / "tuned" / "summary.json", {"networks": {"cnn3": seeds}})
    judged = {"difference": -0.00002, "low": -0.005, "high": -0.0008, "verdict": "worse"}
    pairs = {"cnn1 / cnn3": judged | {"corrected_p": 0.0123}, "cnn1 / former": judged}
    gains = {"cnn3": judged | {"corrected_p": 0.00001}}
    tuned = {"cnn1 / cnn3": judged | {"corrected_p": None}}
    contrasts = {"pairs": pairs, "gains": {"networks": gains}, "tuned": {"pairs": tuned}}
    write_json(metrics / "studies" / "contrasts.json", contrasts)
    update(readme, metrics)
    text = readme.read_text()
    assert '| - | collapsed: 98.70 % of its answers are "1" |' in text
    for row in (
        "| `cnn1` | 5 | **99.21 %** | 0.05 % | 99.04 % to 99.36 % | 1 of 5 |",
        "| `cnn3` | not run | - | - | - | - |",
        "| `cnn1` / `cnn3` | +0.00 | -0.50 to -0.08 | 0.012 | worse |",
        "| `cnn1` / `cnn3` | +0.00 | -0.50 to -0.08 | - | worse |",
        "| `cnn3` | **99.21 %** | 0.05 % | 1 of 5 | +0.00 | -0.50 to -0.08 | < 0.0001 | worse |",
    ):
        assert text.splitlines().count(row) == 1, row
    assert "former" not in text


def test_no_other_number_of_a_result_is_in_the_text() -> None:
    text = re.sub(r"(?s)<!-- (\w+) -->.*?<!-- /\1 -->", "", TEXT)
    assert not re.findall(r"\d+\.\d+ ?%|0\.9\d+", text)


def test_what_is_missing_is_named(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"{NAMES[0]}\.json: cannot be read.*dvc repro"):
        update(copy, tmp_path / "nowhere")
    copy.write_text("no marks")
    with pytest.raises(DataError, match=r"README\.md: expected .*results"):
        update(copy)
    assert copy.read_text() == "no marks"


def test_every_target_that_the_readme_names_exists() -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`?make ([a-z-]+)", TEXT):
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
    text = TEXT.replace("\\\n", " ")
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
    for name in re.findall(r"\]\((?!https:)([^)]+)\)", TEXT):
        assert (PROJECT / name).is_file(), name
