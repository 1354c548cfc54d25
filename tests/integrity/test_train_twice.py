"""`convdepth verify --twice`, with real trainings in real processes."""

import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import psutil
import pytest
from waiting import lives, wait_until

from conftest import PROJECT
from convdepth.core.errors import IntegrityError, ParameterError
from convdepth.core.hashes import md5_of
from convdepth.integrity import train_twice as twice
from convdepth.integrity.train_twice import compare, print_repetitions, train_twice
from convdepth.integrity.training_process import Training

pytestmark = pytest.mark.usefixtures("one_thread")

COMMAND = Path(sys.executable).parent / "convdepth"
GRAPH = """
stages:
  train:
    foreach: ${architectures}
    do:
      cmd: convdepth train
      outs: ['kept/${key}.csv', 'kept/${key}.keras']
"""
Lock = Callable[..., Path]


@pytest.fixture
def lock(normalized: Path, tiny_params: Path) -> Lock:
    """Writes the lock of a project that has trained the tiny network; gives the project."""
    project = tiny_params.parent

    def write(options: str = f"--normalized '{normalized}'", md5: str = "f" * 32) -> Path:
        (project / "dvc.yaml").write_text(GRAPH)
        (project / ".dvc" / "tmp").mkdir(parents=True, exist_ok=True)
        (project / ".dvc" / "config").write_text("[core]\nno_scm = true\n")
        (project / "dvc.lock").write_text(
            f"""
schema: '2.0'
stages:
  train@tiny:
    cmd: convdepth train tiny {options} --model kept/tiny.keras --history=kept/tiny.csv
    outs:
    - {{path: kept/tiny.csv, hash: md5, md5: {md5}, size: 1}}
    - {{path: kept/tiny.keras, hash: md5, md5: {md5}, size: 1}}
"""
        )
        return project

    return write


def files(project: Path) -> list[Path]:
    return sorted(path for path in project.rglob("*") if ".dvc" not in path.parts)


def test_two_trainings_are_equal(
    lock: Lock, tiny_params: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    project = lock()
    before = files(project)
    print_repetitions(["tiny"], tiny_params, None, project)
    lines = capfd.readouterr().out.splitlines()
    for run in ("first  |", "second |"):
        assert sum(line.startswith(f"{run} tiny  epoch") for line in lines) == 2
    assert files(project) == before


DICE = """
    layer = network.get_layer("head_dense")
    noise = abs(hash("dice")) % 1000 * 1e-3
    layer.set_weights([weights + noise for weights in layer.get_weights()])
"""
"""Depends on the seed of Python's own hashes, as much that is made of sets does."""


def test_the_first_layer_that_differs_is_named(
    lock: Lock, tiny_params: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    project = lock()
    code = project / "src" / "convdepth"
    shutil.copytree(
        PROJECT / "src" / "convdepth", code, ignore=shutil.ignore_patterns("__pycache__")
    )
    train = code / "training" / "train.py"
    text = train.read_text()
    end = "    save_network(network, model)"
    assert end in text
    train.write_text(text.replace(end, f"{DICE}{end}"))
    with pytest.raises(IntegrityError, match="tiny"):
        print_repetitions(["tiny"], tiny_params, 1, project)
    verdict = capfd.readouterr().out.splitlines()[-1]
    assert "head_dense" in verdict
    assert "histories" not in verdict


def save(folder: Path, params: Path, biases: dict[str, float], loss: float) -> Training:
    """Write the outputs of a made-up training."""
    from convdepth.config.params import read_architecture
    from convdepth.models.archive import save_network
    from convdepth.models.backend import keras
    from convdepth.models.build import build_network

    folder.mkdir()
    keras.utils.set_random_seed(1)
    network = build_network(read_architecture("tiny", params))
    for name, bias in biases.items():
        kernel, old = network.get_layer(name).get_weights()
        network.get_layer(name).set_weights([kernel, old + np.float32(bias)])
    training = Training("tiny", "made-up", ["convdepth", "train"], folder, params, folder)
    save_network(network, training.model)
    training.history.write_text(f"epoch,loss\n1,{loss}\n")
    return training


def test_what_differs_is_named(tiny_params: Path, tmp_path: Path) -> None:
    one = save(tmp_path / "one", tiny_params, {}, 0.5)
    assert compare("tiny", tiny_params, one, one) == []
    other = save(tmp_path / "other", tiny_params, {"head_dense": 0.25, "softmax": 8}, 0.25)
    models, histories = compare("tiny", tiny_params, one, other)
    assert "head_dense" in models
    assert "0.25" in models
    assert "1,0.25" in histories


def test_a_member_that_differs_beside_equal_weights_is_named(
    tiny_params: Path, tmp_path: Path
) -> None:
    one, other = (save(tmp_path / name, tiny_params, {}, 0.5) for name in ("one", "other"))
    with zipfile.ZipFile(other.model, "a") as archive:
        archive.comment = b"other"
    (text,) = compare("tiny", tiny_params, one, other)
    assert "order" in text


def stub_trainings(monkeypatch: pytest.MonkeyPatch) -> list[Training]:
    """Write files in place of training; gives the trainings that were run."""
    ran: list[Training] = []

    def run(trainings: Sequence[Training], _threads: int) -> list[Training]:
        ran.extend(trainings)
        for training in trainings:
            training.folder.mkdir()
            training.model.write_text("made")
            training.history.write_text("made")
        return list(trainings)

    monkeypatch.setattr(twice, "run_trainings", run)
    return ran


@pytest.mark.parametrize(
    ("epochs", "content", "is_recorded"),
    [(None, "made", True), (None, "other", False), (1, "made", None)],
)
def test_the_recorded_files_are_recognised(
    lock: Lock,
    tiny_params: Path,
    monkeypatch: pytest.MonkeyPatch,
    epochs: int | None,
    content: str,
    is_recorded: bool | None,
) -> None:
    stub_trainings(monkeypatch)
    project = lock(md5=md5_of(content.encode()))
    repetition = train_twice("tiny", tiny_params, epochs, project)
    assert (repetition.differences, repetition.is_recorded) == ([], is_recorded)


def test_a_network_that_was_not_trained_is_refused_before_any_training(
    lock: Lock, tiny_params: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = stub_trainings(monkeypatch)
    with pytest.raises(ParameterError, match="cnn9"):
        print_repetitions(["tiny", "cnn9"], tiny_params, None, lock())
    assert ran == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_trainings_end_with_the_command(
    lock: Lock, tmp_path: Path, number: signal.Signals
) -> None:
    project = lock()
    (tmp_path / "temporary").mkdir()
    with subprocess.Popen(
        [COMMAND, "verify", "--twice", "tiny", "--epochs", "10000"],
        cwd=project,
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
