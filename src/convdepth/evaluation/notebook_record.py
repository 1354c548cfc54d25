"""The numbers that the original notebook recorded."""

from pathlib import Path

from pydantic import Field

from convdepth.evaluation.result_file import Loss, Result, Share, read_result


class Epoch(Result):
    """Keras's output after an epoch; its validation data are the test set."""

    epoch: int = Field(ge=1)
    loss: Loss
    accuracy: Share
    val_loss: Loss
    val_accuracy: Share


class Record(Result):
    """One network: the output of its last cell, and the closing text's claims, which differ."""

    parameters: int
    test_accuracy: Share
    test_loss: Loss
    claimed_accuracy: Share
    claimed_loss: Loss
    epochs: list[Epoch] = Field(min_length=1)


def read_notebook(path: Path) -> dict[str, Record]:
    """Read the records by network; raise DataError if the file is missing or an entry is wrong."""
    return read_result(path, dict[str, Record], f"git checkout {path}")
