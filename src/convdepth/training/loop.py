"""One epoch of a training: its order, its random seeds, one call of Keras's `fit`, its errors.

The order of the images follows from (seed, epoch), dropout masks and augmentations from (seed,
epoch, layer), so an epoch depends on the one before by weights and optimizer state only.
"""

import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np

from convdepth.config.recipe import Train
from convdepth.core.errors import MachineError, TrainingError
from convdepth.models.backend import EVALUATION_BATCH_SIZE, gpus, keras, tf
from convdepth.training.data import TrainingData, batches
from convdepth.training.loss import CHECKED

HISTORY = ("loss", "accuracy", "val_loss", "val_accuracy")
"""Means over the images of an epoch, as Keras names them."""

VALIDATION = "the validation after it"

Epoch = dict[str, float]
"""A row of the history: epoch, and the entries of `HISTORY`."""


class Progress:
    """A report that shows nothing; ``done`` epochs were finished before this run."""

    def __init__(self, name: str, epochs: int, images: int, done: int = 0) -> None:
        self.name, self.epochs, self.images, self.done = name, epochs, images, done

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """End the report."""

    def batch_done(self, images: int, logs: Mapping[str, float]) -> None:
        """Report the means over the first ``images`` images of the epoch."""

    def epoch_done(self, logs: Mapping[str, float]) -> None:
        """Report the means over the epoch and over its validation."""


ProgressMaker = type[Progress]


def train_epoch(
    trainer: keras.Sequential, recipe: Train, epoch: int, data: TrainingData, progress: Progress
) -> Epoch:
    """Train for one epoch, counted from 1; losses are in nats, accuracies from 0 to 1."""
    seed_random_layers(trainer, recipe.seed, epoch)
    order = np.random.default_rng([recipe.seed, epoch]).permutation(data.training.rows)
    watch = Watch(recipe, epoch, progress)
    with watch.explained_errors(trainer):
        history = trainer.fit(
            batches(data.training, order, recipe.batch_size),
            validation_data=batches(data.validation, data.validation.rows, EVALUATION_BATCH_SIZE),
            callbacks=[watch],
            shuffle=False,  # the batches are in order; else Keras warns
            verbose=0,
        ).history
    logs = {name: history[name][0] for name in HISTORY}
    watch.require_finite(logs["val_loss"], VALIDATION)
    progress.epoch_done(logs)
    return {"epoch": epoch, **logs}


def seed_random_layers(trainer: keras.Sequential, seed: int, epoch: int) -> None:
    """Set the random state of each dropout and augmentation from (seed, epoch, layer)."""
    *before, network = trainer.layers
    dropouts = [layer for layer in network.layers if isinstance(layer, keras.layers.Dropout)]
    # A dropout of rate 0 draws nothing, and has no generator.
    generators = [getattr(layer, "seed_generator", None) for layer in dropouts]
    generators += [layer.generator for layer in before if hasattr(layer, "generator")]
    for number, generator in enumerate(generators):
        if generator is not None:
            state = np.random.SeedSequence([seed, epoch, number]).generate_state(2)
            generator.state.assign(state)


class Watch(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Reports the batches of one epoch, and explains what ends it early."""

    def __init__(self, recipe: Train, epoch: int, progress: Progress) -> None:
        super().__init__()
        self.recipe, self.epoch, self.progress = recipe, epoch, progress
        self.batches = recipe.batches(progress.images)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Report the means so far; they are checked, since XLA leaves out the loss's own check."""
        means = {name: float(value) for name, value in (logs or {}).items()}
        # Keras counts a call's batches in full, also in the last call, which may have fewer.
        first, end = batch + 2 - self.model.steps_per_execution, min(batch + 1, self.batches)
        self.require_finite(means["loss"], f"one of the batches {first} to {end} of {self.batches}")
        done = min((batch + 1) * self.recipe.batch_size, self.progress.images)
        self.progress.batch_done(done, means)

    @contextlib.contextmanager
    def explained_errors(self, trainer: keras.Model) -> Iterator[None]:
        """Turn TensorFlow's errors in the block into errors that name the parameter to change."""
        try:
            yield
        except tf.errors.InvalidArgumentError as error:
            if f"{CHECKED} : Tensor had" not in error.message:
                raise
            batch = 1 + int(trainer.loss.done) - (self.epoch - 1) * self.batches
            where = f"batch {batch} of {self.batches}" if batch <= self.batches else VALIDATION
            raise self._loss_error(where) from error
        except tf.errors.ResourceExhaustedError as error:
            size, reason = self.recipe.batch_size, error.message.partition("\n")[0]
            raise MachineError(
                f"{self.progress.name}: memory of {', '.join(gpus()) or 'the machine'} exhausted "
                f"by batches of {size} images: {reason}. Try train.batch_size: "
                f"{max(1, size // 2)}, or end other programs that use this memory."
            ) from error

    def require_finite(self, loss: float, where: str) -> None:
        """Raise a `TrainingError` that names a part of the epoch if its loss is not finite."""
        if not math.isfinite(loss):
            raise self._loss_error(where)

    def _loss_error(self, where: str) -> TrainingError:
        return TrainingError(
            f"{self.progress.name}: epoch {self.epoch}, {where}: the loss is NaN or infinite, "
            f"expected a finite number. No model was written. Lower train.learning_rate, or "
            f"change train.precision."
        )
