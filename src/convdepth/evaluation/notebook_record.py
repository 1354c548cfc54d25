"""What the notebook that this project makes reproducible had recorded."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from convdepth.config.architecture import Strict
from convdepth.core.errors import DataError

Share = Annotated[float, Field(ge=0, le=1)]
Loss = Annotated[float, Field(ge=0)]


class Epoch(Strict):
    """What Keras printed after an epoch; its validation data are the test set."""

    epoch: int = Field(ge=1)
    loss: Loss
    accuracy: Share
    val_loss: Loss
    val_accuracy: Share


class Record(Strict):
    """One network of the notebook: losses in nats, accuracies from 0 to 1.

    Attributes:
        parameters: Their number.
        test_accuracy: As its last cell printed it.
        test_loss: Likewise.
        claimed_accuracy: As the notebook's closing text says; another one than was printed.
        claimed_loss: Likewise.
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
    """Read what the notebook recorded.

    Args:
        path: A JSON file with one entry per network.

    Returns:
        The records by network.

    Raises:
        DataError: The file is missing, or something in it is not as it should be.
    """
    try:
        return _RECORDS.validate_json(path.read_bytes())
    except OSError as error:
        reason = str(error.strerror)
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    raise DataError(f"{path}: cannot be read: {reason}. Run `git checkout {path}`.")
