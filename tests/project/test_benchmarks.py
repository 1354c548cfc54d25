"""Benchmarks: what they compute from what was measured, and that the tables say what it was."""

import ast
import json
import sys
from importlib import import_module as load
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
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


def rows_of(name: str) -> pd.DataFrame:
    return pd.read_csv(FOLDER / "results" / f"{name}.csv")


def test_each_measurement_has_a_target_and_a_table_of_its_results() -> None:
    page, makefile = FOLDER / "README.md", (PROJECT / "Makefile").read_text()
    for path in FOLDER.glob("*.py"):
        if "record(" in path.read_text() and path.stem != "reporting":
            assert f"benchmarks/{path.name}" in makefile
            assert section(page, path.stem) == load(path.stem).table(result_of(path.stem))
    summary = load("training_speed").summary(result_of("training_speed"))
    assert section(PROJECT / "README.md", "training_speed") == summary


@pytest.mark.parametrize("name", ["data_pruning", "fast_recipe", "time_to_accuracy"])
def test_the_table_follows_from_the_rows(name: str) -> None:
    assert section(FOLDER / "README.md", name) == load(name).table()


def test_the_preset_is_the_quickest_recipe_that_qualifies() -> None:
    (line,) = (each for each in load("fast_recipe").table() if each.endswith("| quickest |"))
    preset = read_params(PROJECT / "params.yaml").presets["fast"].model_dump(exclude_unset=True)
    common = load("fast_recipe").COMMON
    settings = {f"{key} {value}" for key, value in preset.items() if key not in common}
    assert settings == set(line.removeprefix("| ").split(" | ")[0].split(", "))


@pytest.mark.parametrize(("cores", "seconds"), [(1, 6.0), (2, 3.5), (3, 3.0)])
def test_trainings_share_the_cores(cores: int, seconds: float) -> None:
    works = [np.array([each]) for each in (2.0, 3.0, 1.0)]
    assert load("time_to_accuracy").shared_seconds(works, cores) == pytest.approx([seconds])


def test_a_seed_that_never_arrives_costs_its_epochs() -> None:
    module = load("time_to_accuracy")
    runs = [module.epochs_until(0.9, curve) for curve in ([0.8, 0.9, 0.95], [0.8, 0.85, 0.89])]
    found = module.expected_epochs(runs, np.random.default_rng(0))
    assert found[0] == 2 + 3
    assert set(found[1:]) == {2, 5, 1e9}  # both resampled runs arrive, one does, none does


@pytest.mark.parametrize("name", ["training_speed", "gpu_speed", "portable_cost"])
def test_the_figures_follow_from_the_rows(name: str) -> None:
    module = load("portable_cost" if name == "portable_cost" else "training_speed")
    summary = module.summarize(rows_of(name))
    assert {**result_of(name), **summary} == result_of(name)
    networks = rows_of(name).groupby("arm")["network"].unique()
    assert all(set(each) == set(ARCHITECTURES) for each in networks)


def test_each_operation_is_in_one_group() -> None:
    operations, rows = load("operations"), rows_of("operations")
    assert [operations.group_of(each) for each in rows["operation"]] == list(rows["group"])
    assert operations.summarize(rows) == result_of("operations")["groups"]


def test_what_is_imported_of_the_project_is_there() -> None:
    for path in [*FOLDER.glob("*.py"), *FOLDER.glob("arms/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            name = node.module if isinstance(node, ast.ImportFrom) else None
            if name and name.startswith(("convdepth", "pipelines")):
                names = [alias.name for alias in node.names]
                assert [each for each in names if not hasattr(load(name), each)] == [], path


@pytest.mark.parametrize(("jobs", "seconds"), [(1, 10.0), (2, 5.0), (3, 4.0), (8, 4.0)])
def test_the_job_ends_with_its_last_network(jobs: int, seconds: float) -> None:
    assert load("training_speed").job_seconds([1.0, 4.0, 2.0, 3.0], jobs) == seconds


def test_a_step_is_the_ratio_of_its_arms_round_by_round() -> None:
    speed = load("training_speed")
    seconds = {speed.BASE: (1, 8.0), speed.OURS: (2, 8.0), speed.MIXED: (2, 4.0)}
    rows = [
        {"arm": arm, "network": network, "round": number, "processes": processes}
        | {"seconds": each * (1 + number), "images": 3840}  # half as fast in the second round
        for arm, (processes, each) in seconds.items()
        for network in ("a", "b")
        for number in (0, 1)
        if not (arm == speed.MIXED and number)  # as a peer, in every second round
    ]
    summary = speed.summarize(pd.DataFrame(rows))
    medians = {step: ratio["median"] for step, ratio in summary["steps"].items()}
    assert list(medians.values()) == [2.0, 2.0]
    assert summary["arms"][speed.OURS]["epoch_seconds"]["a"] == 8 * 1.5 / 2 / 3840 * 60_000


def test_the_arithmetic_of_a_trained_image() -> None:
    flop = {name: load("networks").training_flop(each) for name, each in ARCHITECTURES.items()}
    # Measured by others before: 71.6, 82.8, 101.7 and 104.1 million.
    assert [round(each / 1e6, 1) for each in flop.values()] == [71.6, 82.8, 101.7, 104.1]


def test_plain_keras_gets_all_layers_of_the_notebook() -> None:
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
file = Path({folder!r}, {name!r})
def unit():
    warm = file.exists()
    with file.open("a") as text:
        text.write("unit ")
    while warm and sum(each.read_text().count("unit") for each in file.parent.iterdir()) < {units}:
        time.sleep(0.01)
    return 7
serve(unit)
"""
"""A command that adds to a file, and after its warm-up waits until all files have some units."""


def piece(folder: Path, name: str, units: int = 0) -> list[str]:
    text = PIECE.format(arms=f"{FOLDER}/arms", folder=f"{folder}", name=name, units=units)
    return [sys.executable, "-c", text]


@pytest.mark.timeout(60)
def test_the_last_pieces_of_a_job_are_done_at_once_and_once(tmp_path: Path) -> None:
    interleaving = load("interleaving")
    job = interleaving.Arm("a job", {name: piece(tmp_path, name, 6) for name in "abc"}, jobs=2)
    (sample,) = interleaving.measure([job], rounds=1)["a job"]
    assert sorted(sample) == ["a", "b", "c"]
    assert sample["a"]["amount"] == 7
    assert [path.read_text() for path in sorted(tmp_path.iterdir())] == ["unit unit "] * 3


@pytest.mark.timeout(60)
def test_peers_run_in_every_second_round(tmp_path: Path) -> None:
    interleaving = load("interleaving")
    ours = interleaving.Arm("ours", {"a": piece(tmp_path, "a")})
    peer = interleaving.Arm("peer", {"a": piece(tmp_path, "b")}, every=2)
    samples = interleaving.measure([ours, peer], rounds=3)
    assert {name: len(each) for name, each in samples.items()} == {"ours": 3, "peer": 2}
    assert list(load("training_speed").rows_of([ours, peer], samples)["round"]) == [0, 1, 2, 0, 2]


def test_an_arm_that_fails_stops_the_measurement() -> None:
    interleaving = load("interleaving")
    with pytest.raises(SystemExit, match="an arm has failed"):
        interleaving.run_arm(interleaving.Arm("broken", {"a": [sys.executable, "-c", "1/0"]}))
