"""Trainings in child processes: how many run at once, and how they end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from convdepth.core.errors import ConvdepthError, DataError
from convdepth.integrity.against import ONE_EPOCH
from convdepth.integrity.training_process import Training, run_trainings

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


def plan(folder: Path, *names: str) -> list[Training]:
    command = ["convdepth", "train", "tiny"]
    return [
        Training("tiny", name, command, folder, folder, folder / name, program=PROGRAM)
        for name in names
    ]


@pytest.mark.parametrize(("cores", "second"), [(1, "end"), (2, "begin")])
def test_as_many_run_at_once_as_the_cores_allow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, second: str
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    done = run_trainings(plan(tmp_path, "first", "second"), 1)
    assert {training.label for training in done} == {"first", "second"}
    lines = (tmp_path / "log").read_text().split()
    assert (len(lines), lines[1]) == (4, second)


@pytest.mark.parametrize(
    ("name", "error", "text"), [("bad", DataError, "3"), ("killed", ConvdepthError, "memory")]
)
def test_a_failed_training_stops_the_others_and_gives_its_exit_code(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    error: type[ConvdepthError],
    text: str,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    with pytest.raises(error, match=rf"{name}.*{text}") as raised:
        list(run_trainings(plan(tmp_path, "slow", name, "slow too"), 1))
    assert type(raised.value) is error
    assert (tmp_path / "log").read_text().count("end") == 1


HASTY = """
from pathlib import Path
def run():
    for epoch in "123":
        Path(f"epoch-000{epoch}.tmp").touch()
        Path(f"epoch-000{epoch}.tmp").replace(f"{Path.cwd()}/epoch-000{epoch}.json")
        open("/dev/null")
    Path("epoch-0001.json").unlink()
"""
"""Stands for a training whose epochs take no time."""


def test_a_comparison_keeps_the_first_checkpoint_however_short_an_epoch_is(tmp_path: Path) -> None:
    (tmp_path / "convdepth").mkdir()
    (tmp_path / "convdepth" / "__init__.py").touch()
    (tmp_path / "convdepth" / "cli.py").write_text(HASTY)
    subprocess.run([sys.executable, "-c", ONE_EPOCH], cwd=tmp_path, check=True)
    assert [path.name for path in tmp_path.glob("epoch*")] == ["epoch-0001.json"]
