"""Checkpoints: whole or not used, two generations, and never for another training."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stand_in import stand_in

from convdepth.config.recipe import read_training
from convdepth.training.checkpoints import Checkpoints, describe_training, unfinished

FINGERPRINT = {
    "parameters": {"train": {"learning_rate": 0.001, "seed": 1}, "architecture": {"units": 8}},
    "data": "d",
    "code": "c",
    "numeric class": {"device": "a CPU", "threads": 1},
}


def history(epochs: int) -> list[dict[str, float]]:
    return [{"epoch": n, "loss": 1 / (3 * n)} for n in range(1, epochs + 1)]


@pytest.fixture
def kept(tmp_path: Path) -> Checkpoints:
    """The checkpoints after three epochs; after epoch n all weights are n."""
    kept = Checkpoints(tmp_path / "cnn", FINGERPRINT)
    for epochs in (1, 2, 3):
        kept.save(stand_in(epochs), history(epochs))
    return kept


def resumed(kept: Checkpoints) -> tuple[int, list[str]]:
    """Resume; see that weights and history are of one epoch, and return its number."""
    trainer = stand_in(0)
    found, unused = kept.resume(trainer)
    assert found == history(len(found))  # to the last bit
    for variable in (*trainer.weights, *trainer.optimizer.variables):
        np.testing.assert_array_equal(variable, len(found))
        assert variable.value.dtype == variable.dtype
    return len(found), unused


def test_two_generations_are_kept_and_the_newest_is_resumed(kept: Checkpoints) -> None:
    assert resumed(kept) == (3, [])
    assert sorted(path.name for path in kept.folder.iterdir()) == [
        *("epoch-0002.json", "epoch-0002.npz", "epoch-0003.json", "epoch-0003.npz")
    ]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "flipped": flip,
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "missing": Path.unlink,
    "no mapping": lambda path: path.write_bytes(b"[1]"),
    "of another epoch": lambda path: path.write_bytes(
        path.with_name(f"epoch-0002{path.suffix}").read_bytes()
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_a_damaged_one_gives_way_to_the_one_before(
    kept: Checkpoints, damage: str, suffix: str
) -> None:
    DAMAGES[damage](kept.folder / f"epoch-0003{suffix}")
    epochs, unused = resumed(kept)
    assert epochs == 2
    # Without a manifest nothing tells that there was a checkpoint.
    assert ("epoch 3" in "".join(unused)) == ((damage, suffix) != ("missing", ".json"))


def test_where_none_fits_the_training_starts_anew(kept: Checkpoints) -> None:
    assert kept.resume(stand_in(0, shape=(3, 3)))[0] == []
    for path in kept.folder.glob("*.npz"):
        flip(path)
    epochs, unused = resumed(kept)
    assert (epochs, len(unused)) == (0, 2)


def test_pickled_objects_are_not_loaded(kept: Checkpoints) -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            return Path.touch, (kept.root / "it ran",)

    archive = kept.folder / "epoch-0003.npz"
    np.savez(archive, **{"000 kernel": np.array([Hostile()], object)})
    manifest = archive.with_suffix(".json")
    digest = {"sha256": hashlib.sha256(archive.read_bytes()).hexdigest()}
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | digest))
    epochs, unused = resumed(kept)
    assert epochs == 2
    assert "allow_pickle=False" in unused[0]
    assert not (kept.root / "it ran").exists()


def test_another_training_does_not_use_them_and_names_the_differences(kept: Checkpoints) -> None:
    changes: dict[str, Any] = {
        "parameters": {"train": {"learning_rate": 0.002, "seed": 1}, "architecture": {}},
        "data": "other",
        "numeric class": {"device": "a CPU", "threads": 2},
    }
    other = Checkpoints(kept.root, FINGERPRINT | changes)
    epochs, (line,) = resumed(other)
    assert epochs == 0
    changed = ("data", "units", "train.learning_rate: 0.001 there, 0.002 here", "threads")
    assert all(part in line for part in ("epoch 3", *changed))
    assert "code" not in line
    other.save(stand_in(1), history(1))
    other.clear()
    assert resumed(kept) == (3, [])  # back to the former parameters: nothing is lost


def test_the_fingerprint_depends_on_names_and_content_of_the_data(tiny_params: Path) -> None:
    files = [tiny_params.with_name("a"), tiny_params.with_name("b")]
    training, digests = read_training("tiny", tiny_params), set()
    for contents in ("xy", "zy", "yx"):
        for path, content in zip(files, contents, strict=True):
            path.write_text(content)
        digests |= {describe_training(*training, files, "", {})["data"] for _ in range(2)}
    assert len(digests) == 3


def test_the_same_training_may_end_in_another_clone_meanwhile(
    kept: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    def clear_once(_descriptor: int) -> None:
        monkeypatch.undo()
        Checkpoints(kept.root, FINGERPRINT).clear()

    monkeypatch.setattr("os.fsync", clear_once)
    kept.save(stand_in(4), history(4))
    assert resumed(kept) == (4, [])


def test_unfinished_trainings_are_listed_until_they_end(kept: Checkpoints) -> None:
    (found,) = unfinished(kept.root)
    manifest = kept.folder / "epoch-0003.json"
    assert (found.path, found.epoch, found.fingerprint) == (manifest, 3, FINGERPRINT)
    manifest.write_text("damaged")
    assert unfinished(kept.root) == []
    for _ in range(2):
        kept.clear()
        assert not kept.root.exists()
        assert unfinished(kept.root) == []
