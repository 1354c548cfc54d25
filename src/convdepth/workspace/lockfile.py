"""What `dvc.lock` says of the trainings, read without DVC and its seconds of import."""

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
    stages = read_lock_entries(project / LOCK)
    if f"train@{name}" not in stages:
        raise ParameterError(
            f"{project / LOCK}: no training of {name}; there are "
            f"{', '.join(trained_networks(project)) or 'none'}. Run `dvc repro train@{name}`."
        )
    outs: list[Path] = [project / out["path"] for out in stages[f"train@{name}"]["outs"]]
    (path,) = (out for out in outs if out.suffix == ".keras")
    if not path.exists():
        raise DataError(
            f"{path}: is not in this workspace. Run `dvc checkout`, `dvc pull` or `dvc repro`."
        )
    return path


def raw_data(project: Path = Path()) -> Path:
    """Return the folder of MNIST's IDX files."""
    stages = read_lock_entries(project / LOCK)
    if "download" not in stages:
        raise DataError(f"{project / LOCK}: no download of MNIST. Run `dvc repro download`.")
    (out,) = stages["download"]["outs"]
    return project / str(out["path"])
