"""Benchmarks: what they compute from what was measured, and that the tables say what it was."""

import ast
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import PROJECT
from convdepth.config.params import read_params

FOLDER = PROJECT / "benchmarks"

MEASUREMENTS = sorted(path.stem for path in (FOLDER / "results").glob("*.json"))
"""Those that have been recorded."""

ARCHITECTURES = read_params(PROJECT / "params.yaml").architectures


@pytest.fixture(autouse=True)
def benchmarks_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))


def load(name: str) -> Any:
    return importlib.import_module(name)


@pytest.mark.parametrize(
    "name", [each for each in MEASUREMENTS if (FOLDER / f"{each}.py").exists()]
)
def test_the_tables_are_those_of_the_results(name: str) -> None:
    result = json.loads((FOLDER / "results" / f"{name}.json").read_text())
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    section = text.partition(f"<!-- {name} -->\n")[2].partition(f"<!-- /{name} -->")[0]
    assert section.splitlines() == load(name).table(result)


def test_each_measurement_has_a_place_and_a_target() -> None:
    text, makefile = (FOLDER / "README.md").read_text(), (PROJECT / "Makefile").read_text()
    for path in FOLDER.glob("*.py"):
        if "record(" in path.read_text() and path.stem != "reporting":
            assert f"<!-- {path.stem} -->" in text
            assert f"benchmarks/{path.name}" in makefile


@pytest.mark.parametrize(
    "path", [*FOLDER.glob("*.py"), *FOLDER.glob("arms/*.py")], ids=lambda path: path.stem
)
def test_what_is_imported_of_the_project_is_there(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(("convdepth", "pipel")):
            module = importlib.import_module(str(node.module))
            assert all(hasattr(module, alias.name) for alias in node.names)


def test_a_table_without_a_place_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("nothing\n")
    with pytest.raises(ValueError, match="has no place for speed"):
        load("reporting").write_section("speed", ["| a |"], page)
    assert page.read_text() == "nothing\n"


def test_the_front_page_quotes_the_speed() -> None:
    result = json.loads((FOLDER / "results" / "training_speed.json").read_text())
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    section = text.partition("<!-- training_speed -->\n")[2].partition("<!-- /training_speed")[0]
    assert section.splitlines() == load("training_speed").summary(result)


@pytest.mark.parametrize(
    ("jobs", "seconds"),
    [
        (1, 10.0),
        (2, 5.0),  # the longest one first
        (3, 4 / 3 + 3),  # all at once: until the shortest has ended, three cores for four
        (8, 4.0),
    ],
)
def test_the_job_ends_with_its_last_network(jobs: int, seconds: float) -> None:
    epochs = {"a": 1.0, "b": 4.0, "c": 2.0, "d": 3.0}
    assert load("training_speed").job_seconds(epochs, jobs) == pytest.approx(seconds)


def test_a_fifth_network_shares_the_cores_with_those_before_it() -> None:
    epochs = dict.fromkeys("abcde", 2.0)
    assert load("training_speed").job_seconds(epochs, 2) == pytest.approx(5.0)


def test_epochs_are_counted_until_the_accuracy_is_reached() -> None:
    module = load("time_to_accuracy")
    assert module.epochs_to(0.9, [0.8, 0.9, 0.85, 0.95]) == 2
    assert module.epochs_to(0.96, [0.8, 0.9]) is None
    assert module._median([3, None, 5]) == 4
    assert module._median([3, None, None]) is None  # most never reach it
    assert module._cell([3, None, 5], [0.98, 0.97, 0.99]) == "4 (2 of 3), ends at 98.00 ± 1.00 %"
    assert module._cell([None], [0.98]) == "not (0 of 1), ends at 98.00 %"
    assert module._cell([], []) == "not trained yet"


def units(**seconds: float) -> dict[str, dict[str, float]]:
    return {name: {"seconds": each} for name, each in seconds.items()}


def test_the_seconds_to_an_accuracy_are_those_of_each_arm_s_way_to_use_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {0, 1})
    module, params = load("time_to_accuracy"), read_params(PROJECT / "params.yaml")
    epochs = {"cnn1": [8, 8, None], "cnn3": [5, 7, 6], "cnn5": [4, 4, 4]}
    notebook = module._plan(params, module.NOTEBOOK, epochs)
    sample = units(cnn1=10.0, cnn3=20.0, cnn5=30.0)
    assert notebook.seconds(sample) == 8 * 10 + 6 * 20 + 4 * 30  # one after the other
    other = units(cnn1=9.0, cnn3=25.0, cnn5=25.0)
    assert notebook.least([sample, other]) == 8 * 9 + 6 * 20 + 4 * 25
    ours = module._plan(params, module.OURS, epochs)
    assert list(ours.arm.commands) == ["cnn5", "cnn3", "cnn1"]  # the costliest first
    assert ours.arm.as_flow
    images = {
        name: int(command[command.index("--images") + 1])
        for name, command in ours.arm.commands.items()
    }
    assert images == {"cnn1": 8 * 640, "cnn3": 6 * 640, "cnn5": 4 * 640}
    assert ours.seconds(sample) == 30 * 60_000 / 640  # at once, until the last one has ended
    assert ours.least([sample, units(cnn1=29.0, cnn3=20.0, cnn5=20.0)]) == 29 * 60_000 / 640
    assert module._plan(params, module.MIXED, {**epochs, "cnn3": [None, None, 3]}) is None


def test_what_never_reaches_the_accuracy_has_no_seconds() -> None:
    module = load("time_to_accuracy")
    result = json.loads((FOLDER / "results" / "time_to_accuracy.json").read_text())
    for key in ("seconds", "times_as_fast", "times_as_fast_by_fastest"):
        result[key].pop(module.FAST)
        result[key].pop(module.FAST_TWIN)
    assert module.table(result)[-4] == f"| {module.FAST_TWIN} | not reached |  |  |"
    result["epochs"]["fast"]["cnn1"] = []
    assert module.table(result)[-4] == f"| {module.FAST_TWIN} | not trained yet |  |  |"


def test_the_fastest_epoch_of_a_network_may_be_of_any_round() -> None:
    rounds = [{"cnn1": 3.0, "cnn3": 5.0}, {"cnn1": 2.0, "cnn3": 9.0}]
    assert load("training_speed")._fastest(rounds) == {"cnn1": 2.0, "cnn3": 5.0}


def test_the_cost_of_networks_is_a_line_that_begins_where_all_cores_are_busy() -> None:
    seconds = {1: 7.0, 2: 8.0, 3: 11.0, 4: 14.0}
    found = load("growth")._line(seconds, "network", begin=2)
    assert (found["constant"], found["slope"], found["largest_deviation"]) == (2.0, 3.0, 0.0)
    assert found["seconds"] == {"1": 7.0, "2": 8.0, "3": 11.0, "4": 14.0}
    bent = load("growth")._line({1: 5.0, 2: 8.0, 3: 12.5, 4: 14.0}, "network", begin=2)
    assert bent["largest_deviation"] == 0.0714  # a second of fourteen


CPU_INFO = """processor	: {number}
vendor_id	: AuthenticAMD
cpu family	: 26
model		: 2
model name	: AMD EPYC
stepping	: 1
"""


def test_the_machine_is_told_by_what_distinguishes_its_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporting, info = load("reporting"), tmp_path / "cpuinfo"
    monkeypatch.setattr(reporting, "CPU_INFO", info)
    info.write_text("\n".join(CPU_INFO.format(number=number) for number in range(2)))
    assert reporting.describe_machine()["cpu"] == "AMD EPYC (family 26, model 2)"
    info.write_text("processor	: 0\nBogoMIPS	: 50.00\n")  # as on ARM
    monkeypatch.setattr(reporting.platform, "processor", lambda: "aarch64")
    assert reporting.describe_machine()["cpu"] == "aarch64"
    info.unlink()
    assert reporting.describe_machine()["cpu"] == "aarch64"


def test_the_arithmetic_of_a_trained_image() -> None:
    flop = {name: load("networks").training_flop(each) for name, each in ARCHITECTURES.items()}
    # Measured by others before: 71.6, 82.8, 101.7 and 104.1 million.
    assert {name: round(each / 1e6, 1) for name, each in flop.items()} == {
        "cnn1": 71.6,
        "cnn3": 82.8,
        "cnn5": 101.7,
        "cnn7": 104.1,
    }


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


ARM = """
import sys
sys.path.insert(0, {arms!r})
from protocol import serve
print("noise on the output")
serve(lambda: {amount})
"""


def test_arms_are_measured_side_by_side() -> None:
    interleaving = load("interleaving")
    script = ARM.format(arms=str(FOLDER / "arms"), amount=7)
    arm = interleaving.Arm(
        "an arm",
        {"a": [sys.executable, "-c", script]} | {"b": [sys.executable, "-c", script]},
        jobs=2,
    )
    samples = interleaving.measure([arm], rounds=2)
    assert [sorted(sample) for sample in samples["an arm"]] == [["a", "b"]] * 2
    assert samples["an arm"][0]["a"]["amount"] == 7
    assert samples["an arm"][0]["a"]["peak_bytes"] > 1e6


PIECE_OF_A_JOB = """
import sys, time
from pathlib import Path
sys.path.insert(0, {arms!r})
from protocol import serve
def unit():
    with Path({folder!r}, {name!r}).open("a") as file:
        file.write("unit ")
    while len(list(Path({folder!r}).iterdir())) < 3:
        time.sleep(0.01)
    return 1
serve(unit)
"""


@pytest.mark.timeout(60)
def test_the_last_pieces_of_a_job_are_done_at_once_and_once(tmp_path: Path) -> None:
    interleaving, arms = load("interleaving"), str(FOLDER / "arms")
    commands = {
        name: [
            *(sys.executable, "-c"),
            PIECE_OF_A_JOB.format(arms=arms, folder=str(tmp_path), name=name),
        ]
        for name in "abc"
    }
    sample = interleaving.run_arm(interleaving.Arm("a job", commands, jobs=2, as_flow=True))
    assert sorted(sample) == ["a", "b", "c"]
    assert [path.read_text() for path in sorted(tmp_path.iterdir())] == ["unit "] * 3


def test_the_memory_of_a_training_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = load("memory")
    training = load("trainings").Training("cnn1", {"epochs": 1})
    script = "import time; taken = bytearray(10**8); time.sleep(2)"
    monkeypatch.setattr(memory, "prepare", lambda *_given: [sys.executable, "-c", script])
    found = memory._measure(training)
    assert 0.1 < found["own"] < found["all"] < 0.2
    script = "raise SystemExit('no memory')"
    with pytest.raises(SystemExit, match="cnn1 epochs=1: no memory"):
        memory._measure(training)


def test_an_arm_that_fails_stops_the_measurement() -> None:
    interleaving = load("interleaving")
    with pytest.raises(SystemExit, match="an arm has failed"):
        interleaving.run_arm(interleaving.Arm("broken", {"a": [sys.executable, "-c", "1/0"]}))


@pytest.mark.parametrize(
    ("event", "operation"),
    [
        (
            "S/gradient_tape/s_1/network_1/block1_conv2_1/convolution/Conv2DBackpropFilter:_MklNativeConv2DBackpropFilter",
            "block1_conv2: backward: Conv2DBackpropFilter",
        ),
        ("S/s_1/network_1/head_dense_1/Relu:_MklNativeFusedMatMul", "head_dense: MatMul"),
        ("S/adam/Sub_19:Sub", "optimizer"),
        ("S/s_1/rows_1/GatherV2:GatherV2", "rest: GatherV2"),
        ("EagerExecute", None),
    ],
)
def test_operations_are_named_by_their_layers(event: str, operation: str | None) -> None:
    assert load("operations")._operation(event) == operation
