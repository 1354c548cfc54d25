"""Checkpoints: whole or not used, two generations, and never those of another training."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convdepth.core import files
from convdepth.core.errors import MachineError
from convdepth.training import checkpoints
from convdepth.training.checkpoints import Checkpoints, State, unfinished

FINGERPRINT = {
    "parameters": {"train": {"learning_rate": 0.001, "seed": 1}, "architecture": {"units": 8}},
    "data": "d",
    "code": "c",
    "numeric class": {"device": "a CPU", "threads": 1},
}


def arrays(value: float) -> dict[str, np.ndarray]:
    return {"000 kernel": np.full((3, 2), value, np.float32), "001 step": np.int64(value)}


def state(epochs: int) -> State:
    history = [{"epoch": n, "loss": 1 / (3 * n)} for n in range(1, epochs + 1)]
    return State(arrays(epochs), history)


@pytest.fixture
def kept(tmp_path: Path) -> Checkpoints:
    """Those of a training after three epochs."""
    kept = Checkpoints(tmp_path / "cnn", FINGERPRINT)
    for epochs in (1, 2, 3):
        kept.save(state(epochs))
    return kept


def restored(kept: Checkpoints) -> tuple[int, list[str]]:
    """How many epochs of the state that was restored are done, and what was said."""
    found, said = kept.restore(arrays(0))
    if found is None:
        return 0, said
    epochs = len(found.history)
    assert found.history == state(epochs).history  # to the last bit
    for name, array in arrays(epochs).items():
        np.testing.assert_array_equal(found.arrays[name], array)
        assert found.arrays[name].dtype == array.dtype
    return epochs, said


def test_the_newest_state_comes_back_to_the_last_bit(kept: Checkpoints) -> None:
    assert restored(kept) == (3, [])


def test_two_generations_are_kept(kept: Checkpoints) -> None:
    assert sorted(path.name for path in kept.folder.iterdir()) == [
        "epoch-0002.json",
        "epoch-0002.npz",
        "epoch-0003.json",
        "epoch-0003.npz",
    ]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "flipped": flip,
    "empty": lambda path: path.write_bytes(b""),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "missing": lambda path: path.unlink(),
    "no mapping": lambda path: path.write_bytes(b"[1]"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_a_damaged_one_gives_way_to_the_one_before(
    kept: Checkpoints, damage: str, suffix: str
) -> None:
    path = kept.folder / f"epoch-0003{suffix}"
    DAMAGES[damage](path)
    epochs, said = restored(kept)
    assert epochs == 2
    if path.exists() or suffix == ".npz":  # without a manifest nothing tells that there was one
        assert "epoch 3" in said[0]


def test_where_all_are_damaged_the_training_starts_anew(kept: Checkpoints) -> None:
    for path in kept.folder.glob("*.npz"):
        flip(path)
    epochs, said = restored(kept)
    assert epochs == 0
    assert all(f"epoch {n}" in line for n, line in zip((3, 2), said, strict=True))
    assert all("SHA-256" in line for line in said)


def test_pickled_objects_are_not_loaded(kept: Checkpoints) -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            return Path.touch, (kept.root / "it ran",)

    archive = kept.folder / "epoch-0003.npz"
    np.savez(archive, **{"000 kernel": np.array([Hostile()], object)})
    manifest = archive.with_suffix(".json")
    entries = json.loads(manifest.read_text())
    entries["sha256"] = checkpoints.hashlib.sha256(archive.read_bytes()).hexdigest()
    manifest.write_text(json.dumps(entries))
    epochs, said = restored(kept)
    assert epochs == 2
    assert "allow_pickle=False" in said[0]
    assert not (kept.root / "it ran").exists()


def test_other_shapes_are_not_used(kept: Checkpoints) -> None:
    found, said = kept.restore({"000 kernel": np.zeros((3, 3), np.float32)})
    assert found is None
    assert "000 kernel" in said[0]


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        ({"data": "other"}, ["data"]),
        ({"code": "other"}, ["code"]),
        ({"numeric class": {"device": "a CPU", "threads": 2}}, ["numeric class", "threads"]),
        (
            {"parameters": {"train": {"learning_rate": 0.002, "seed": 1}, "architecture": {}}},
            ["architecture.units", "train.learning_rate", "0.001", "0.002"],
        ),
    ],
)
def test_those_of_another_training_are_left_alone_and_the_differences_are_named(
    kept: Checkpoints, changes: dict[str, Any], reasons: list[str]
) -> None:
    other = Checkpoints(kept.root, FINGERPRINT | changes)
    epochs, said = restored(other)
    assert epochs == 0
    (line,) = said
    assert all(each in line for each in ("epoch 3", str(kept.folder), *reasons))
    other.save(state(1))
    other.clear()
    assert restored(kept) == (3, [])  # back to the former parameters: nothing is lost


def test_nothing_is_left_of_a_training_that_has_ended(kept: Checkpoints) -> None:
    kept.clear()
    assert not kept.root.exists()
    kept.clear()


@pytest.mark.parametrize("interfere", [lambda root: (root / "new").mkdir(), Path.rmdir])
def test_another_clone_may_use_or_remove_the_folder_meanwhile(
    kept: Checkpoints, monkeypatch: pytest.MonkeyPatch, interfere: Callable[[Path], None]
) -> None:
    def rmdir(path: Path) -> None:
        monkeypatch.undo()
        interfere(path)
        path.rmdir()

    monkeypatch.setattr(Path, "rmdir", rmdir)
    kept.clear()
    assert not kept.folder.exists()


@pytest.mark.parametrize("failing", [0, 1])
def test_a_checkpoint_that_cannot_be_written_leaves_the_former_ones(
    kept: Checkpoints, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    calls = []

    def full(path: Path) -> None:
        calls.append(path)
        if len(calls) > failing:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "_fsync", full)
    with pytest.raises(MachineError, match=r"epoch-0004\.npz: .*No space left"):
        kept.save(state(4))
    monkeypatch.undo()
    assert restored(kept)[0] == 3


def test_unfinished_trainings_are_listed(kept: Checkpoints, tmp_path: Path) -> None:
    (found,) = unfinished(kept.root)
    assert found.path == kept.folder / "epoch-0003.json"
    assert found.epoch == 3
    assert found.bytes == sum(path.stat().st_size for path in kept.folder.iterdir())
    assert found.fingerprint == FINGERPRINT
    assert unfinished(tmp_path / "none") == []


def test_the_same_training_may_end_in_another_clone_meanwhile(
    kept: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Checkpoints(kept.root, FINGERPRINT)
    fsync = files._fsync

    def clear_once(path: Path) -> None:
        monkeypatch.undo()
        other.clear()
        fsync(path)

    monkeypatch.setattr(files, "_fsync", clear_once)
    kept.save(state(4))
    assert restored(kept) == (4, [])
