"""What `dvc.lock` says of the trainings, read without DVC and its seconds of import."""

import hashlib
import json
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from convdepth.core.errors import DataError, ParameterError

LOCK = Path("dvc.lock")  # where DVC records the outputs of each stage
RECORD = ".numeric_class.json"  # as `numeric_class.SUFFIX`, whose module imports TensorFlow


def read_lock_entries(lock: Path, content: bytes | None = None) -> dict[str, Any]:
    """Read the entries of a ``dvc.lock`` by stage; ``content`` is that of a commit."""
    try:
        return dict(YAML(typ="safe").load(content or lock)["stages"])
    except OSError as error:
        raise DataError(
            f"{lock}: cannot be read: {error.strerror}. Run in the project's folder, "
            f"after `make repro`."
        ) from error
    except (YAMLError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{lock}: is no DVC lock: {error}. Run `git checkout {lock}`.") from error


def model_path(name: str, project: Path = Path()) -> Path:
    """Return the path of the newest model of an architecture; a missing file is a `DataError`."""
    stages = read_lock_entries(project / LOCK)
    if f"train@{name}" not in stages:
        raise ParameterError(
            f"{project / LOCK}: no training of {name}. Run `dvc repro train@{name}`."
        )
    outs: list[Path] = [project / out["path"] for out in stages[f"train@{name}"]["outs"]]
    (path,) = (out for out in outs if out.suffix == ".keras")
    if not path.exists():
        raise DataError(
            f"{path}: is not in this workspace. Run `dvc checkout`, `dvc pull` or `dvc repro`."
        )
    return path


def numeric_class(model: Path) -> dict[str, Any]:
    """Return the numeric class that is recorded beside a model; empty if it is of another file."""
    try:
        made = dict(json.loads(model.with_suffix(RECORD).read_bytes()))
        is_its_own = made.pop("model_sha256") == hashlib.sha256(model.read_bytes()).hexdigest()
    except FileNotFoundError:
        return {}
    return made if is_its_own else {}


def raw_data(project: Path = Path()) -> Path:
    """Return the folder of MNIST's IDX files."""
    stages = read_lock_entries(project / LOCK)
    if "download" not in stages:
        raise DataError(f"{project / LOCK}: no download of MNIST. Run `dvc repro download`.")
    (out,) = stages["download"]["outs"]
    return project / str(out["path"])
