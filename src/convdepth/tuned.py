"""What the stage `confirm` wrote of the tuned networks, read and checked."""

from collections.abc import Collection
from pathlib import Path

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from convdepth.errors import DataError
from convdepth.replicates import read_answers

SUMMARY = "summary.json"
"""The file in the folder of the tuned networks that names them."""

AGAIN = "`dvc repro studies/dvc.yaml` writes it again."


class _Names(BaseModel):
    model_config = ConfigDict(extra="ignore")

    networks: dict[str, dict[str, object]]


def read_tuned_answers(folder: Path, names: Collection[str]) -> dict[str, pd.DataFrame]:
    """Read what the tuned networks answered.

    Args:
        folder: From the stage `confirm`.
        names: The networks that there are.

    Returns:
        Of each network that was tuned, as from `replicates.read_answers`.

    Raises:
        DataError: A file is missing or damaged, or names a network that is none.
    """
    path = folder / SUMMARY
    try:
        found = _Names.model_validate_json(path.read_bytes()).networks
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}. {AGAIN}") from error
    except ValidationError as error:
        raise DataError(f"{path}: {error.errors()[0]['msg']}. {AGAIN}") from error
    if unknown := sorted(set(found) - set(names)):
        raise DataError(
            f"{path}: expected networks of {', '.join(names)}, got {', '.join(unknown)}. {AGAIN}"
        )
    return {name: read_answers(folder / f"{name}.csv") for name in names if name in found}
