"""The fingerprint of a training: all that its result depends on, and in what two of them differ.

It needs no TensorFlow, so `convdepth doctor` can ask in a moment what a training will ask.
"""

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from convdepth.architecture import Architecture
from convdepth.params import Train


def describe_training(
    architecture: Architecture,
    recipe: Train,
    data: Sequence[Path],
    code: Sequence[Path],
    numeric_class: Mapping[str, Any],
) -> dict[str, Any]:
    """Name all that the result of a training depends on.

    Args:
        architecture: What is trained.
        recipe: How.
        data: The files of the normalized arrays.
        code: The files of the modules that train.
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
        "code": digest_files(code),
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


def source_files(module: Path) -> list[Path]:
    """List the files of this package that a module imports, directly or not, and its own.

    Args:
        module: The file of a module of this package.

    Returns:
        The files in order of their names.
    """
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        path = waiting.pop()
        if path not in found and path.is_file():
            found.add(path)
            waiting += _imported(path)
    return sorted(found)


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


def _imported(path: Path) -> Iterator[Path]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("convdepth."):
            yield path.with_name(f"{(node.module or '').partition('.')[2]}.py")


def _different_values(there: Mapping[str, Any], here: Mapping[str, Any], prefix: str = "") -> Any:
    for key in sorted({*there, *here}):
        one, other = there.get(key), here.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            yield from _different_values(one, other, f"{prefix}{key}.")
        elif one != other:
            yield f"{prefix}{key}: {json.dumps(one)} there, {json.dumps(other)} here"
