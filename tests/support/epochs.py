"""The epochs that a test trains: counted, interrupted, or pretended."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from convdepth.config.recipe import Train
from convdepth.training import train
from convdepth.training.data import TrainingData
from convdepth.training.loop import Epoch


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


@contextmanager
def pretended_epochs(limit: Callable[[Any, Train], float], *, pretend: bool) -> Iterator[None]:
    """Let epochs take no time in the block: weights stay, and the held-out accuracy nears a limit.

    The limit follows from the trainer and the recipe; the held-out labels have their part in it.
    Unless it is to ``pretend``, it changes nothing.
    """

    def train_epoch(
        trainer: Any, recipe: Train, epoch: int, data: TrainingData, _shown: object
    ) -> Epoch:
        labels = data.validation.labels[data.validation.rows]
        share = limit(trainer, recipe) * (1 - 0.5**epoch) + float(labels[:20].mean()) / 1000
        values = {"loss": 2.3 * (1 - share), "accuracy": share}
        return {"epoch": epoch, **values, **{f"val_{key}": values[key] for key in values}}

    with pytest.MonkeyPatch.context() as patch:
        if pretend:
            patch.setattr(train, "train_epoch", train_epoch)
        yield


PRETEND = (True, pytest.param(False, marks=pytest.mark.nightly))
"""Parameters of a fixture with `pretended_epochs`."""
