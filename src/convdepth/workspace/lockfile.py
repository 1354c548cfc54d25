"""What `dvc.lock` says of the trainings, read without DVC and its seconds of import."""

import shlex
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from convdepth.core.errors import DataError, ParameterError

LOCK = Path("dvc.lock")
"""Where DVC records the outputs of each stage."""


def read_lock_entries(lock: Path) -> dict[str, Any]:
    """Read the entries of a ``dvc.lock`` by stage.

    Raises:
        DataError: The file is missing or malformed.
    """
    try:
        return dict(YAML(typ="safe").load(lock)["stages"])
    except OSError as error:
        raise DataError(
            f"{lock}: cannot be read: {error.strerror}. Run in the project's folder, "
            f"after `make repro`."
        ) from error
    except (YAMLError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{lock}: is no DVC lock: {error}. Run `git checkout {lock}`.") from error


def trained_networks(project: Path = Path()) -> list[str]:
    """List the architectures that ``dvc.lock`` has a training of; errors as `read_lock_entries`."""
    return _trained(read_lock_entries(project / LOCK))


def model_path(name: str, lock: Path = LOCK) -> Path:
    """Return the path of the newest model of an architecture; the file exists.

    Raises:
        ParameterError: ``dvc.lock`` has no training of this architecture.
        DataError: The lock is missing or malformed, or the model is not in this workspace.
    """
    outs: list[Path] = [lock.parent / out["path"] for out in _read_training(name, lock)["outs"]]
    (path,) = (out for out in outs if out.suffix == ".keras")
    if not path.exists():
        raise DataError(
            f"{path}: is not in this workspace. Run `dvc checkout`, `dvc pull` or `dvc repro`."
        )
    return path


def training_command(name: str, project: Path = Path()) -> list[str]:
    """Return the words of the command that trained a network: ``convdepth train <name> ...``.

    Raises:
        ParameterError: ``dvc.lock`` has no training of this architecture.
        DataError: The lock is missing or malformed, or records another command.
    """
    lock = project / LOCK
    return split_training(lock, name, _read_training(name, lock).get("cmd"))


def split_training(file: Path, name: str, command: object) -> list[str]:
    """Split a training's command from ``file`` into words.

    Raises:
        DataError: It is not ``convdepth train <name> ...``.
    """
    words = shlex.split(command) if isinstance(command, str) else []
    if words[:3] != ["convdepth", "train", name]:
        raise DataError(
            f"{file}: train@{name}.cmd: expected `convdepth train {name} ...`, got {command!r}. "
            f"Run `git checkout {file}`."
        )
    return words


def _trained(stages: dict[str, Any]) -> list[str]:
    return [name.removeprefix("train@") for name in stages if name.startswith("train@")]


def _read_training(name: str, lock: Path) -> dict[str, Any]:
    stages = read_lock_entries(lock)
    if name not in _trained(stages):
        raise ParameterError(
            f"{lock}: no training of {name}; there are {', '.join(_trained(stages)) or 'none'}. "
            f"Run `dvc repro train@{name}`."
        )
    return dict(stages[f"train@{name}"])
