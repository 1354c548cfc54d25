"""`.keras` archives: equal bytes for equal content, and nothing but weights is read."""

import hashlib
import io
import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import PROJECT
from convdepth.config.params import read_params
from convdepth.core.errors import IntegrityError, MachineError
from convdepth.models import archive as archive_module
from convdepth.models.archive import MEMBERS, load_weights, save_network
from convdepth.models.backend import keras
from convdepth.models.build import build_network

pytestmark = pytest.mark.usefixtures("one_thread")

ARCHITECTURES = read_params(PROJECT / "params.yaml").architectures


def saved(path: Path, seed: int = 1) -> Path:
    save_network(build_network(ARCHITECTURES["cnn3"], seed=seed), path)
    return path


def test_equal_networks_give_equal_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = saved(tmp_path / "first.keras").read_bytes()
    later = time.time() + 100_000
    monkeypatch.setattr(time, "time", lambda: later)
    assert saved(tmp_path / "second.keras").read_bytes() == first
    assert saved(tmp_path / "third.keras", seed=2).read_bytes() != first


def test_nothing_in_the_archive_tells_when_it_was_made(tmp_path: Path) -> None:
    with zipfile.ZipFile(saved(tmp_path / "a.keras")) as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.namelist() == sorted(archive.namelist())
        assert b"date_saved" not in archive.read("metadata.json")


def test_keras_itself_can_load_it(tmp_path: Path) -> None:
    network = keras.models.load_model(saved(tmp_path / "a.keras"))
    expected = build_network(ARCHITECTURES["cnn3"], seed=1)
    assert [layer.name for layer in network.layers] == [layer.name for layer in expected.layers]
    for found, weight in zip(network.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(found, weight)


def test_loading_brings_the_weights_back(tmp_path: Path) -> None:
    network = build_network(ARCHITECTURES["cnn3"], seed=5)
    load_weights(network, saved(tmp_path / "a.keras", seed=1))
    expected = build_network(ARCHITECTURES["cnn3"], seed=1)
    for found, weight in zip(network.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(found, weight)


def rezip(path: Path, replace: dict[str, bytes]) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(content, "w") as new:
        for name in old.namelist():
            if replace.get(name) != b"":
                new.writestr(name, replace.get(name, old.read(name)))
    path.write_bytes(content.getvalue())


def flip_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no archive"),
        lambda path: path.write_bytes(path.read_bytes()[:-1000]),
        flip_byte,
        lambda path: rezip(path, {"model.weights.h5": b""}),
        lambda path: rezip(path, {"model.weights.h5": b"no weights"}),
    ],
    ids=["missing", "empty", "text", "cut short", "flipped", "no weights", "bad weights"],
)
def test_a_damaged_archive_is_refused(tmp_path: Path, damage) -> None:  # noqa: ANN001
    path = saved(tmp_path / "a.keras")
    damage(path)
    with pytest.raises(IntegrityError, match=r"a\.keras"):
        load_weights(build_network(ARCHITECTURES["cnn3"]), path)


def test_the_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"a\.keras: its weights do not fit"):
        load_weights(build_network(ARCHITECTURES["cnn5"]), saved(tmp_path / "a.keras"))


def describe(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the configuration in an archive, with a digest that fits."""
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
        digests = json.loads(archive.read("sha256.json"))
    change(config)
    content = json.dumps(config).encode()
    digests["config.json"] = hashlib.sha256(content).hexdigest()
    rezip(path, {"config.json": content, "sha256.json": json.dumps(digests).encode()})


def add_lambda(config: dict[str, Any]) -> None:
    code = {"class_name": "__lambda__", "config": {"code": "hostile"}}
    layer = {"module": "keras.layers", "class_name": "Lambda", "registered_name": None}
    config["config"]["layers"].append(layer | {"config": {"name": "run", "function": code}})


def make_lambda(config: dict[str, Any]) -> None:
    config["config"]["layers"][1]["class_name"] = "Lambda"


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (add_lambda, "it describes Lambda run"),
        (make_lambda, "it describes Lambda block1_conv1"),
        (lambda config: config["config"]["layers"].pop(), "it describes fewer layers"),
    ],
)
def test_layers_that_are_not_those_of_the_network_are_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], found: str
) -> None:
    path = saved(tmp_path / "a.keras")
    describe(path, change)
    with pytest.raises(IntegrityError, match=rf"a\.keras: its weights do not fit .*: {found}\."):
        load_weights(build_network(ARCHITECTURES["cnn3"]), path)


@pytest.mark.parametrize("content", [b"no configuration", b"[1]", b"{}", b"[" * 100_000])
def test_a_configuration_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    path = saved(tmp_path / "a.keras")
    rezip(path, {"config.json": content})
    with pytest.raises(IntegrityError, match=r"config\.json: SHA-256 differs"):
        load_weights(build_network(ARCHITECTURES["cnn3"]), path)
    digests = {"config.json": hashlib.sha256(content).hexdigest()}
    with zipfile.ZipFile(path) as archive:
        digests = json.loads(archive.read("sha256.json")) | digests
    rezip(path, {"sha256.json": json.dumps(digests).encode()})
    with pytest.raises(IntegrityError, match=r"a\.keras: expected the \.keras archive"):
        load_weights(build_network(ARCHITECTURES["cnn3"]), path)


def test_both_precisions_read_the_same_archive(tmp_path: Path) -> None:
    load_weights(
        build_network(ARCHITECTURES["cnn3"], "mixed_bfloat16"), saved(tmp_path / "a.keras")
    )


def test_no_room_for_a_temporary_folder_is_not_taken_for_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(archive_module.tempfile, "TemporaryDirectory", full)
    with pytest.raises(MachineError, match="temporary folder cannot be made: No usable"):
        load_weights(build_network(ARCHITECTURES["cnn3"]), saved(tmp_path / "a.keras"))


def test_a_failed_write_keeps_the_former_file(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.keras")
    former = path.read_bytes()
    network = build_network(ARCHITECTURES["cnn3"], seed=2)

    def no_space(_: Path) -> None:
        raise OSError(28, "No space left on device")

    network.save = no_space
    with pytest.raises(MachineError, match=r"a\.keras: .*No space left"):
        save_network(network, path)
    assert path.read_bytes() == former
    assert list(tmp_path.iterdir()) == [path]


LIMITED = """
import resource, sys
from pathlib import Path
from convdepth.models.archive import save_network
from convdepth.models.build import build_network
from convdepth.config.params import read_architecture
limit, params, path = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
network = build_network(read_architecture("cnn3", params), seed=2)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
save_network(network, path)
"""


@pytest.mark.parametrize("missing", [200_000, 1])
def test_a_full_disk_keeps_the_former_file(tmp_path: Path, missing: int) -> None:
    # The limit of a file's size stands for a disk that is full just there.
    path = saved(tmp_path / "a.keras")
    former = path.read_bytes()
    limit = str(len(former) - missing)
    finished = subprocess.run(
        [sys.executable, "-c", LIMITED, limit, str(PROJECT / "params.yaml"), str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "MachineError" in finished.stderr
    assert "a.keras: cannot be written: File too large" in finished.stderr
    assert path.read_bytes() == former
    assert list(tmp_path.iterdir()) == [path]


def test_each_member_has_its_digest(tmp_path: Path) -> None:
    with zipfile.ZipFile(saved(tmp_path / "a.keras")) as archive:
        assert set(archive.namelist()) == MEMBERS
        digests = json.loads(archive.read("sha256.json"))
        assert digests == {
            name: hashlib.sha256(archive.read(name)).hexdigest()
            for name in archive.namelist()
            if name != "sha256.json"
        }


def test_weights_that_zip_takes_for_good_are_refused_by_their_digest(tmp_path: Path) -> None:
    path, other = saved(tmp_path / "a.keras"), saved(tmp_path / "b.keras", seed=2)
    with zipfile.ZipFile(other) as archive:
        rezip(path, {"model.weights.h5": archive.read("model.weights.h5")})
    with pytest.raises(IntegrityError, match=r"model\.weights\.h5: SHA-256 differs"):
        load_weights(build_network(ARCHITECTURES["cnn3"]), path)


def add_member(path: Path, name: str, content: bytes) -> None:
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)


def with_weights(path: Path, weights: bytes) -> None:
    """Put other weights into an archive, with a digest that fits, compressed."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["model.weights.h5"] = weights
    digests = json.loads(members["sha256.json"])
    digests["model.weights.h5"] = hashlib.sha256(weights).hexdigest()
    members["sha256.json"] = json.dumps(digests).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: add_member(path, "../outside", b"x"), "its members are"),
        (lambda path: add_member(path, "assets/tokenizer.pkl", b"x"), "its members are"),
        (lambda path: rezip(path, {"sha256.json": b""}), "its members are"),
        (lambda path: rezip(path, {"sha256.json": b"[]"}), "SHA-256 differs: expected None"),
        (lambda path: rezip(path, {"sha256.json": b"{"}), "Expecting property name"),
        (lambda path: rezip(path, {"sha256.json": b"{}"}), "SHA-256 differs: expected None"),
        (lambda path: with_weights(path, bytes(100_000_000)), "at most .* bytes, got more"),
        (lambda path: with_weights(path, b"no HDF5"), "file signature not found"),
    ],
)
def test_an_archive_that_is_made_up_is_refused(tmp_path: Path, damage, reason: str) -> None:  # noqa: ANN001
    path = saved(tmp_path / "a.keras")
    damage(path)
    with pytest.raises(IntegrityError, match=rf"a\.keras: .*{reason}.*dvc repro"):
        load_weights(build_network(ARCHITECTURES["cnn3"]), path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_while_weights_are_read_is_not_taken_for_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise MachineError("no space")

    monkeypatch.setattr(archive_module, "write_bytes", full)
    with pytest.raises(MachineError, match="no space"):
        load_weights(build_network(ARCHITECTURES["cnn3"]), saved(tmp_path / "a.keras"))
