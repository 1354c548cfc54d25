"""Trainings of the tiny network, and a loss that becomes NaN."""

from pathlib import Path

import numpy as np
import pytest

from convdepth.config.params import read_architecture, read_params
from convdepth.models.backend import keras, tf
from convdepth.training.data import Subset, TrainingData
from convdepth.training.progress import TrainingProgress
from convdepth.training.train import build_trainer, main, train_epoch


def train(params: Path, normalized: Path, folder: Path, name: str = "tiny") -> tuple[Path, Path]:
    model, history = folder / "models" / "tiny.keras", folder / "histories" / "tiny.csv"
    main(
        name=name,
        normalized=normalized,
        model=model,
        history=history,
        checkpoints=folder / "checkpoints" / name,
        code="of the tests",
        params=params,
        progress=TrainingProgress,
    )
    return model, history


def change(params: Path, old: str, new: str) -> None:
    text = params.read_text()
    assert old in text
    params.write_text(text.replace(old, new))


IMAGES = 3000
"""23 batches of 128, and one of 56."""


SPOILED = 9
"""The label whose loss is NaN."""


@pytest.fixture
def spoiled(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = keras.losses.sparse_categorical_crossentropy

    def loss(labels: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
        losses = whole(labels, probabilities)
        return tf.where(
            tf.reshape(labels, [-1]) == SPOILED, tf.fill(tf.shape(losses), np.nan), losses
        )

    monkeypatch.setattr(keras.losses, "sparse_categorical_crossentropy", loss)


def train_one_epoch(params: Path, epoch: int, part: str, place: int) -> None:
    """Train on images; one of them has the label `SPOILED`."""
    generator = np.random.default_rng(0)
    images = generator.random((IMAGES, 28, 28, 1), np.float32)
    labels = {
        each: generator.integers(SPOILED, size=IMAGES, dtype=np.uint8)
        for each in TrainingData._fields
    }
    recipe = read_params(params).train
    order = np.random.default_rng([recipe.seed, epoch]).permutation(IMAGES)
    labels[part][order[place]] = SPOILED
    data = TrainingData(*(Subset(images, each, np.arange(IMAGES)) for each in labels.values()))
    trainer = build_trainer(read_architecture("tiny", params), recipe, data)
    trainer.optimizer.build(trainer.trainable_variables)
    trainer.optimizer.iterations.assign(24 * (epoch - 1))
    with TrainingProgress("tiny", 9, IMAGES, done=epoch - 1) as progress:
        train_epoch(trainer, recipe, epoch, data, progress)
