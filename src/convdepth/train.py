"""The stage `train`: fit one network by the recipe, and keep its weights and its history.

Each epoch is one call of `fit`, on images in an order that follows from (seed, epoch), with
dropout masks that follow from (seed, epoch, layer). So an epoch depends on nothing but the
parameters, and the weights and the optimizer's state that the epoch before it left.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from convdepth.architecture import Architecture
from convdepth.archive import save_network
from convdepth.errors import TrainingError
from convdepth.files import write_csv
from convdepth.images import Images, Labels, read_split
from convdepth.network import build_network
from convdepth.params import Train, read_architecture, read_params
from convdepth.progress import TrainingProgress
from convdepth.runtime import EVALUATION_BATCH_SIZE, configure, keras

Rows = NDArray[np.int64]


def main(
    name: str, normalized: Path, model: Path, history: Path, params: Path = Path("params.yaml")
) -> None:
    """Train the architecture ``name``; write its model, and its history per epoch.

    Args:
        name: A key of ``architectures`` in the parameters.
        normalized: The folder of the normalized arrays.
        model: The ``.keras`` file to write: layers and weights, no optimizer.
        history: The CSV file to write: epoch, loss, accuracy, val_loss, val_accuracy.
        params: The parameters.

    Raises:
        ParameterError: A parameter is wrong, or there is no such architecture.
        DataError: The arrays are missing or damaged.
        TrainingError: The loss is not a finite number; nothing is written then.
        MachineError: A file cannot be written.
    """
    architecture = read_architecture(name, params)
    recipe = read_params(params).train
    data = read_training_data(normalized, recipe)
    configure(recipe.threads)
    network = compile_network(architecture, recipe)
    with TrainingProgress(name, recipe.epochs, len(data.training.rows)) as progress:
        epochs = [
            train_epoch(network, recipe, epoch, data, progress)
            for epoch in range(1, recipe.epochs + 1)
        ]
    save_network(without_optimizer(network, architecture), model)
    write_csv(history, pd.DataFrame(epochs))


@dataclass(frozen=True)
class Subset:
    """Some images of a split.

    Attributes:
        images: ``(n, 28, 28, 1)``, float32, 0.0 to 1.0, all of the split, memory-mapped.
        labels: ``(n,)``, uint8, 0 to 9, all of the split.
        rows: ``(m,)``, int64, which of them belong to the subset.
    """

    images: Images
    labels: Labels
    rows: Rows


class TrainingData(NamedTuple):
    """What to train on, and what the ``val_`` columns of the history are computed on."""

    training: Subset
    validation: Subset


def read_training_data(normalized: Path, recipe: Train) -> TrainingData:
    """Choose what is trained on, and what the ``val_`` columns of the history are computed on.

    The latter is the test set, as in the notebook, unless ``validation_images`` training images
    are held out for it. Nothing is selected by these columns.

    Args:
        normalized: The folder of the normalized arrays.
        recipe: Gives ``validation_images`` and ``seed``.

    Returns:
        The training images and the validation images.

    Raises:
        DataError: The arrays are missing or damaged.
    """
    images, labels = read_split(normalized, "train")
    rows = np.arange(len(labels))
    if recipe.validation_images == 0:
        test_images, test_labels = read_split(normalized, "test")
        test = Subset(test_images, test_labels, np.arange(len(test_labels)))
        return TrainingData(Subset(images, labels, rows), test)
    held_out = stratified_rows(labels, recipe.validation_images, recipe.seed)
    rest = np.setdiff1d(rows, held_out)
    return TrainingData(Subset(images, labels, rest), Subset(images, labels, held_out))


def stratified_rows(labels: Labels, count: int, seed: int) -> Rows:
    """Draw rows so that each class has its share among them.

    Args:
        labels: ``(n,)``, 0 to 9.
        count: How many rows to draw, at most n.
        seed: Determines the draw.

    Returns:
        ``(count,)``, ascending, all different.
    """
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    # Evenly spaced places in a list that is sorted by class: each class in proportion.
    places = np.linspace(0, len(labels) - 1, count).round().astype(np.int64)
    return np.sort(by_class[places])


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
    """
    seed_dropout(network, recipe.seed, epoch)
    order = np.random.default_rng([recipe.seed, epoch]).permutation(data.training.rows)
    batches = Batches(data.training, order, recipe.batch_size)
    history = network.fit(
        batches,
        validation_data=Batches(data.validation, data.validation.rows, EVALUATION_BATCH_SIZE),
        callbacks=[Watch(epoch, batches, progress)],
        verbose=0,
    ).history
    logs = {name: history[name][0] for name in ("loss", "accuracy", "val_loss", "val_accuracy")}
    progress.epoch_done(logs)
    return {"epoch": epoch, **logs}


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


class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no types
    """A subset in a given order, batch by batch.

    The images are read from the memory map as they are needed: a shuffled copy of all would cost
    each training 188 MB, and no time is won by it.
    """

    def __init__(self, subset: Subset, order: Rows, batch_size: int) -> None:
        super().__init__()
        self.subset, self.order, self.batch_size = subset, order, batch_size

    def __len__(self) -> int:
        return math.ceil(len(self.order) / self.batch_size)

    def __getitem__(self, index: int) -> tuple[Images, Labels]:
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        return self.subset.images[rows], self.subset.labels[rows]


class Watch(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Reports each batch, and ends a training whose loss is no longer a number."""

    def __init__(self, epoch: int, batches: Batches, progress: TrainingProgress) -> None:
        super().__init__()
        self.epoch, self.batches, self.progress = epoch, batches, progress

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Look at the mean loss of the epoch so far, which one bad batch spoils for good."""
        means = {name: float(value) for name, value in (logs or {}).items()}
        if not math.isfinite(means["loss"]):
            raise TrainingError(
                f"{self.progress.name}: the loss is {means['loss']} in epoch {self.epoch}, batch "
                f"{batch + 1} of {len(self.batches)}; no model was written. "
                f"Lower train.learning_rate, or use another train.precision."
            )
        done = min((batch + 1) * self.batches.batch_size, len(self.batches.order))
        self.progress.batch_done(done, means)


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
