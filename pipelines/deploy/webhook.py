"""Tell somebody how a run ended: a message to a web address, as chat programs take them."""

import contextlib
import json
import logging
import math
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

ATTEMPTS = 3

TIMEOUT_SECONDS = 10.0
"""The longest wait for a connection, and for the next bytes."""

_BACKOFF = wait_exponential(multiplier=1.0, max=5)  # seconds: 1, 2, ...


def notify(url: str | None, text: str, details: Mapping[str, Any]) -> str | None:
    """Send a message, a few times if need be.

    Args:
        url: Where to, https or http. It is a secret: who knows it can send messages. None, and
            nothing is sent.
        text: For people.
        details: For programs; they become keys beside ``text``.

    Returns:
        What went wrong, for the log, with no more of the address than its host; None if nothing
        did. No error is raised: the run has ended, and a message does not change how.
    """
    if not url:
        return None
    try:
        address = httpx.URL(url)
        if address.scheme not in ("https", "http") or not address.host:
            return "webhook: not sent: the address must begin with https:// or http://"
    except httpx.InvalidURL:
        return "webhook: not sent: its address is not valid"
    retrying = Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        retry=retry_if_exception(_may_pass),
        wait=_BACKOFF,
        reraise=True,
    )
    try:
        with _unlogged(str(address)):
            retrying(_send, address, _encode({**details, "text": text}))
    except Exception as error:
        return f"webhook: not sent: {address.host} {_explain(error)}"
    return None


def _send(address: httpx.URL, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    # Streamed, so that an endless answer is not read; a redirect is not followed.
    with httpx.stream(
        "POST", address, content=content, headers=headers, timeout=TIMEOUT_SECONDS
    ) as response:
        response.raise_for_status()


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code == 429 or error.response.is_server_error
    return isinstance(error, httpx.TransportError)


def _explain(error: Exception) -> str:
    # httpx has the whole address in some of its messages.
    match error:
        case httpx.HTTPStatusError(response=response):
            return f"answered {response.status_code} {response.reason_phrase}".rstrip()
        case httpx.TimeoutException():
            return f"was silent for {TIMEOUT_SECONDS:g} s"
        case httpx.NetworkError():
            return f"cannot be reached: {error}"
    return f"was not asked: {type(error).__name__}"


def _encode(content: Mapping[str, Any]) -> bytes:
    return json.dumps(_plain(content), default=str).encode()


def _plain(value: Any) -> Any:
    """Write out the numbers that JSON does not have: a loss that is not one is news."""
    match value:
        case Mapping():
            return {str(key): _plain(entry) for key, entry in value.items()}
        case list() | tuple():
            return [_plain(entry) for entry in value]
        case float() if not math.isfinite(value):
            return str(value)
    return value


@contextlib.contextmanager
def _unlogged(secret: str) -> Iterator[None]:
    """Keep the address out of httpx's own log."""

    def has_no_secret(record: logging.LogRecord) -> bool:
        return secret not in record.getMessage()

    logger = logging.getLogger("httpx")
    logger.addFilter(has_no_secret)
    try:
        yield
    finally:
        logger.removeFilter(has_no_secret)
