"""The command line: what it loads, and how it ends."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from command_line import COMMAND, loaded, run

from conftest import PROJECT
from convdepth.cli import app
from convdepth.commands.stages import STAGES
from convdepth.integrity.check_environment import check_gpu, ok
from convdepth.workspace.code_digests import read_command

HEAVY = {"tensorflow", "keras", "great_expectations", "pandas", "matplotlib", "dvc", "prefect"}


def stage(command: str, path: str = "nowhere") -> list[str]:
    """Return a stage's command line, with the same path for each file and folder."""
    names = STAGES[command].arguments.split()
    words = [command, "cnn1"] if "name" in names else [command]
    others = ("name", "seed", "params", "studies")
    return [*words, *(f"--{name}={path}" for name in names if name not in others)]


def test_help_names_every_command_and_loads_no_heavy_library() -> None:
    group: Any = typer.main.get_command(app)
    finished = run("--help", PYTHONPROFILEIMPORTTIME="1")
    assert finished.returncode == 0
    assert len(group.commands) > len(STAGES)
    assert all(f" {command} " in finished.stdout for command in group.commands)
    assert not loaded(finished.stderr) & HEAVY


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "cnn4", *stage("train")[2:]], 2, "did you mean"),
        (["summary", "cnn1", "--params", "nowhere.yaml"], 2, "nowhere.yaml: cannot be read"),
        (["sumary"], 2, "No such command"),
        (["normalize", "--raw", "nowhere", "--normalized", "x"], 3, "train-images-idx3-ubyte"),
        (["predict", "nowhere.png", "--model", "cnn4"], 2, "no training of cnn4"),
    ],
)
def test_a_mistake_has_a_message_and_a_code(arguments: list[str], code: int, message: str) -> None:
    finished = run(*arguments)
    assert finished.returncode == code
    assert message in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize("command", ["validate", "train", "plot"])
def test_a_wrong_parameter_is_refused_soon(command: str, tmp_path: Path, params_text: str) -> None:
    (tmp_path / "params.yaml").write_text(params_text.replace("epochs: 12", "epochs: 0"))
    finished = run(*stage(command), folder=tmp_path, PYTHONPROFILEIMPORTTIME="1")
    assert finished.returncode == 2
    assert "params.yaml: train.epochs: expected at least 1, got 0" in finished.stderr
    assert "pydantic" in loaded(finished.stderr)
    assert not loaded(finished.stderr) & HEAVY


@pytest.fixture
def train(normalized: Path, tiny_params: Path, tmp_path: Path) -> list[str]:
    """The arguments that train the tiny network."""
    targets = [f"--model={tmp_path / 'tiny.keras'}", f"--history={tmp_path / 'tiny.csv'}"]
    data = [f"--normalized={normalized}", f"--params={tiny_params}"]
    return ["train", "tiny", *data, *targets, f"--checkpoints={tmp_path / 'checkpoints'}"]


@pytest.fixture
def driver(tmp_path: Path) -> dict[str, str]:
    """The environment on a machine whose driver lists a GPU that TensorFlow cannot use."""
    folder = tmp_path / "driver"
    folder.mkdir()
    (folder / "nvidia-smi").write_text("#!/bin/sh\necho 0, GPU-made-up, NVIDIA H200\n")
    (folder / "nvidia-smi").chmod(0o755)
    return {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "CONVDEPTH_LOCKS": str(tmp_path / "locks"),
        "CONVDEPTH_DEVICE": "auto",
        "CUDA_VISIBLE_DEVICES": "GPU-made-up",
    }


def test_trainings_wait_for_gpus(driver: dict[str, str], train: list[str], tmp_path: Path) -> None:
    hold = "from convdepth.workspace.gpu import take_slot; take_slot('cnn7'); print(); input()"
    options: dict[str, Any] = {"env": os.environ | driver, "text": True, "stdin": subprocess.PIPE}
    options |= {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen([sys.executable, "-c", hold], **options) as cnn7:
        assert cnn7.stdout.readline() == "\n"
        options["env"] |= {"PYTHONWARNINGS": "error"}  # numpy warns when the model is saved
        with subprocess.Popen([COMMAND, *train], **options) as tiny:
            waits = tiny.stdout.readline()
            cnn7.kill()
            output, _ = tiny.communicate(timeout=120)
    assert "tiny: waits for a GPU: GPU 0 (NVIDIA H200), slot 1 is in use by cnn7 (pro" in waits
    assert f" {cnn7.pid} on " in waits
    assert tiny.returncode == 0
    first, second, *rest = output.splitlines()
    assert first == "tiny: goes on, on GPU 0 (NVIDIA H200), slot 1"
    assert "TensorFlow can use none" in second
    assert any("epoch" in line for line in rest)
    assert (tmp_path / "tiny.keras").exists()


def test_a_training_that_requires_a_gpu_stops_before_it_writes_anything(
    driver: dict[str, str], train: list[str], tmp_path: Path
) -> None:
    before = set(tmp_path.iterdir())
    finished = run(*train, **driver | {"CONVDEPTH_DEVICE": "gpu"})
    assert finished.returncode == 4
    assert "driver has GPU 0 (NVIDIA H200), but TensorFlow can use none" in finished.stderr
    assert "make environment LOCK=requirements-gpu.lock" in finished.stderr
    assert set(tmp_path.iterdir()) - before == {tmp_path / "locks"}


def test_device_shows_what_there_is_and_who_holds_it(
    driver: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = run("device", **driver)
    assert finished.returncode == 0
    assert finished.stdout.startswith("TensorFlow computes on the CPU.\nthe driver has GPU 0")
    assert finished.stdout.endswith("\nGPU 0 (NVIDIA H200), slot 1 is free\n")
    for name, value in driver.items():
        monkeypatch.setenv(name, value)
    assert check_gpu(PROJECT)[0] == ok("GPU 0 (NVIDIA H200), slot 1 is free")
    assert not Path(driver["CONVDEPTH_LOCKS"]).exists()


@pytest.mark.parametrize("columns", ["20", "40", "100"])
def test_summary_shows_layers_and_sums(columns: str) -> None:
    finished = run("summary", "cnn5", COLUMNS=columns)
    assert finished.returncode == 0
    assert all(text in finished.stdout for text in ("block2_conv1", "76,978", "34,200,064"))
    assert max(map(len, finished.stdout.splitlines())) <= int(columns)


def test_a_stage_locks_what_it_writes(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    assert run("check", f"--checked={tmp_path / 'checked.txt'}").returncode == 0
    (lock,) = (tmp_path / ".dvc" / "tmp" / "convdepth" / "locks").iterdir()
    assert lock.name == "checked.txt.lock"
    assert lock.read_text().startswith("check ")


@pytest.mark.parametrize("command", STAGES)
def test_every_stage_that_computes_heeds_the_device(command: str) -> None:
    assert STAGES[command].uses_device is ("tensorflow" in read_command(command).libraries)


def test_without_the_required_device_nothing_is_predicted(tmp_path: Path) -> None:
    (tmp_path / "kept.keras").touch()
    lock = "stages: {train@cnn1: {cmd: x, outs: [{path: kept.keras}]}}"
    (tmp_path / "dvc.lock").write_text(lock)
    np.save(tmp_path / "x.npy", np.zeros((28, 28), np.uint8))
    device = {"CONVDEPTH_DEVICE": "gpu", "CUDA_VISIBLE_DEVICES": "-1"}
    finished = run("predict", "x.npy", "--model=cnn1", folder=tmp_path, **device)
    assert finished.returncode == 4, finished.stderr
