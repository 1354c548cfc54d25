"""`.keras` archives: equal bytes for equal networks, and nothing but weights is read."""

import json
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archives import digests_of, members_of, with_digests, zipped
from hypothesis import given
from hypothesis import strategies as st
from properties import cases, damaged

from conftest import PROJECT
from convdepth.config.params import read_params
from convdepth.core.errors import IntegrityError
from convdepth.models.archive import DIGESTS, MEMBERS, WEIGHTS, load_weights, save_network
from convdepth.models.backend import keras
from convdepth.models.build import build_network

pytestmark = pytest.mark.usefixtures("one_thread")

ARCHITECTURES = read_params(PROJECT / "params.yaml").architectures
CNN3 = ARCHITECTURES["cnn3"]

Damage = Callable[[Path], Any]


def saved(path: Path, seed: int = 1) -> Path:
    save_network(build_network(CNN3, seed=seed), path)
    return path


def with_members(changes: dict[str, bytes | None], fitting: bool = False) -> Damage:
    """Return a function that changes or removes members, on request with digests that fit."""

    def damage(path: Path) -> None:
        members = members_of(path.read_bytes()) | changes
        members = {name: content for name, content in members.items() if content is not None}
        path.write_bytes(with_digests(members) if fitting else zipped(members))

    return damage


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return saved(tmp_path / "a.keras")


def test_equal_networks_give_equal_bytes_at_any_time(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = time.time() + 100_000
    monkeypatch.setattr(time, "time", lambda: later)
    assert saved(tmp_path / "second.keras").read_bytes() == path.read_bytes()
    assert saved(tmp_path / "third.keras", seed=2).read_bytes() != path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.namelist() == sorted(MEMBERS)
    members = members_of(path.read_bytes())
    assert b"date_saved" not in members["metadata.json"]
    assert json.loads(members[DIGESTS]) == digests_of(members)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_loading_brings_the_weights_back(path: Path, precision: str) -> None:
    network, expected = build_network(CNN3, precision, seed=5), build_network(CNN3, seed=1)
    load_weights(network, path)
    for each in (network, keras.models.load_model(path)):  # Keras itself can load it
        assert [layer.name for layer in each.layers] == [layer.name for layer in expected.layers]
        for found, weight in zip(each.get_weights(), expected.get_weights(), strict=True):
            np.testing.assert_array_equal(found, weight)


def without_signatures(path: Path) -> None:
    """Damage HDF5's tables of names, on which h5py raises a RuntimeError."""
    content = members_of(path.read_bytes())[WEIGHTS].replace(b"SNOD", bytes(4))
    with_members({WEIGHTS: content}, fitting=True)(path)


DAMAGES: dict[str, tuple[Damage, str]] = {
    "missing": (Path.unlink, "No such file"),
    "text": (lambda path: path.write_bytes(b"no archive"), "zip"),
    "no weights": (with_members({WEIGHTS: None}), "members"),
    "a path that leaves": (with_members({"../outside": b"x"}), "outside"),
    "a pickle": (with_members({"assets/tokenizer.pkl": b"x"}), "tokenizer"),
    "digests of another type": (with_members({DIGESTS: b"[]"}), "SHA-256"),
    "other weights": (with_members({WEIGHTS: b"other"}), r"model\.weights\.h5: SHA-256"),
    "a bomb": (with_members({WEIGHTS: bytes(100_000_000)}, fitting=True), "larger than"),
    "no HDF5": (with_members({WEIGHTS: b"no HDF5"}, fitting=True), "file signature"),
    "damaged HDF5": (without_signatures, "symbol table"),
    "no configuration": (with_members({"config.json": b"[1]"}, fitting=True), r"config\.json"),
    "deep": (with_members({"config.json": b"[" * 100_000}, fitting=True), r"config\.json"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_archive_is_refused(path: Path, name: str) -> None:
    damage, reason = DAMAGES[name]
    damage(path)
    left = list(path.parent.iterdir())
    with pytest.raises(IntegrityError, match=rf"a\.keras: .*{reason}.*dvc repro") as caught:
        load_weights(build_network(CNN3), path)
    assert caught.value.exit_code == 7
    assert list(path.parent.iterdir()) == left


@cases(40)
@given(st.data())
def test_any_damage_is_refused_or_changes_no_weight(path: Path, data: st.DataObject) -> None:
    content = path.read_bytes()
    path.write_bytes(data.draw(damaged(content)))
    network, expected = build_network(CNN3, seed=2), build_network(CNN3, seed=1)
    with suppress(IntegrityError):
        load_weights(network, path)
        for found, weight in zip(network.get_weights(), expected.get_weights(), strict=True):
            np.testing.assert_array_equal(found, weight)
    path.write_bytes(content)


def add_lambda(layers: list[dict[str, Any]]) -> None:
    code = {"class_name": "__lambda__", "config": {"code": "hostile"}}
    layer = {"module": "keras.layers", "class_name": "Lambda", "registered_name": None}
    layers.append(layer | {"config": {"name": "run", "function": code}})


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (add_lambda, "Lambda run"),
        (lambda layers: layers[1].update(class_name="Lambda"), "Lambda block1_conv1"),
        (lambda layers: layers.pop(), "fewer layers"),
    ],
)
def test_layers_that_are_not_those_of_the_network_are_refused(
    path: Path, change: Callable[[list[dict[str, Any]]], None], found: str
) -> None:
    config = json.loads(members_of(path.read_bytes())["config.json"])
    change(config["config"]["layers"])
    with_members({"config.json": json.dumps(config).encode()}, fitting=True)(path)
    with pytest.raises(IntegrityError, match=rf"a\.keras: .*params\.yaml: .*{found}\."):
        load_weights(build_network(CNN3), path)
    with pytest.raises(IntegrityError, match=r"a\.keras: .*params\.yaml"):
        load_weights(build_network(ARCHITECTURES["cnn5"]), saved(path))
