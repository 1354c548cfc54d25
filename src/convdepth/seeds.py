"""Trainings of one network that differ in nothing but their seed, and what they answer."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from convdepth.architecture import Architecture
from convdepth.checkpoints import Checkpoints
from convdepth.evaluate import predict
from convdepth.images import read_split
from convdepth.network import build_network
from convdepth.numeric_class import describe_numeric_class
from convdepth.params import Train
from convdepth.replicates import Run
from convdepth.runtime import keras
from convdepth.train import checkpoints_of, fit
from convdepth.training_data import read_training_data


def train_seeds(
    title: str,
    architecture: Architecture,
    recipe: Train,
    seeds: Iterable[int],
    normalized: Path,
    folder: Path,
) -> Iterator[tuple[Run, Checkpoints]]:
    """Train a network with one seed after the other.

    Args:
        title: What the progress is told of, with the seed behind it.
        architecture: What to train.
        recipe: How; its own seed does not count.
        seeds: In this order.
        normalized: The folder of the normalized arrays.
        folder: Holds the checkpoints of each seed in a folder of its own.

    Yields:
        For each seed its run, and its checkpoints, which stay until the caller clears them: else a
        stage that is interrupted would train again what it had finished.

    Raises:
        DataError: The arrays are missing or damaged.
        TrainingError: The loss is not a finite number.
        MachineError: A checkpoint cannot be written, or the memory is not enough.
    """
    numeric_class = describe_numeric_class(recipe.threads, recipe.precision)
    for seed in seeds:
        seeded = recipe.model_copy(update={"seed": seed})
        own = folder / f"seed-{seed}"
        kept = checkpoints_of(architecture, seeded, normalized, numeric_class, own)
        data = read_training_data(normalized, seeded)
        network, history = fit(f"{title} seed {seed}", architecture, seeded, data, kept)
        yield answer_test_images(network, architecture, seeded, history, normalized), kept
        keras.backend.clear_session()  # else the graphs of all seeds stay in memory


def answer_test_images(
    network: keras.Model,
    architecture: Architecture,
    recipe: Train,
    history: pd.DataFrame,
    normalized: Path,
) -> Run:
    """Let a network that was trained answer the test images.

    Args:
        network: Any of the architecture; its weights are taken.
        architecture: What it was built from.
        recipe: Gives its seed, and the precision to compute in.
        history: Of its training.
        normalized: The folder of the normalized arrays.

    Returns:
        The run, with an answer for each test image, see `evaluate.predict`.

    Raises:
        DataError: The arrays are missing or damaged.
    """
    images, labels = read_split(normalized, "test")
    answering = build_network(architecture, recipe.precision)
    answering.set_weights(network.get_weights())
    return Run(recipe.seed, history, predict(answering, images, labels))
