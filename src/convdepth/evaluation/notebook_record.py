"""The numbers that the original notebook recorded."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from convdepth.config.architecture import Strict
from convdepth.core.errors import DataError

Share = Annotated[float, Field(ge=0, le=1)]
Loss = Annotated[float, Field(ge=0)]


class Epoch(Strict):
    """Keras's output after an epoch; its validation data are the test set."""

    epoch: int = Field(ge=1)
    loss: Loss
    accuracy: Share
    val_loss: Loss
    val_accuracy: Share


class Record(Strict):
    """One network of the notebook: losses in nats, accuracies from 0 to 1.

    Attributes:
        parameters: Their number.
        test_accuracy: Output of its last cell.
        test_loss: Output of its last cell.
        claimed_accuracy: From the notebook's closing text, which contradicts the output.
        claimed_loss: From the closing text.
        epochs: The training, epoch by epoch.
    """

    parameters: int
    test_accuracy: Share
    test_loss: Loss
    claimed_accuracy: Share
    claimed_loss: Loss
    epochs: list[Epoch] = Field(min_length=1)


_RECORDS = TypeAdapter(dict[str, Record])


def read_notebook(path: Path) -> dict[str, Record]:
    """Read the notebook's records by network from a JSON file.

    Raises:
        DataError: The file is missing, or an entry is wrong.
    """
    try:
        return _RECORDS.validate_json(path.read_bytes())
    except OSError as error:
        reason = str(error.strerror)
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    raise DataError(f"{path}: cannot be read: {reason}. Run `git checkout {path}`.")
