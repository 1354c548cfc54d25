"""Benchmarks: what they compute from what was measured, and that the tables say what it was."""

import ast
import json
import sys
from importlib import import_module as load
from pathlib import Path
from typing import Any

import pytest

from conftest import PROJECT
from convdepth.config.params import read_params

FOLDER = PROJECT / "benchmarks"

ARCHITECTURES = read_params(PROJECT / "params.yaml").architectures


@pytest.fixture(autouse=True)
def benchmarks_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))


def section(page: Path, name: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return text.partition(f"<!-- {name} -->\n")[2].partition(f"<!-- /{name} -->")[0].splitlines()


def result_of(name: str) -> Any:
    return json.loads((FOLDER / "results" / f"{name}.json").read_text())


def test_each_measurement_has_a_target_and_a_table_of_its_results() -> None:
    page, makefile = FOLDER / "README.md", (PROJECT / "Makefile").read_text()
    for path in FOLDER.glob("*.py"):
        if "record(" in path.read_text() and path.stem != "reporting":
            assert f"benchmarks/{path.name}" in makefile
            assert section(page, path.stem) == load(path.stem).table(result_of(path.stem))
    summary = load("training_speed").summary(result_of("training_speed"))
    assert section(PROJECT / "docs" / "benchmarks.md", "training_speed") == summary


def test_what_is_imported_of_the_project_is_there() -> None:
    for path in [*FOLDER.glob("*.py"), *FOLDER.glob("arms/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            name = node.module if isinstance(node, ast.ImportFrom) else None
            if name and name.startswith(("convdepth", "pipelines")):
                names = [alias.name for alias in node.names]
                assert [each for each in names if not hasattr(load(name), each)] == [], path


@pytest.mark.parametrize(("jobs", "seconds"), [(1, 10.0), (2, 5.0), (3, 4.0), (8, 4.0)])
def test_the_job_ends_with_its_last_network(jobs: int, seconds: float) -> None:
    epochs = {"a": 1.0, "b": 4.0, "c": 2.0, "d": 3.0}
    assert load("training_speed").job_seconds(epochs, jobs) == pytest.approx(seconds)


def test_the_arithmetic_of_a_trained_image() -> None:
    flop = {name: load("networks").training_flop(each) for name, each in ARCHITECTURES.items()}
    # Measured by others before: 71.6, 82.8, 101.7 and 104.1 million.
    assert [round(each / 1e6, 1) for each in flop.values()] == [71.6, 82.8, 101.7, 104.1]


def test_the_notebook_s_code_gets_all_of_its_layers() -> None:
    layers = json.loads(load("networks").describe_layers(ARCHITECTURES["cnn5"]))
    assert [layer["kind"] for layer in layers].count("pooling") == 5
    assert [layer["pool_size"] for layer in layers if layer["kind"] == "pooling"] == [2, 1, 1, 1, 1]
    assert layers[-1] == {"kind": "dense", "units": 10, "activation": "softmax"}


def test_ratios_are_those_of_the_rounds() -> None:
    compare = load("interleaving").compare
    # The machine was half as fast in the second round, for both.
    assert compare([3.0, 6.0, 3.0], [1.0, 2.0, 1.0]) == {"median": 3.0}
    found = compare([2.0, 4.4, 2.0, 1.8], [1.0, 2.0, 1.0, 1.0])
    assert found["median"] == 2.0
    assert 1.8 <= found["low"] <= 2.0 <= found["high"] <= 2.2


PIECE = """
import sys, time
from pathlib import Path
sys.path.insert(0, {arms!r})
from protocol import serve
print("noise on the output")
def unit():
    with Path({folder!r}, {name!r}).open("a") as file:
        file.write("unit ")
    while len(list(Path({folder!r}).iterdir())) < 3:
        time.sleep(0.01)
    return 7
serve(unit)
"""
"""A command that writes a file, and waits until there are three."""


@pytest.mark.timeout(60)
def test_the_last_pieces_of_a_job_are_done_at_once_and_once(tmp_path: Path) -> None:
    interleaving, common = load("interleaving"), {"arms": f"{FOLDER}/arms", "folder": f"{tmp_path}"}
    commands = {n: [sys.executable, "-c", PIECE.format(**common, name=n)] for n in "abc"}
    job = interleaving.Arm("a job", commands, jobs=2, as_flow=True)
    (sample,) = interleaving.measure([job], rounds=1)["a job"]
    assert sorted(sample) == ["a", "b", "c"]
    assert sample["a"]["amount"] == 7
    assert sample["a"]["peak_bytes"] > 1e6
    assert [path.read_text() for path in sorted(tmp_path.iterdir())] == ["unit "] * 3


def test_an_arm_that_fails_stops_the_measurement() -> None:
    interleaving = load("interleaving")
    with pytest.raises(SystemExit, match="an arm has failed"):
        interleaving.run_arm(interleaving.Arm("broken", {"a": [sys.executable, "-c", "1/0"]}))
