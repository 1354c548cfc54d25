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
    """Read the entries of a ``dvc.lock`` by stage."""
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
    """List the architectures that ``dvc.lock`` has a training of."""
    stages = read_lock_entries(project / LOCK)
    return [name.removeprefix("train@") for name in stages if name.startswith("train@")]


def model_path(name: str, project: Path = Path()) -> Path:
    """Return the path of the newest model of an architecture; a missing file is a `DataError`."""
    outs: list[Path] = [project / out["path"] for out in _read_training(name, project)["outs"]]
    (path,) = (out for out in outs if out.suffix == ".keras")
    if not path.exists():
        raise DataError(
            f"{path}: is not in this workspace. Run `dvc checkout`, `dvc pull` or `dvc repro`."
        )
    return path


def training_command(name: str, project: Path = Path()) -> list[str]:
    """Return the words of the command that trained a network: ``convdepth train <name> ...``."""
    command = _read_training(name, project).get("cmd")
    words = shlex.split(command) if isinstance(command, str) else []
    return require_training(project / LOCK, name, words)


def require_training(file: Path, name: str, command: list[str]) -> list[str]:
    """Return a command from ``file`` if it is ``convdepth train <name> ...``."""
    if command[:3] != ["convdepth", "train", name]:
        raise DataError(
            f"{file}: train@{name}.cmd: expected `convdepth train {name} ...`, got "
            f"{shlex.join(command)!r}. Run `git checkout {file}`."
        )
    return command


def _read_training(name: str, project: Path) -> dict[str, Any]:
    stages = read_lock_entries(project / LOCK)
    if f"train@{name}" not in stages:
        raise ParameterError(
            f"{project / LOCK}: no training of {name}; there are "
            f"{', '.join(trained_networks(project)) or 'none'}. Run `dvc repro train@{name}`."
        )
    return dict(stages[f"train@{name}"])
