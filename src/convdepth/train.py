"""The stage `train`: fit one network by the recipe, and keep its weights and its history.

Each epoch is one call of `fit`, on images in an order that follows from (seed, epoch), with
dropout masks and augmentations that follow from (seed, epoch, layer). So an epoch depends on
nothing but the parameters, and the weights and the optimizer's state that the epoch before it
left. These are kept after each epoch: a training that was interrupted goes on from there, and ends
with the same bytes.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from convdepth.architecture import Architecture
from convdepth.archive import save_network
from convdepth.augmentation import augmentation_layers
from convdepth.checkpoints import Checkpoints, State
from convdepth.compilation import choose_classes
from convdepth.dropout import SixteenBitDropout
from convdepth.files import write_csv
from convdepth.fingerprint import describe_training, source_files
from convdepth.images import array_paths
from convdepth.network import build_network
from convdepth.numeric_class import advise_precision, describe_numeric_class, write_record
from convdepth.params import Train, find_architecture, read_params
from convdepth.progress import TrainingProgress
from convdepth.runtime import EVALUATION_BATCH_SIZE, configure, keras
from convdepth.training_data import TakeRows, TrainingData, batches, read_training_data
from convdepth.training_errors import CheckedLoss, explained_errors, require_finite
from convdepth.training_state import build_state, restore, state_arrays

STEPS_PER_EXECUTION = 10
"""Batches that TensorFlow trains on its own; a signal waits for them, for half a second or so."""

HISTORY = ("loss", "accuracy", "val_loss", "val_accuracy")
"""What is kept of each epoch: means over the images, as Keras names them."""

Epoch = dict[str, float]
"""The number of an epoch, and what is kept of it."""


def main(
    name: str,
    normalized: Path,
    model: Path,
    history: Path,
    checkpoints: Path,
    params: Path = Path("params.yaml"),
) -> None:
    """Train the architecture ``name``; write its model, and its history per epoch.

    Args:
        name: A key of ``architectures`` in the parameters.
        normalized: The folder of the normalized arrays.
        model: The ``.keras`` file to write: layers and weights, no optimizer. Beside it goes a
            record of its numeric class.
        history: The CSV file to write: epoch, loss, accuracy, val_loss, val_accuracy.
        checkpoints: The folder for what an interrupted training goes on from.
        params: The parameters.

    Raises:
        ParameterError: A parameter is wrong, or there is no such architecture.
        DataError: The arrays are missing or damaged.
        TrainingError: The loss is not a finite number; nothing is written then.
        MachineError: A file cannot be written, or the memory is not enough.
    """
    parameters = read_params(params)
    architecture, recipe = find_architecture(name, parameters, params), parameters.train
    data = read_training_data(normalized, recipe)
    configure(recipe.threads)
    if advice := advise_precision(recipe.precision):
        print(f"{name}  {advice}", flush=True)
    numeric_class = describe_numeric_class(recipe.threads, recipe.precision)
    kept = checkpoints_of(architecture, recipe, normalized, numeric_class, checkpoints)
    network, epochs = fit(name, architecture, recipe, data, kept)
    save_network(network, model)
    write_csv(history, epochs)
    write_record(model, numeric_class)
    kept.clear()


def checkpoints_of(
    architecture: Architecture,
    recipe: Train,
    normalized: Path,
    numeric_class: Mapping[str, Any],
    folder: Path,
) -> Checkpoints:
    """Find the checkpoints of a training by all that its result depends on.

    Args:
        architecture: What is trained.
        recipe: How.
        normalized: The folder of the normalized arrays.
        numeric_class: On what, from `describe_numeric_class`.
        folder: Holds the checkpoints of this network, also those of other trainings.
    """
    data, code = array_paths(normalized), source_files(Path(__file__))
    return Checkpoints(folder, describe_training(architecture, recipe, data, code, numeric_class))


def fit(
    name: str,
    architecture: Architecture,
    recipe: Train,
    data: TrainingData,
    kept: Checkpoints,
    is_enough: Callable[[Epoch], bool] = lambda _epoch: False,
) -> tuple[keras.Model, pd.DataFrame]:
    """Train a network, or go on with a training that was interrupted.

    Args:
        name: What the progress is told of.
        architecture: What to train.
        recipe: How.
        data: What to train on, and to compute the ``val_`` values on.
        kept: The checkpoints of this training; they stay when it has ended, too.
        is_enough: Is asked after each epoch whether to end before all are done. Where it looks at
            the ``val_`` values, these must not be of the test set.

    Returns:
        The network, in float32 and without an optimizer; and its history, one row per epoch:
        epoch, loss (nats), accuracy (0 to 1), val_loss, val_accuracy.

    Raises:
        TrainingError: The loss is not a finite number.
        MachineError: A checkpoint cannot be written, or the memory is not enough.
    """
    trainer = build_trainer(architecture, recipe, data)
    epochs = resume(name, trainer, kept)
    images = len(data.training.rows)
    with TrainingProgress(name, recipe.epochs, images, done=len(epochs)) as progress:
        while len(epochs) < recipe.epochs and not (epochs and is_enough(epochs[-1])):
            epochs.append(train_epoch(trainer, recipe, len(epochs) + 1, data, progress))
            kept.save(State(state_arrays(trainer), epochs))
    history = pd.DataFrame(epochs, columns=["epoch", *HISTORY])
    return without_optimizer(trainer, architecture), history


def resume(name: str, trainer: keras.Model, checkpoints: Checkpoints) -> list[Epoch]:
    """Bring a network to the state in which an interrupted training left it, and say so.

    Args:
        name: The architecture.
        trainer: From `build_trainer`, with fresh weights; it stays so without a checkpoint.
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


def build_optimizer(recipe: Train, images: int) -> keras.optimizers.Adam:
    """Build the notebook's optimizer, Adam with Keras's defaults, and with what the recipe adds.

    Args:
        recipe: Gives the learning rate and the weight decay, which is taken off the weights
            themselves, and not added to the loss (Loshchilov and Hutter 2019, arXiv:1711.05101).
        images: How many an epoch trains on.
    """
    optimizer = keras.optimizers.Adam(
        learning_rate(recipe, images), weight_decay=recipe.weight_decay or None
    )
    if recipe.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return optimizer


def learning_rate(
    recipe: Train, images: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Say how fast to learn, by the number of steps that are done.

    A ``one_cycle`` rises in a line from 0, and then falls along a cosine to 0: the first and the
    last part of Smith's policy (2018, arXiv:1803.09820), its momentum left as it is. A ``cosine``
    only falls (Loshchilov and Hutter 2017, arXiv:1608.03983, without restarts).

    Args:
        recipe: Gives the schedule, its highest value, epochs and batch size.
        images: How many an epoch trains on.

    Returns:
        What Keras's optimizers take.
    """
    if recipe.schedule == "constant":
        return recipe.learning_rate
    steps = recipe.epochs * recipe.batches(images)
    rising = int(recipe.warmup * steps) if recipe.schedule == "one_cycle" else 0
    return keras.optimizers.schedules.CosineDecay(
        0.0 if rising else recipe.learning_rate,
        decay_steps=steps - rising,
        warmup_target=recipe.learning_rate if rising else None,
        warmup_steps=rising,
    )


def train_epoch(
    trainer: keras.Model,
    recipe: Train,
    epoch: int,
    data: TrainingData,
    progress: TrainingProgress,
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

    def __init__(self, recipe: Train, epoch: int, progress: TrainingProgress) -> None:
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
