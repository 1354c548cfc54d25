"""The epochs that a test trains: counted, and one of them interrupted."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from convdepth.training import train


@dataclass
class Count:
    """How many epochs were trained to their end."""

    done: int = 0


@contextmanager
def counted_epochs(interrupted: int | None = None) -> Iterator[Count]:
    """Count the epochs that are trained meanwhile.

    Args:
        interrupted: The number of the epoch, from 1, in which Ctrl-C is pressed, so to say.
    """
    count, whole = Count(), train.train_epoch

    def train_epoch(*arguments: object) -> object:
        if count.done + 1 == interrupted:
            raise KeyboardInterrupt
        result = whole(*arguments)  # type: ignore[arg-type]
        count.done += 1
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "train_epoch", train_epoch)
        yield count
