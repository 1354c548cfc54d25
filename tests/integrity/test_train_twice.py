"""`convdepth verify --twice`, with real trainings in real processes."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest
from waiting import lives, wait_until

from conftest import PROJECT
from convdepth.config.params import read_architecture
from convdepth.core.errors import IntegrityError, ParameterError
from convdepth.core.hashes import md5_of
from convdepth.integrity import train_twice as twice
from convdepth.integrity.train_twice import OTHERS, compare, print_repetitions
from convdepth.integrity.training_process import HISTORY, MODEL, Training
from convdepth.models.archive import save_network
from convdepth.models.build import build_network

pytestmark = pytest.mark.usefixtures("one_thread")

GRAPH = """
stages:
  train:
    foreach: ${architectures}
    do:
      cmd: >-
        convdepth train ${key} --normalized 'NORMALIZED' --model kept/${key}.keras
        --history=${key}.csv
      outs: ['kept/${key}.csv', 'kept/${key}.keras']
"""
LOCK = """
schema: '2.0'
stages:
  train@tiny:
    cmd: convdepth train tiny
    outs:
    - {path: kept/tiny.csv, hash: md5, md5: MD5, size: 1}
    - {path: kept/tiny.keras, hash: md5, md5: MD5, size: 1}
"""

MADE = md5_of(b"made")

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folder(normalized: Path, tiny_params: Path) -> Path:
    """A project that has trained the tiny network to files that hold ``made``."""
    folder = tiny_params.parent
    (folder / "dvc.yaml").write_text(GRAPH.replace("NORMALIZED", str(normalized)))
    (folder / ".dvc" / "tmp").mkdir(parents=True)
    (folder / ".dvc" / "config").write_text("[core]\nno_scm = true\n")
    (folder / "dvc.lock").write_text(LOCK.replace("MD5", MADE))
    return folder


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if ".dvc" not in path.parts)


def test_two_trainings_are_equal(folder: Path, capfd: Capture) -> None:
    before = files(folder)
    print_repetitions(["tiny"], folder / "params.yaml", None, folder)
    lines = capfd.readouterr().out.splitlines()
    for run in ("first  |", "second |"):
        assert sum(line.startswith(f"{run} tiny  epoch") for line in lines) == 2
    assert files(folder) == before


DICE = """
    layer = network.get_layer("head_dense")
    noise = abs(hash("dice")) % 1000 * 1e-3
    layer.set_weights([weights + noise for weights in layer.get_weights()])
"""
"""Depends on the seed of Python's own hashes, as much that is made of sets does."""


@pytest.mark.nightly
def test_what_depends_on_the_seed_of_hashes_is_found(folder: Path, capfd: Capture) -> None:
    code = folder / "src" / "convdepth"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PROJECT / "src" / "convdepth", code, ignore=ignored)
    train = code / "training" / "train.py"
    text, end = train.read_text(), "    save_network(network, model)"
    assert end in text
    train.write_text(text.replace(end, f"{DICE}{end}"))
    with pytest.raises(IntegrityError, match="tiny"):
        print_repetitions(["tiny"], folder / "params.yaml", 1, folder)
    verdict = capfd.readouterr().out.splitlines()[-1]
    assert "head_dense" in verdict
    assert "histories" not in verdict


def test_the_first_line_of_the_history_and_layer_that_differ_are_named(folder: Path) -> None:
    params = folder / "params.yaml"
    trainings = [Training("tiny", "", [], folder, params, folder / name) for name in "ab"]
    for training, history in zip(trainings, ("1,1\n2,1\n3,1\n", "1,1\n2,2\n3,2\n"), strict=True):
        write(training, "equal", history)
    (text,) = compare(*trainings)
    assert "('2,1', '2,2')" in text
    network = build_network(read_architecture("tiny", params))
    for training in trainings:
        (training.folder / HISTORY).write_text("equal")
        save_network(network, training.folder / MODEL)
        for layer in map(network.get_layer, ("head_dense", "softmax")):
            layer.set_weights([weights + 0.5 for weights in layer.get_weights()])
    (text,) = compare(*trainings)
    assert "head_dense" in text
    assert "softmax" not in text


def write(training: Training, model: str, history: str) -> None:
    training.folder.mkdir()
    (training.folder / MODEL).write_text(model)
    (training.folder / HISTORY).write_text(history)


def test_the_recorded_files_are_recognised_and_unknown_networks_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def run(trainings: Sequence[Training], _threads: int) -> None:
        for training in trainings:
            write(training, "made", "made")

    monkeypatch.setattr(twice, "run_trainings", lambda *given: run(*given) or [])
    params = folder / "params.yaml"
    with pytest.raises(ParameterError, match="cnn9"):
        print_repetitions(["tiny", "cnn9"], params, None, folder)
    assert capsys.readouterr().out == ""
    print_repetitions(["tiny"], params, None, folder)
    assert OTHERS not in capsys.readouterr().out
    (folder / "dvc.lock").write_text((folder / "dvc.lock").read_text().replace(MADE, "f" * 32))
    print_repetitions(["tiny"], params, None, folder)
    assert OTHERS in capsys.readouterr().out


SLEEP = """
import time
from convdepth.workspace.process import run_app
run_app(lambda: (print("epoch", flush=True), time.sleep(600)))
"""
RUN = f"""
from functools import partial
from convdepth.cli import run
from convdepth.integrity import train_twice
train_twice.Training = partial(train_twice.Training, program={SLEEP!r})
run()
"""
"""The command line, whose trainings sleep."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_trainings_end_with_the_command(
    folder: Path, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "temporary").mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", RUN, "verify", "--twice", "tiny"],
        cwd=folder,
        env=os.environ | {"TMPDIR": str(tmp_path / "temporary")},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert any("epoch" in line for line in iter(process.stdout.readline, ""))
        children = psutil.Process(process.pid).children(recursive=True)
        assert children
        process.send_signal(number)
        process.communicate()
    wait_until(lambda: not any(map(lives, children)))
    assert process.returncode == (143 if number == signal.SIGTERM else -number)
    if number == signal.SIGTERM:
        assert not list((tmp_path / "temporary").glob("convdepth-twice-*"))
