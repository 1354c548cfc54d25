"""The stage `digest`: the SHA-256 of a network's files, which git keeps.

A stage of DVC cannot list a file per network, and a folder still has the files of networks that
were removed. Stages that read the files of all networks depend on these digests instead.
"""

import hashlib
from pathlib import Path

from convdepth.core.errors import DataError
from convdepth.core.files import write_json


def main(model: Path, history: Path, predictions: Path, summary: Path) -> None:
    """Write the SHA-256 of three files of one network."""
    files = {"model": model, "history": history, "predictions": predictions}
    try:
        contents = {kind: path.read_bytes() for kind, path in files.items()}
    except OSError as error:
        raise DataError(
            f"{error.filename}: cannot be read: {error.strerror}. Run `dvc pull` or `dvc repro`."
        ) from error
    write_json(summary, {kind: hashlib.sha256(each).hexdigest() for kind, each in contents.items()})
