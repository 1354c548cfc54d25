"""What DVC knows of this project's results; for the commands about them, never for a stage."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from convdepth.errors import DataError, ParameterError


def model_path(name: str, lock: Path = Path("dvc.lock")) -> Path:
    """Find the model that was last trained for an architecture.

    Args:
        name: The architecture.
        lock: Where DVC records what each stage has made.

    Returns:
        The path of the ``.keras`` file, which exists.

    Raises:
        ParameterError: No such network was trained.
        DataError: Nothing was trained yet, or the file is not in this workspace.
    """
    stages = _read_stages(lock)
    if f"train@{name}" not in stages:
        trained = [key.removeprefix("train@") for key in stages if key.startswith("train@")]
        raise ParameterError(
            f"no trained network {name}; there are {', '.join(trained) or 'none'}. "
            f"Run `dvc repro train@{name}`."
        )
    outs = [Path(out["path"]) for out in stages[f"train@{name}"]["outs"]]
    (path,) = (lock.parent / out for out in outs if out.suffix == ".keras")
    if not path.exists():
        raise DataError(
            f"{path}: is not in this workspace. Run `dvc checkout`, `dvc pull` or `dvc repro`."
        )
    return path


def _read_stages(lock: Path) -> dict[str, Any]:
    try:
        return dict(YAML(typ="safe").load(lock)["stages"])
    except OSError as error:
        raise DataError(
            f"{lock}: cannot be read: {error.strerror}. Run in the project's folder, "
            f"after `make repro`."
        ) from error
    except (YAMLError, KeyError, TypeError) as error:
        raise DataError(f"{lock}: is no DVC lock: {error}. Run `git checkout {lock}`.") from error
