"""The epochs that a test trains: counted, and one of them interrupted."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from convdepth.training import train


@contextmanager
def counted_epochs(interrupted: int | None = None) -> Iterator[SimpleNamespace]:
    """Count, as ``done``, the epochs that are trained to their end in the block.

    The epoch with the number ``interrupted``, counted from 1, ends with Ctrl-C: it has changed the
    weights, and has no checkpoint yet.
    """
    count, whole = SimpleNamespace(done=0), train.train_epoch

    def train_epoch(*arguments: object) -> object:
        result = whole(*arguments)  # type: ignore[arg-type]
        if count.done + 1 == interrupted:
            raise KeyboardInterrupt
        count.done += 1
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "train_epoch", train_epoch)
        yield count
