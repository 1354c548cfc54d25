"""The command line: what it loads, and how it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import PROJECT
from project import HEED_SIGINT

COMMAND = str(Path(sys.executable).parent / "convdepth")
COMMANDS = ["download", "normalize", "validate", "train", "evaluate", "plot", "summary", "predict"]
HEAVY = {"tensorflow", "keras", "great_expectations", "pandas", "matplotlib", "dvc", "prefect"}


def run(
    *arguments: str, folder: Path = PROJECT, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "100"} | environment,
    )


def test_help_names_every_command() -> None:
    finished = run("--help")
    assert finished.returncode == 0
    assert all(f" {command} " in finished.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(command: str) -> None:
    finished = run(command, "--help")
    assert finished.returncode == 0
    assert "--params" in finished.stdout


def test_help_loads_no_heavy_library() -> None:
    code = (
        "import sys; sys.argv = ['convdepth', '--help']\n"
        "from convdepth.cli import run\n"
        "try: run()\n"
        "finally: print(sorted(sys.modules), file=sys.stderr)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    loaded = {name.strip("' []").partition(".")[0] for name in finished.stderr.split(",")}
    assert "typer" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "cnn4", "--normalized=x", "--model=y", "--history=z"], 2, "did you mean"),
        (["summary", "cnn1", "--params", "nowhere.yaml"], 2, "nowhere.yaml: cannot be read"),
        (["sumary"], 2, "No such command"),
        (["normalize", "--raw", "nowhere", "--normalized", "x"], 3, "train-images-idx3-ubyte"),
        (["predict", "nowhere.png", "--model", "cnn4"], 2, "architectures.cnn4"),
    ],
)
def test_a_mistake_has_a_message_and_an_exit_code_and_no_traceback(
    arguments: list[str], code: int, message: str
) -> None:
    finished = run(*arguments)
    assert finished.returncode == code
    assert message in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize("stage", ["validate", "train", "evaluate", "plot"])
def test_a_wrong_parameter_is_refused_before_a_heavy_library_is_loaded(
    stage: str, tmp_path: Path, params_text: str
) -> None:
    (tmp_path / "params.yaml").write_text(params_text.replace("epochs: 12", "epochs: 0"))
    options = {
        "validate": ["raw", "normalized", "summary", "docs"],
        "train": ["normalized", "model", "history"],
        "evaluate": ["normalized", "model", "history", "notebook", "metrics", "predictions"],
        "plot": [
            "normalized", "models", "histories", "predictions", "notebook", "figures", "tables"
        ],
    }  # fmt: skip
    name = ["cnn1"] if stage in ("train", "evaluate") else []
    arguments = [stage, *name, *(f"--{option}=nowhere" for option in options[stage])]
    finished = run(*arguments, folder=tmp_path, PYTHONPROFILEIMPORTTIME="1")
    assert finished.returncode == 2
    assert "params.yaml: train.epochs: expected at least 1, got 0" in finished.stderr
    loaded = {line.rpartition("|")[2].strip() for line in finished.stderr.splitlines()}
    assert "pydantic" in loaded
    assert not loaded & HEAVY


def test_a_path_that_cannot_be_written_is_the_machines_fault(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    target = str(tmp_path / "file" / "normalized")
    finished = run("normalize", "--raw", str(raw), "--normalized", target)
    assert finished.returncode == 4
    assert "cannot be written" in finished.stderr
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_training_and_leaves_no_file(
    number: int, normalized: Path, tmp_path: Path
) -> None:
    targets = [f"--model={tmp_path / 'models' / 'a.keras'}", f"--history={tmp_path / 'a.csv'}"]
    command = [sys.executable, "-c", f"{HEED_SIGINT}from convdepth.cli import run; run()"]
    process = subprocess.Popen(
        [*command, "train", "cnn1", f"--normalized={normalized}", *targets],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    assert "epoch  1/12" in process.stdout.readline()
    sent = time.monotonic()
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert time.monotonic() - sent < 10
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_summary_shows_layers_and_sums() -> None:
    finished = run("summary", "cnn5")
    assert finished.returncode == 0
    assert "block2_conv1" in finished.stdout
    assert "76,978" in finished.stdout
    assert "34,200,064" in finished.stdout
