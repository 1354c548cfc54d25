"""The fingerprint of a training: all that its result depends on, and in what two of them differ.

It needs no TensorFlow, so `convdepth doctor` computes it in a moment.
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
    """Name all that the result of a training depends on.

    Args:
        architecture: What is trained.
        recipe: How.
        data: The files of the normalized arrays.
        code: Digest of the code that trains, see `code_digests.Code.digest`.
        numeric_class: On what, see `numeric_class.describe_numeric_class`.

    Returns:
        parameters, data, code and numeric class, as JSON has them.

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
    """Give one SHA-256 for the names and the content of some files.

    Args:
        paths: The files, in an order that is always the same.

    Raises:
        OSError: One cannot be read.
    """
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.name} {content}\n".encode())
    return digest.hexdigest()


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[str]:
    """Say which parts of two fingerprints differ; of mappings, which values.

    Args:
        there: One of them.
        here: The other one.

    Returns:
        Texts such as ``code``, or ``parameters (train.seed: 2 there, 1 here)``.
    """
    for part in sorted({*there, *here}):
        one, other = there.get(part), here.get(part)
        if one == other:
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            values = ", ".join(_different_values(one, other))
            yield f"{part} ({values})"
        else:
            yield part


def _different_values(there: Mapping[str, Any], here: Mapping[str, Any], prefix: str = "") -> Any:
    for key in sorted({*there, *here}):
        one, other = there.get(key), here.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            yield from _different_values(one, other, f"{prefix}{key}.")
        elif one != other:
            yield f"{prefix}{key}: {json.dumps(one)} there, {json.dumps(other)} here"
