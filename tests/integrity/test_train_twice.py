"""Whether a second training gives the same bytes: with real trainings, in real processes."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from waiting import lives, wait_until

from conftest import PROJECT
from convdepth.config.params import read_params
from convdepth.core.errors import DataError, IntegrityError, ParameterError
from convdepth.core.hashes import hash_files
from convdepth.integrity import train_twice as repetition
from convdepth.integrity.train_twice import (
    Trained,
    change_epochs,
    compare,
    print_repetitions,
    redirect,
    train_twice,
)

pytestmark = pytest.mark.usefixtures("one_thread")

COMMAND = Path(sys.executable).parent / "convdepth"
GRAPH = "stages: {train: {foreach: '${architectures}', do: {cmd: convdepth train}}}"
Lock = Callable[..., Path]


@pytest.fixture
def lock(normalized: Path, tiny_params: Path) -> Lock:
    """Writes the lock of a project that has trained the tiny network; gives the project."""
    project = tiny_params.parent

    def write(options: str = f"--normalized '{normalized}'", md5: str = "f" * 32) -> Path:
        (project / "dvc.yaml").write_text(GRAPH)
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


def test_two_trainings_are_equal(
    lock: Lock, tiny_params: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    project = lock()
    before = sorted(project.rglob("*"))
    print_repetitions(["tiny"], tiny_params, None, project)
    *lines, verdict = capfd.readouterr().out.splitlines()
    assert verdict.startswith("tiny: trained twice, and the model and the history are equal; ")
    assert "; not equal to the model and the history that dvc.lock records, which" in verdict
    for run in ("first  |", "second |"):
        assert sum(line.startswith(f"{run} tiny  epoch") for line in lines) == 2
    assert sorted(project.rglob("*")) == before


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
    train = (code / "train.py").read_text()
    end = "    save_network(network, model)"
    assert end in train
    (code / "train.py").write_text(train.replace(end, f"{DICE}{end}"))
    with pytest.raises(IntegrityError, match="tiny: equal parameters, data and software gave othe"):
        print_repetitions(["tiny"], tiny_params, 1, project)
    verdict = capfd.readouterr().out.splitlines()[-1]
    assert "the models differ: head_dense is the first layer that does, by up to 0." in verdict
    assert "histories" not in verdict


@pytest.fixture
def trained(tmp_path: Path) -> Trained:
    folder = tmp_path / "second"
    folder.mkdir()
    (folder / "history.csv").write_text("epoch,loss\n1,0.5\n")
    return Trained(folder / "model.keras", folder / "history.csv")


def test_the_largest_difference_is_that_of_the_layer(
    trained: Trained, tiny_params: Path, tmp_path: Path
) -> None:
    import numpy as np

    from convdepth.config.params import read_architecture
    from convdepth.models.archive import save_network
    from convdepth.models.build import build_network

    network = build_network(read_architecture("tiny", tiny_params))
    save_network(network, trained.model)
    other = Trained(tmp_path / "other.keras", tmp_path / "other.csv")
    for name, largest in (("head_dense", 0.25), ("softmax", 8)):
        layer = network.get_layer(name)
        kernel, bias = layer.get_weights()
        layer.set_weights([kernel, bias + np.float32(largest) * (np.arange(len(bias)) == 1)])
    save_network(network, other.model)
    other.history.write_text("epoch,loss\n1,0.25\n")
    verdict = compare("tiny", tiny_params, trained, other)
    assert not verdict.equal
    assert "head_dense is the first layer that does, by up to 0.25; the hist" in verdict.text
    assert "the histories differ: '1,0.5' and '1,0.25'" in verdict.text


def test_equal_weights_in_another_archive_are_told(
    trained: Trained, tiny_params: Path, tmp_path: Path
) -> None:
    import hashlib
    import json
    import zipfile

    from convdepth.config.params import read_architecture
    from convdepth.models.archive import save_network
    from convdepth.models.build import build_network

    save_network(build_network(read_architecture("tiny", tiny_params)), trained.model)
    other = Trained(tmp_path / "other.keras", trained.history)
    with zipfile.ZipFile(trained.model) as old:
        members = {name: old.read(name) for name in old.namelist()}
    members["metadata.json"] += b" "
    digests = json.loads(members["sha256.json"])
    digests["metadata.json"] = hashlib.sha256(members["metadata.json"]).hexdigest()
    members["sha256.json"] = json.dumps(digests).encode()
    with zipfile.ZipFile(other.model, "w") as new:
        for name, content in members.items():
            new.writestr(name, content)
    verdict = compare("tiny", tiny_params, trained, other)
    assert not verdict.equal
    assert "all weights are equal, but not metadata.json" in verdict.text


def stub_trainings(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Put files in the place of trainings; gives which of them ran together."""
    groups: list[list[str]] = []

    def run(commands: dict[str, list[str]], *_: object) -> None:
        groups.append(list(commands))
        for command in commands.values():
            for option in ("--model", "--history"):
                path = Path(command[command.index(option) + 1])
                path.parent.mkdir(exist_ok=True)
                path.write_text("made")

    monkeypatch.setattr(repetition, "_run", run)
    return groups


def test_the_recorded_files_are_recognised(
    lock: Lock, tiny_params: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub_trainings(monkeypatch)
    made = tiny_params.parent / "made"
    made.write_text("made")
    project = lock(md5=hash_files([made])[made].md5)
    verdict = train_twice("tiny", tiny_params, project=project)
    assert verdict.text.endswith("are equal; they are what dvc.lock records")
    verdict = train_twice("tiny", tiny_params, 1, project)
    assert verdict.text.endswith("are equal")


@pytest.mark.parametrize(
    ("cores", "groups"), [({0, 1}, [["first", "second"]]), ({0}, [["first"], ["second"]])]
)
def test_they_run_side_by_side_if_there_are_cores_for_both(
    lock: Lock,
    tiny_params: Path,
    monkeypatch: pytest.MonkeyPatch,
    cores: set[int],
    groups: list[list[str]],
) -> None:
    ran = stub_trainings(monkeypatch)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: cores)
    train_twice("tiny", tiny_params, project=lock())
    assert ran == groups


def test_a_training_that_fails_ends_the_command_as_it_ended(
    lock: Lock, capfd: pytest.CaptureFixture[str], tiny_params: Path
) -> None:
    project = lock("--bogus x")
    with pytest.raises(ParameterError, match=r"the (first|second) training ended with exit"):
        train_twice("tiny", tiny_params, project=project)
    assert "No such option: --bogus" in capfd.readouterr().out


def test_a_network_that_was_not_trained_is_refused_before_any_training(
    lock: Lock, tiny_params: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = stub_trainings(monkeypatch)
    with pytest.raises(ParameterError, match="no trained network cnn9; there are tiny"):
        print_repetitions(["tiny", "cnn9"], tiny_params, None, lock())
    assert groups == []


def test_another_command_than_a_training_is_not_run(lock: Lock, tiny_params: Path) -> None:
    project = lock()
    text = (project / "dvc.lock").read_text()
    (project / "dvc.lock").write_text(text.replace("cmd: convdepth train", "cmd: sh -c train"))
    with pytest.raises(DataError, match=r"expected the command `convdepth train tiny \.\.\.`"):
        train_twice("tiny", tiny_params, project=project)


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


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", ""),
        ("  epochs: 12\n", "  epochs: 12   # enough\n"),
        ("  epochs: 12\n", "  epochs:\n    12\n"),
        ("train: ", "train:   "),
    ],
)
def test_only_the_epochs_change(params_text: str, tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(params_text.replace(old, new), encoding="utf-8")
    expected = read_params(path)
    text = change_epochs(path, 345)
    assert text.replace("345", "12") == path.read_text(encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    changed = expected.train.model_copy(update={"epochs": 345})
    assert read_params(path) == expected.model_copy(update={"train": changed})


def test_epochs_in_one_line_with_others(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("train: {epochs: 12, seed: 12}\nepochs: 12\n")
    assert change_epochs(path, 3) == "train: {epochs: 3, seed: 12}\nepochs: 12\n"


def test_epochs_that_stand_elsewhere_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("number: &number 12\ntrain: {epochs: *number}\n")
    with pytest.raises(ParameterError, match=r"train\.epochs: expected a plain number to put 3 in"):
        change_epochs(path, 3)


def test_what_a_training_writes_goes_elsewhere_and_what_it_reads_stays(tmp_path: Path) -> None:
    words = ["convdepth", "train", "x", "--model", "a", "--normalized", "n", "--history=b"]
    target = [
        "--model", str(tmp_path / "model.keras"),
        "--history", str(tmp_path / "history.csv"),
        "--checkpoints", str(tmp_path / "checkpoints"),
        "--params", "p",
    ]  # fmt: skip
    expected = [*words[:3], "--normalized", "n", *target]
    assert redirect(words, tmp_path, Path("p")) == expected
    more = [*words, "--checkpoints", "c", "--params=q"]
    assert redirect(more, tmp_path, Path("p")) == expected
