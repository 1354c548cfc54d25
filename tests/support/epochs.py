"""The epochs that a test trains: counted, and one of them interrupted."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from convdepth.training import train


@dataclass
class Count:
    """Number of epochs that were trained to their end."""

    done: int = 0


@contextmanager
def counted_epochs(interrupted: int | None = None) -> Iterator[Count]:
    """Count the epochs that are trained in the block.

    Args:
        interrupted: The epoch, counted from 1, that ends with Ctrl-C: it has changed the weights,
            and has no checkpoint yet.
    """
    count, whole = Count(), train.train_epoch

    def train_epoch(*arguments: object) -> object:
        result = whole(*arguments)  # type: ignore[arg-type]
        if count.done + 1 == interrupted:
            raise KeyboardInterrupt
        count.done += 1
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "train_epoch", train_epoch)
        yield count
