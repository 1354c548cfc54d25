"""The stage `train`: fit one network by the recipe, and keep its weights and its history.

Each epoch is one call of `fit`, on images in an order that follows from (seed, epoch), with
dropout masks that follow from (seed, epoch, layer). So an epoch depends on nothing but the
parameters, and the weights and the optimizer's state that the epoch before it left. These are
kept after each epoch: a training that was interrupted goes on from there, and ends with the same
bytes.
"""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from convdepth.architecture import Architecture
from convdepth.archive import save_network
from convdepth.checkpoints import Checkpoints, State, source_files
from convdepth.errors import MachineError, TrainingError
from convdepth.files import write_csv
from convdepth.images import array_paths
from convdepth.network import build_network
from convdepth.numeric_class import describe_numeric_class, write_record
from convdepth.params import Train, find_architecture, read_params
from convdepth.progress import TrainingProgress
from convdepth.runtime import EVALUATION_BATCH_SIZE, configure, gpus, keras, tf
from convdepth.training_data import Batches, TrainingData, read_training_data
from convdepth.training_state import build_optimizer, fingerprint, restore, state_arrays

HISTORY = ("loss", "accuracy", "val_loss", "val_accuracy")
"""What is kept of each epoch: means over the images, as Keras names them."""


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
    network = compile_network(architecture, recipe)
    numeric_class = describe_numeric_class(recipe.threads, recipe.precision)
    data_files, code_files = array_paths(normalized), source_files(Path(__file__))
    kept = Checkpoints(
        checkpoints, fingerprint(architecture, recipe, data_files, code_files, numeric_class)
    )
    epochs = resume(name, network, kept)
    images = len(data.training.rows)
    with TrainingProgress(name, recipe.epochs, images, done=len(epochs)) as progress:
        for epoch in range(len(epochs) + 1, recipe.epochs + 1):
            epochs.append(train_epoch(network, recipe, epoch, data, progress))
            kept.save(State(state_arrays(network), epochs))
    save_network(without_optimizer(network, architecture), model)
    write_csv(history, pd.DataFrame(epochs, columns=["epoch", *HISTORY]))
    write_record(model, numeric_class)
    kept.clear()


def resume(name: str, network: keras.Model, checkpoints: Checkpoints) -> list[dict[str, float]]:
    """Bring a network to the state in which an interrupted training left it, and say so.

    Args:
        name: The architecture.
        network: A compiled model with fresh weights; it stays so if there is no checkpoint.
        checkpoints: Those of this training.

    Returns:
        The history of the epochs that are done.
    """
    build_optimizer(network)
    state, unused = checkpoints.restore(state_arrays(network))
    for line in unused:
        print(f"{name}  {line}", flush=True)
    if state is None:
        return []
    restore(network, state.arrays)
    print(f"{name}  was interrupted, and goes on after epoch {len(state.history)}", flush=True)
    return list(state.history)


def compile_network(architecture: Architecture, recipe: Train) -> keras.Model:
    """Build the network and give it the notebook's optimizer and loss.

    Args:
        architecture: What to build.
        recipe: Gives precision, seed and learning rate.

    Returns:
        A compiled model with fresh weights.
    """
    network = build_network(architecture, recipe.precision, recipe.seed)
    network.compile(
        optimizer=keras.optimizers.Adam(recipe.learning_rate),
        # The notebook's categorical cross-entropy, without its one-hot labels.
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        # On a CPU, XLA's convolutions take ten times as long as oneDNN's.
        jit_compile=False,
    )
    return network


def train_epoch(
    network: keras.Model,
    recipe: Train,
    epoch: int,
    data: TrainingData,
    progress: TrainingProgress,
) -> dict[str, float]:
    """Train for one epoch.

    Args:
        network: A compiled model; its weights and its optimizer's state change.
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
    seed_dropout(network, recipe.seed, epoch)
    order = np.random.default_rng([recipe.seed, epoch]).permutation(data.training.rows)
    batches = Batches(data.training, order, recipe.batch_size)
    with explained_exhaustion(progress.name, recipe.batch_size):
        history = network.fit(
            batches,
            shuffle=False,  # else Keras shuffles the batches by Python's global random state
            validation_data=Batches(data.validation, data.validation.rows, EVALUATION_BATCH_SIZE),
            callbacks=[Watch(epoch, batches, progress)],
            verbose=0,
        ).history
    logs = {name: history[name][0] for name in HISTORY}
    require_finite("validation loss", logs["val_loss"], progress.name, f"after epoch {epoch}")
    progress.epoch_done(logs)
    return {"epoch": epoch, **logs}


@contextlib.contextmanager
def explained_exhaustion(name: str, batch_size: int) -> Iterator[None]:
    """Say what to do when the memory of the GPU, or of the machine, is not enough.

    Args:
        name: The architecture.
        batch_size: That of the training.

    Raises:
        MachineError: The block ran out of memory.
    """
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        device = ", ".join(gpus()) or "the machine"
        raise MachineError(
            f"{name}: the memory of {device} is exhausted: {error.message.partition(chr(10))[0]}. "
            f"Expected room for batches of {batch_size} images. Try train.batch_size: "
            f"{max(1, batch_size // 2)}, or end what else uses that memory."
        ) from error


def seed_dropout(network: keras.Model, seed: int, epoch: int) -> None:
    """Set each dropout layer's random state, so that its masks follow from the arguments alone.

    Args:
        network: The model whose layers are set.
        seed: The training's seed.
        epoch: Counted from 1.
    """
    for place, layer in enumerate(network.layers):
        if isinstance(layer, keras.layers.Dropout):
            state = np.random.SeedSequence([seed, epoch, place]).generate_state(2)
            layer.seed_generator.state.assign(state)


class Watch(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Reports each batch, and ends a training whose loss is no longer a number."""

    def __init__(self, epoch: int, batches: Batches, progress: TrainingProgress) -> None:
        super().__init__()
        self.epoch, self.batches, self.progress = epoch, batches, progress

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Look at the mean loss of the epoch so far, which one bad batch spoils for good."""
        means = {name: float(value) for name, value in (logs or {}).items()}
        place = f"in epoch {self.epoch}, batch {batch + 1} of {len(self.batches)}"
        require_finite("loss", means["loss"], self.progress.name, place)
        done = min((batch + 1) * self.batches.batch_size, len(self.batches.order))
        self.progress.batch_done(done, means)


def require_finite(what: str, value: float, name: str, place: str) -> None:
    """Refuse a loss that is no number: every weight is spoiled by then.

    Args:
        what: Which loss.
        value: The loss in nats.
        name: The architecture.
        place: Where in the training it was found.

    Raises:
        TrainingError: It is NaN or infinite.
    """
    if not math.isfinite(value):
        raise TrainingError(
            f"{name}: the {what} is {value} {place}, expected a finite number; no model was "
            f"written. Lower train.learning_rate, or use another train.precision."
        )


def without_optimizer(network: keras.Model, architecture: Architecture) -> keras.Model:
    """Copy a trained network into one that was never compiled, in float32.

    Args:
        network: The trained model.
        architecture: What it was built from.

    Returns:
        A model with the same weights; its archive holds no optimizer, and a third of the bytes.
    """
    copy = build_network(architecture)
    copy.set_weights(network.get_weights())
    return copy
