"""The message about how a run ended, against a web server that misbehaves."""

import datetime
import json
import logging
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tenacity import wait_none

from pipelines.deploy import webhook
from pipelines.deploy.webhook import ATTEMPTS, notify

SECRET = "T00/B00/xyzzy"


class Handler(BaseHTTPRequestHandler):
    """Notes what it is sent, and answers with the next of the server's answers."""

    server: "Server"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, self.headers["Content-Type"], json.loads(body)))
        answers = self.server.answers
        self.answer(answers.pop(0) if len(answers) > 1 else answers[0])

    def answer(self, status: int) -> None:
        if status == 0:  # silent
            self.server.released.wait(60)
            return
        self.send_response(status)
        self.send_header("Location", "/elsewhere")
        if status == 200:  # an answer without an end
            self.end_headers()
            self.wfile.write(b"ok")
            self.server.released.wait(60)
        else:
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """What it received, and what it answers; the last answer stays."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.received: list[tuple[str, str, Any]] = []
        self.answers = [204]
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/{SECRET}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(webhook, "_BACKOFF", wait_none())
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


def test_the_text_and_the_details_arrive(server: Server) -> None:
    details = {"commit": "abc", "changes": [{"network": "cnn1", "after": 0.99}]}
    assert notify(server.url, "got worse", details) is None
    ((path, kind, body),) = server.received
    assert (path, kind) == (f"/{SECRET}", "application/json")
    assert body == {"text": "got worse", **details}


def test_the_text_is_the_text_whatever_the_details(server: Server) -> None:
    assert notify(server.url, "got worse", {"text": "something else"}) is None
    assert server.received[0][2]["text"] == "got worse"


def test_what_json_does_not_have_is_written_out(server: Server) -> None:
    details = {
        "loss": float("nan"),
        "networks": {"cnn1": [float("inf"), 1.0, None]},
        "folder": Path("a/b"),
        "date": datetime.date(2026, 1, 31),
    }
    assert notify(server.url, "got worse", details) is None
    assert server.received[0][2] == {
        "text": "got worse",
        "loss": "nan",
        "networks": {"cnn1": ["inf", 1.0, None]},
        "folder": "a/b",
        "date": "2026-01-31",
    }


@pytest.mark.parametrize("url", [None, ""])
def test_without_an_address_nothing_is_sent(url: str | None) -> None:
    assert notify(url, "got worse", {}) is None


def test_a_failure_that_may_pass_is_tried_again(server: Server) -> None:
    server.answers = [503, 429, 204]
    assert notify(server.url, "got worse", {}) is None
    assert len(server.received) == 3


@pytest.mark.parametrize(
    ("status", "attempts", "words"),
    [
        (500, ATTEMPTS, "500 Internal Server Error"),
        (403, 1, "403 Forbidden"),
        (302, 1, "302 Found"),
    ],
)
def test_a_refusal_is_told_without_the_secret(
    server: Server, status: int, attempts: int, words: str
) -> None:
    server.answers = [status]
    assert notify(server.url, "got worse", {}) == (f"webhook: not sent: 127.0.0.1 answered {words}")
    assert [path for path, *_ in server.received] == [f"/{SECRET}"] * attempts


def test_a_silent_server_holds_nothing_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "TIMEOUT_SECONDS", 0.2)
    server.answers = [0]
    begin = time.monotonic()
    assert notify(server.url, "got worse", {}) == (
        "webhook: not sent: 127.0.0.1 was silent for 0.2 s"
    )
    assert time.monotonic() - begin < 30
    assert len(server.received) == ATTEMPTS


def test_an_answer_without_an_end_is_not_read(server: Server) -> None:
    server.answers = [200]
    assert notify(server.url, "got worse", {}) is None
    assert not server.released.is_set()


def test_a_server_that_is_gone_is_told_without_the_secret(server: Server) -> None:
    problem = notify(f"http://127.0.0.1:1/{SECRET}", "got worse", {})
    assert problem is not None
    assert problem.startswith("webhook: not sent: 127.0.0.1 cannot be reached: ")
    assert SECRET not in problem
    assert server.received == []


@pytest.mark.parametrize(
    "url", [f"ftp://host/{SECRET}", f"file:///{SECRET}", SECRET, f"https://:x/{SECRET}", "https://"]
)
def test_any_other_address_is_refused_without_the_secret(url: str) -> None:
    problem = notify(url, "got worse", {})
    assert problem is not None
    assert problem.startswith("webhook: not sent: ")
    assert SECRET not in problem


def test_details_that_cannot_be_sent_raise_nothing(server: Server) -> None:
    endless: dict[str, Any] = {}
    endless["itself"] = endless
    assert notify(server.url, "got worse", endless) == (
        "webhook: not sent: 127.0.0.1 was not asked: RecursionError"
    )


def test_no_log_has_the_secret(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    url = server.url.replace("http://", "http://somebody:password@")
    assert notify(url, "got worse", {}) is None
    logging.getLogger("httpx").info("another line")
    assert "httpcore.http11" in {record.name for record in caplog.records}
    assert "another line" in caplog.text
    assert SECRET not in caplog.text
    assert "password" not in caplog.text
