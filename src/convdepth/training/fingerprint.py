"""The fingerprint of a training: all that its result depends on.

It needs no TensorFlow, so `convdepth doctor` computes it at once.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from convdepth.config.architecture import Architecture
from convdepth.config.recipe import Train


def describe_training(
    architecture: Architecture,
    recipe: Train,
    data: Sequence[Path],
    code: str,
    numeric_class: Mapping[str, Any],
) -> dict[str, Any]:
    """Return all that the result of a training depends on, as JSON has it.

    ``data`` are the files of the normalized arrays, ``code`` is a `code_digests.Code.digest`, and
    ``numeric_class`` is from `numeric_class.describe_numeric_class`.

    Raises:
        OSError: A file cannot be read.
    """
    return {
        "parameters": {
            "architecture": architecture.model_dump(mode="json"),
            "train": recipe.model_dump(mode="json"),
        },
        "data": digest_files(data),
        "code": code,
        "numeric class": dict(numeric_class),
    }


def digest_files(paths: Iterable[Path]) -> str:
    """Return one SHA-256 for the names and the contents of files, in the given order.

    Raises:
        OSError: A file cannot be read.
    """
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.name} {content}\n".encode())
    return digest.hexdigest()


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[str]:
    """Yield the parts that differ, such as ``parameters (train.seed: 2 there, 1 here)``."""
    for part in sorted({*there, *here}):
        one, other = there.get(part), here.get(part)
        if one == other:
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            yield f"{part} ({', '.join(_different_values(one, other))})"
        else:
            yield part


def _different_values(
    there: Mapping[str, Any], here: Mapping[str, Any], prefix: str = ""
) -> Iterator[str]:
    for key in sorted({*there, *here}):
        one, other = there.get(key), here.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            yield from _different_values(one, other, f"{prefix}{key}.")
        elif one != other:
            yield f"{prefix}{key}: {json.dumps(one)} there, {json.dumps(other)} here"
