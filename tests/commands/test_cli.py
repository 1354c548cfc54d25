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
STAGES = ["download", "normalize", "validate", "train", "evaluate", "plot"]
COMMANDS = [*STAGES, "summary", "predict", "verify", "doctor", "device"]
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
    assert ("--params" in finished.stdout) is (command not in ("device", "doctor"))


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
        (
            ["train", "cnn4", "--normalized=x", "--model=y", "--history=z", "--checkpoints=c"],
            2,
            "did you mean",
        ),
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
        "validate": ["raw", "normalized", "summary", "docs", "checked"],
        "train": ["normalized", "model", "history", "checkpoints"],
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
    targets.append(f"--checkpoints={tmp_path / 'checkpoints'}")
    command = [sys.executable, "-c", f"{HEED_SIGINT}from convdepth.cli import run; run()"]
    process = subprocess.Popen(
        [*command, "train", "cnn1", f"--normalized={normalized}", *targets],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    assert "epoch  1/12" in next(line for line in lines if not line.startswith("cnn1  hint: "))
    sent = time.monotonic()
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert time.monotonic() - sent < 10
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


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


@pytest.fixture
def train(normalized: Path, tiny_params: Path, tmp_path: Path) -> list[str]:
    """The command that trains the tiny network."""
    targets = ["--model", str(tmp_path / "tiny.keras"), "--history", str(tmp_path / "tiny.csv")]
    targets += ["--checkpoints", str(tmp_path / "checkpoints")]
    data = ["--normalized", str(normalized), "--params", str(tiny_params)]
    return [COMMAND, "train", "tiny", *data, *targets]


def test_a_training_waits_for_the_gpu_until_its_holder_is_killed(
    driver: dict[str, str], train: list[str], tmp_path: Path
) -> None:
    hold = "from convdepth.workspace.gpu import take_slot; take_slot('cnn7'); print(); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    environment = os.environ | driver
    with subprocess.Popen(
        [sys.executable, "-c", hold], env=environment, text=True, **pipes
    ) as cnn7:
        assert cnn7.stdout is not None
        assert cnn7.stdout.readline() == "\n"
        with subprocess.Popen(train, env=environment, text=True, **pipes) as tiny:
            assert tiny.stdout is not None
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
    before = sorted(tmp_path.iterdir())
    finished = run(*train[1:], **driver | {"CONVDEPTH_DEVICE": "gpu"})
    assert finished.returncode == 4
    assert "driver has GPU 0 (NVIDIA H200), but TensorFlow can use none" in finished.stderr
    assert "make environment LOCK=requirements-gpu.lock" in finished.stderr
    assert set(tmp_path.iterdir()) - set(before) == {tmp_path / "locks"}


def test_a_wrong_device_is_refused_before_a_heavy_library_is_loaded(train: list[str]) -> None:
    finished = run(*train[1:], CONVDEPTH_DEVICE="tpu", PYTHONPROFILEIMPORTTIME="1")
    assert finished.returncode == 2
    assert "CONVDEPTH_DEVICE: expected auto, cpu or gpu, got 'tpu'" in finished.stderr
    loaded = {line.rpartition("|")[2].strip() for line in finished.stderr.splitlines()}
    assert not loaded & HEAVY


def test_device_shows_what_there_is_and_who_holds_it(driver: dict[str, str]) -> None:
    finished = run("device", **driver)
    assert finished.returncode == 0
    assert finished.stdout.startswith("TensorFlow computes on the CPU.\nthe driver has GPU 0")
    assert finished.stdout.endswith("\nGPU 0 (NVIDIA H200), slot 1 is free\n")
    assert not Path(driver["CONVDEPTH_LOCKS"]).exists()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({}, "the driver has GPU 0 (NVIDIA H200), but TensorFlow can use none"),
        ({"CONVDEPTH_DEVICE": "cpu"}, "there is none: CONVDEPTH_DEVICE=cpu hides all GPUs"),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, "CUDA_VISIBLE_DEVICES='-1' leaves none of GPU 0"),
    ],
)
def test_device_can_require_a_gpu(
    driver: dict[str, str], setting: dict[str, str], message: str
) -> None:
    finished = run("device", "--require-gpu", **driver | setting)
    assert finished.returncode == 4
    assert message in finished.stderr


def test_summary_shows_layers_and_sums() -> None:
    finished = run("summary", "cnn5")
    assert finished.returncode == 0
    assert "block2_conv1" in finished.stdout
    assert "76,978" in finished.stdout
    assert "34,200,064" in finished.stdout


@pytest.mark.parametrize(
    "command",
    [
        "train cnn1 --normalized x --model x --history x --checkpoints x",
        "train-tuned cnn1 --seed 1 --normalized x --model x --history x --checkpoints x",
        "evaluate cnn1 --normalized x --model x --history x --notebook x --metrics m"
        " --predictions p",
        "evaluate-seed cnn1 --normalized x --model x --answers a --scores s",
        "plot --normalized x --models x --histories x --predictions x --notebook x --figures f"
        " --tables t",
        "examine --normalized x --models x --predictions x --reading r --pictures p",
        "collapse cnn1 --normalized x --summary s --checkpoints x",
        "tune cnn1 --normalized x --summary s --checkpoints x",
    ],
)
def test_every_stage_that_computes_heeds_the_device(tmp_path: Path, command: str) -> None:
    params = ["--params", str(PROJECT / "params.yaml")]
    if "--seed" in command or command.startswith(("evaluate-seed", "collapse", "tune")):
        params += ["--studies", str(PROJECT / "studies" / "params.yaml")]
    finished = run(
        *command.split(),
        *params,
        folder=tmp_path,
        CONVDEPTH_DEVICE="gpu",
        CUDA_VISIBLE_DEVICES="-1",
    )
    assert finished.returncode == 4, finished.stderr


def test_predict_heeds_the_device(tmp_path: Path) -> None:
    (tmp_path / "kept.keras").touch()
    lock = "stages: {train@cnn1: {cmd: x, outs: [{path: kept.keras}]}}"
    (tmp_path / "dvc.lock").write_text(lock)
    params = ["--params", str(PROJECT / "params.yaml")]
    finished = run(
        *("predict", "x.png", "--model", "cnn1", *params),
        folder=tmp_path,
        CONVDEPTH_DEVICE="gpu",
        CUDA_VISIBLE_DEVICES="-1",
    )
    assert finished.returncode == 4, finished.stderr
