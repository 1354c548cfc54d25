"""The stage `train`: fit one network by the recipe; keep its weights and its history.

Each epoch is one call of `fit`. The order of the images follows from (seed, epoch); dropout masks
and augmentations follow from (seed, epoch, layer). So an epoch depends only on the parameters, and
on the weights and the optimizer state that the epoch before it left. These are kept after each
epoch: an interrupted training goes on from there and ends with the same bytes.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np

from convdepth.config.architecture import Architecture
from convdepth.config.recipe import Train, read_training
from convdepth.core.files import write_text
from convdepth.data.arrays import array_paths
from convdepth.models.archive import save_network
from convdepth.models.backend import EVALUATION_BATCH_SIZE, configure, keras
from convdepth.models.build import build_network
from convdepth.models.dropout import SixteenBitDropout
from convdepth.models.numeric_class import describe_numeric_class, write_record
from convdepth.models.xla import choose_classes
from convdepth.training.augmentation import augmentation_layers
from convdepth.training.checkpoints import Checkpoints, State
from convdepth.training.data import TakeRows, TrainingData, batches, read_training_data
from convdepth.training.failures import CheckedLoss, explained_errors, require_finite
from convdepth.training.fingerprint import describe_training
from convdepth.training.optimizer import build_optimizer
from convdepth.training.state import build_state, restore, state_arrays

STEPS_PER_EXECUTION = 10
"""Batches that TensorFlow trains on its own; a signal waits for them, for half a second or so."""

HISTORY = ("loss", "accuracy", "val_loss", "val_accuracy")
"""What is kept of each epoch: means over the images, as Keras names them."""

Epoch = dict[str, float]
"""The number of an epoch, and what is kept of it."""


class Progress(Protocol):
    """What is told of a training as it runs; a context manager."""

    name: str
    images: int

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def batch_done(self, images: int, logs: Mapping[str, float]) -> None:
        """Take note that so many images of the epoch are done, with these means so far."""

    def epoch_done(self, logs: Mapping[str, float]) -> None:
        """Take note that an epoch is done, with these means."""


class Silent:
    """A `Progress` that shows nothing."""

    def __init__(self, name: str, _epochs: int, images: int, _done: int = 0) -> None:
        self.name, self.images = name, images

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def batch_done(self, images: int, logs: Mapping[str, float]) -> None:
        """Do nothing."""

    def epoch_done(self, logs: Mapping[str, float]) -> None:
        """Do nothing."""


ProgressMaker = Callable[[str, int, int, int], Progress]
"""Takes the name, the number of epochs, the images of an epoch, and the epochs that are done."""


def main(
    name: str,
    normalized: Path,
    model: Path,
    history: Path,
    checkpoints: Path,
    code: str,
    seed: int | None = None,
    params: Path = Path("params.yaml"),
    progress: ProgressMaker = Silent,
) -> None:
    """Train the architecture ``name``; write its model, and its history per epoch.

    Args:
        name: A key of ``architectures`` in the parameters.
        normalized: The folder of the normalized arrays.
        model: The ``.keras`` file to write: layers and weights, no optimizer. A record of its
            numeric class goes beside it.
        history: The CSV file to write: epoch, loss, accuracy, val_loss, val_accuracy.
        checkpoints: The folder for the checkpoints of this network.
        code: Digest of the code that trains; a checkpoint of other code does not serve.
        seed: Replaces ``train.seed``.
        params: The parameters.
        progress: Shows the training.

    Raises:
        ParameterError: A parameter is wrong, or there is no such architecture.
        DataError: The arrays are missing or damaged.
        TrainingError: The loss is not a finite number; nothing is written then.
        MachineError: A file cannot be written, or the memory is not enough.
    """
    architecture, recipe = read_training(name, params)
    title = name
    if seed is not None:
        title, recipe = f"{name} seed {seed}", recipe.model_copy(update={"seed": seed})
    train(title, architecture, recipe, normalized, model, history, checkpoints, code, progress)


def train(
    title: str,
    architecture: Architecture,
    recipe: Train,
    normalized: Path,
    model: Path,
    history: Path,
    checkpoints: Path,
    code: str,
    progress: ProgressMaker,
) -> None:
    """Train a network; write its model and its history, and delete its checkpoints.

    Args:
        title: Label in the progress output.
        architecture: What to train.
        recipe: How.
        normalized: As in `main`, like all that follow.
        model: The ``.keras`` file to write.
        history: The CSV file to write.
        checkpoints: The folder for the checkpoints of this network.
        code: Digest of the code that trains.
        progress: Shows the training.

    Raises:
        ConvdepthError: As `main`.
    """
    data = read_training_data(normalized, recipe)
    configure(recipe.threads)
    kept = checkpoints_of(architecture, recipe, normalized, checkpoints, code)
    network, epochs = fit(title, architecture, recipe, data, kept, progress)
    save_network(network, model)
    write_history(history, epochs)
    write_record(model, kept.fingerprint["numeric class"])
    kept.clear()


def write_history(path: Path, epochs: Sequence[Epoch]) -> None:
    """Write one row per epoch as CSV, floats with six digits after the point.

    Args:
        path: The file.
        epochs: From `fit`.

    Raises:
        MachineError: The file cannot be written.
    """
    rows = [
        f"{epoch['epoch']}," + ",".join(f"{epoch[key]:.6f}" for key in HISTORY) for epoch in epochs
    ]
    write_text(path, "\n".join([",".join(["epoch", *HISTORY]), *rows, ""]))


def checkpoints_of(
    architecture: Architecture, recipe: Train, normalized: Path, folder: Path, code: str
) -> Checkpoints:
    """Find the checkpoints of a training by all that its result depends on.

    Args:
        architecture: What is trained.
        recipe: How.
        normalized: The folder of the normalized arrays.
        folder: Holds the checkpoints of this network, also those of other trainings.
        code: Digest of the code that trains.
    """
    numeric_class = describe_numeric_class(recipe.threads, recipe.precision)
    data = array_paths(normalized)
    return Checkpoints(folder, describe_training(architecture, recipe, data, code, numeric_class))


def fit(
    name: str,
    architecture: Architecture,
    recipe: Train,
    data: TrainingData,
    kept: Checkpoints,
    progress: ProgressMaker = Silent,
    is_enough: Callable[[Epoch], bool] = lambda _epoch: False,
) -> tuple[keras.Model, list[Epoch]]:
    """Train a network, or go on with a training that was interrupted.

    Args:
        name: Label in the progress output.
        architecture: What to train.
        recipe: How.
        data: What to train on, and to compute the ``val_`` values on.
        kept: The checkpoints of this training. They stay when it ends.
        progress: Shows the training.
        is_enough: Returns True to stop early; called after each epoch. If it looks at the ``val_``
            values, these must not be of the test set.

    Returns:
        The network, in float32 and without an optimizer; and its history, one entry per epoch:
        epoch, loss (nats), accuracy (0 to 1), val_loss, val_accuracy.

    Raises:
        TrainingError: The loss is not a finite number.
        MachineError: A checkpoint cannot be written, or the memory is not enough.
    """
    trainer = build_trainer(architecture, recipe, data)
    epochs = resume(name, trainer, kept)
    with progress(name, recipe.epochs, len(data.training.rows), len(epochs)) as shown:
        while len(epochs) < recipe.epochs and not (epochs and is_enough(epochs[-1])):
            epochs.append(train_epoch(trainer, recipe, len(epochs) + 1, data, shown))
            kept.save(State(state_arrays(trainer), epochs))
    return without_optimizer(trainer, architecture), epochs


def resume(name: str, trainer: keras.Model, checkpoints: Checkpoints) -> list[Epoch]:
    """Restore the newest checkpoint of a training, if there is one, and say so.

    Args:
        name: Label of the printed lines.
        trainer: From `build_trainer`, with fresh weights.
        checkpoints: Those of this training.

    Returns:
        The history of the epochs that are done.
    """
    build_state(trainer)
    state, unused = checkpoints.restore(state_arrays(trainer))
    for line in unused:
        print(f"{name}  {line}", flush=True)
    if state is None:
        return []
    restore(trainer, state.arrays)
    print(f"{name}  was interrupted, and goes on after epoch {len(state.history)}", flush=True)
    return list(state.history)


def build_trainer(
    architecture: Architecture, recipe: Train, data: TrainingData
) -> keras.Sequential:
    """Build a network, and give it its images, and the notebook's optimizer and loss.

    Args:
        architecture: What to build.
        recipe: Gives precision, seed, and how fast to learn.
        data: The images, which from now on are known by their rows.

    Returns:
        A compiled model from rows ``(n,)``, int64, to probabilities ``(n, 10)``. Its last layer is
        the network, with fresh weights, and nothing else in it has any.
    """
    classes = choose_classes(recipe)
    network = build_network(
        architecture, recipe.precision, recipe.seed, SixteenBitDropout, classes.pooling
    )
    augmentation = augmentation_layers(recipe.augmentation)
    trainer = classes.model(
        [keras.Input((), dtype="int64"), TakeRows(data), *augmentation, network]
    )
    optimizer = build_optimizer(recipe, len(data.training.rows))
    trainer.compile(
        optimizer=optimizer,
        loss=CheckedLoss(optimizer, recipe.label_smoothing),
        metrics=["accuracy"],
        steps_per_execution=STEPS_PER_EXECUTION,
        jit_compile=False,  # no XLA; a `CompiledSequential` has it all the same
    )
    return trainer


def train_epoch(
    trainer: keras.Model, recipe: Train, epoch: int, data: TrainingData, progress: Progress
) -> Epoch:
    """Train for one epoch.

    Args:
        trainer: From `build_trainer`; its weights and its optimizer's state change.
        recipe: Gives batch size and seed.
        epoch: Counted from 1.
        data: What to train on, and to compute the ``val_`` values on.
        progress: What is told of each batch and of the epoch.

    Returns:
        epoch, loss (nats), accuracy (0 to 1), val_loss, val_accuracy.

    Raises:
        TrainingError: The loss is not a finite number.
        MachineError: The memory is not enough.
    """
    seed_random_layers(trainer, recipe.seed, epoch)
    order = np.random.default_rng([recipe.seed, epoch]).permutation(data.training.rows)
    with explained_errors(progress.name, trainer, recipe, epoch, len(order)):
        history = trainer.fit(
            batches(data.training, order, recipe.batch_size),
            validation_data=batches(data.validation, data.validation.rows, EVALUATION_BATCH_SIZE),
            callbacks=[Watch(recipe, epoch, progress)],
            shuffle=False,  # the order is the batches' own; Keras would warn
            verbose=0,
        ).history
    logs = {name: history[name][0] for name in HISTORY}
    require_finite(logs["val_loss"], progress.name, epoch, "the validation after it")
    progress.epoch_done(logs)
    return {"epoch": epoch, **logs}


def seed_random_layers(trainer: keras.Sequential, seed: int, epoch: int) -> None:
    """Set the random state of each layer, so that what it draws follows from the arguments alone.

    Args:
        trainer: From `build_trainer`; its dropouts and augmentations are set.
        seed: The training's seed.
        epoch: Counted from 1.
    """
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
    """Shows how far an epoch has come, each time that some batches are done.

    It ends the training where the loss is no number, too: in what XLA compiles, `CheckedLoss`
    cannot.
    """

    def __init__(self, recipe: Train, epoch: int, progress: Progress) -> None:
        super().__init__()
        self.recipe, self.epoch, self.progress = recipe, epoch, progress

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Show the means of the epoch so far."""
        means = {name: float(value) for name, value in (logs or {}).items()}
        last = self.recipe.batches(self.progress.images)
        # Keras counts to the end of a call, also of one that has fewer batches than all others.
        first, end = batch + 2 - STEPS_PER_EXECUTION, min(batch + 1, last)
        place = f"one of the batches {first} to {end} of {last}"
        require_finite(means["loss"], self.progress.name, self.epoch, place)
        done = min((batch + 1) * self.recipe.batch_size, self.progress.images)
        self.progress.batch_done(done, means)


def without_optimizer(trainer: keras.Sequential, architecture: Architecture) -> keras.Model:
    """Copy what was trained into a network that was never compiled, in float32.

    Args:
        trainer: From `build_trainer`.
        architecture: What it was built from.

    Returns:
        A model with the same weights; its archive holds no optimizer, and a third of the bytes.
    """
    network = build_network(architecture)
    network.set_weights(trainer.get_weights())
    return network
