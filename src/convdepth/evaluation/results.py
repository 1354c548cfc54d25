"""What the stages `train` and `evaluate` recorded of each network, read and checked."""

from pathlib import Path

import pandas as pd

from convdepth.core.errors import DataError
from convdepth.data.arrays import Labels

HISTORY_COLUMNS = ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
PREDICTION_COLUMNS = ["index", "label", "predicted", "second", "probability", "loss"]


def read_history(folder: Path, name: str) -> pd.DataFrame:
    """Read what a network's training recorded.

    Args:
        folder: With ``<name>.csv``.
        name: The network.

    Returns:
        One row per epoch: epoch, loss and val_loss in nats, accuracy and val_accuracy from 0 to 1.

    Raises:
        DataError: The file is missing or damaged.
    """
    return _read(folder / f"{name}.csv", HISTORY_COLUMNS, f"dvc repro train@{name}")


def read_predictions(folder: Path, name: str, labels: Labels) -> pd.DataFrame:
    """Read a network's predictions, and see that they are for these test images.

    Args:
        folder: With ``<name>.csv``.
        name: The network.
        labels: ``(n,)``, uint8, 0 to 9, of the test images.

    Returns:
        One row per test image: index, label, predicted, probability, loss.

    Raises:
        DataError: The file is missing, damaged, or has other labels.
    """
    path, command = folder / f"{name}.csv", f"dvc repro evaluate@{name}"
    table = _read(path, PREDICTION_COLUMNS, command)
    if table["label"].tolist() != labels.tolist():
        raise DataError(
            f"{path}: expected the labels of the {len(labels)} test images in their order, got "
            f"{len(table)} rows with others. Run `{command}`."
        )
    return table


def _read(path: Path, columns: list[str], command: str) -> pd.DataFrame:
    if not path.is_file():
        raise DataError(f"{path}: there is no such file. Run `{command}`.")
    try:
        return pd.read_csv(path)[columns]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{path}: expected the columns {', '.join(columns)}: {error}. Run `{command}`."
        ) from error
