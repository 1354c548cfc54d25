"""Trainings in child processes: how many run at once, how they end, and where they write."""

import os
from pathlib import Path

import pytest

from convdepth.config.params import read_params
from convdepth.core.errors import ConvdepthError, DataError
from convdepth.integrity import training_process
from convdepth.integrity.training_process import Training, run_trainings, write_params

PROGRAM = """
import os, sys, time
name = sys.argv[sys.argv.index("--model") + 1].split("/")[-2]
open("log", "a").write("begin\\n")
time.sleep(60 if name.startswith("slow") else 0.5)
open("log", "a").write("end\\n")
if name == "killed":
    os.kill(os.getpid(), 9)
sys.exit(3 if name == "bad" else 0)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where made-up trainings work."""
    monkeypatch.setattr(training_process, "PROGRAM", PROGRAM)
    return tmp_path


def plan(folder: Path, *names: str) -> list[Training]:
    command = ["convdepth", "train", "tiny"]
    return [
        Training("tiny", name, command, folder, folder / "params.yaml", folder / name)
        for name in names
    ]


@pytest.mark.parametrize(("cores", "second"), [(1, "end"), (2, "begin")])
def test_as_many_run_at_once_as_the_cores_allow(
    folder: Path, monkeypatch: pytest.MonkeyPatch, cores: int, second: str
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    done = run_trainings(plan(folder, "first", "second"), 1)
    assert {training.label for training in done} == {"first", "second"}
    lines = (folder / "log").read_text().split()
    assert (len(lines), lines[1]) == (4, second)


@pytest.mark.parametrize(
    ("name", "error", "text"), [("bad", DataError, "3"), ("killed", ConvdepthError, "memory")]
)
def test_a_failed_training_stops_the_others_and_gives_its_exit_code(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: type[ConvdepthError], text: str
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    with pytest.raises(error, match=rf"{name}.*{text}") as raised:
        list(run_trainings(plan(folder, "slow", name, "slow too"), 1))
    assert type(raised.value) is error
    assert (folder / "log").read_text().count("end") == 1


def test_a_training_that_has_done_enough_is_stopped(folder: Path) -> None:
    (training,) = run_trainings(plan(folder, "slow"), 1, lambda each: each.label == "slow")
    assert training.label == "slow"


def test_only_the_epochs_change(params_text: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(params_text, encoding="utf-8")
    expected = read_params(path)
    changed = expected.train.model_copy(update={"epochs": 345})
    found = read_params(write_params(path, 345, tmp_path / "new" / "params.yaml"))
    assert found == expected.model_copy(update={"train": changed})
