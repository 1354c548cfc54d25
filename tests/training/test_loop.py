"""One epoch: what its randomness follows from, and errors that name their part of it."""

from functools import partial
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from tiny_training import AUGMENTATION, Tiny, tiny

from convdepth.core.errors import MachineError, TrainingError
from convdepth.models.backend import keras, tf
from convdepth.models.xla import COMPILED, PLAIN, KerasClasses
from convdepth.training import trainer as trainer_module
from convdepth.training.data import Subset, TrainingData
from convdepth.training.loop import Progress, seed_random_layers, train_epoch
from convdepth.training.loss import CheckedLoss
from convdepth.training.trainer import build_trainer

__all__ = ["tiny"]  # a fixture

nightly = partial(pytest.param, marks=pytest.mark.nightly)

IMAGES = 3000
"""23 batches of 128, and one of 56."""

SPOILED = 9
"""The label whose loss is NaN."""


def train_one_epoch(tiny: Tiny, epoch: int = 1, part: str = "training", position: int = 0) -> None:
    """Train on images of which one, at a position of the order, has the label `SPOILED`."""
    generator = np.random.default_rng(0)
    images = generator.random((IMAGES, 28, 28, 1), np.float32)
    labels = {
        each: generator.integers(SPOILED, size=IMAGES, dtype=np.uint8)
        for each in TrainingData._fields
    }
    order = np.random.default_rng([tiny.recipe.seed, epoch]).permutation(IMAGES)
    labels[part][order[position]] = SPOILED
    data = TrainingData(*(Subset(images, each, np.arange(IMAGES)) for each in labels.values()))
    trainer = build_trainer(tiny.architecture, tiny.recipe, data)
    trainer.optimizer.iterations.assign(24 * (epoch - 1))
    train_epoch(trainer, tiny.recipe, epoch, data, Progress("tiny", 9, IMAGES))


@pytest.mark.parametrize(
    ("classes", "epoch", "part", "position", "where"),
    [
        (PLAIN, 1, "training", 0, "batch 1 of 24"),
        (PLAIN, 3, "training", 1300, "batch 11 of 24"),
        (PLAIN, 2, "validation", 17, "validation"),
        nightly(COMPILED, 1, "training", 2999, "batches 21 to 24 of 24"),
        nightly(COMPILED, 2, "validation", 17, "validation"),
    ],
)
def test_a_loss_that_is_not_finite_is_named_with_its_part_of_the_epoch(
    tiny: Tiny,
    monkeypatch: pytest.MonkeyPatch,
    classes: KerasClasses,
    epoch: int,
    part: str,
    position: int,
    where: str,
) -> None:
    whole = keras.losses.sparse_categorical_crossentropy

    def loss(labels: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
        is_spoiled = tf.reshape(labels, [-1]) == SPOILED
        losses = whole(labels, probabilities)
        return tf.where(is_spoiled, tf.fill(tf.shape(losses), np.nan), losses)

    monkeypatch.setattr(keras.losses, "sparse_categorical_crossentropy", loss)
    monkeypatch.setattr(trainer_module, "choose_classes", lambda *_: classes)
    with pytest.raises(TrainingError, match=rf"^tiny: epoch {epoch}, .*{where}\b") as caught:
        train_one_epoch(tiny, epoch, part, position)
    assert caught.value.exit_code == 6


@pytest.mark.parametrize(
    ("kind", "error", "text"),
    [
        (tf.errors.ResourceExhaustedError, MachineError, r"tiny: .*OOM at .*batch_size: 64"),
        (tf.errors.InvalidArgumentError, tf.errors.InvalidArgumentError, "^OOM"),
    ],
)
def test_exhausted_memory_is_named_with_the_batch_size_to_try(
    tiny: Tiny,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[tf.errors.OpError],
    error: type[Exception],
    text: str,
) -> None:
    def fit(*_arguments: object, **_options: object) -> None:
        raise kind(None, None, "OOM at this point")

    monkeypatch.setattr(keras.Sequential, "fit", fit)
    with pytest.raises(error, match=text):
        train_one_epoch(tiny)


def test_label_smoothing_is_a_share_that_is_the_same_for_all_digits() -> None:
    optimizer = keras.optimizers.Adam()
    probabilities = np.full((2, 10), 0.05, np.float32)
    probabilities[0, 3] = probabilities[1, 7] = 0.55
    labels = tf.constant([[3.0], [3.0]])  # as Keras hands them over
    losses = np.asarray(CheckedLoss(optimizer, 0.2)(labels, probabilities))
    # 0.8 of the label's own loss, and 0.02 of the loss of each digit.
    everything = -(9 * np.log(0.05) + np.log(0.55)) / 10
    own = -np.log([0.55, 0.05])
    np.testing.assert_allclose(losses, 0.8 * own + 0.2 * everything, rtol=1e-5)


def test_what_is_drawn_follows_from_the_seed_the_epoch_and_the_layer_alone(tiny: Tiny) -> None:
    tiny.change(AUGMENTATION)
    trainer = tiny.build_trainer()
    layers = [*trainer.layers, *trainer.layers[-1].layers]
    found = [
        getattr(layer, name, None) for layer in layers for name in ("generator", "seed_generator")
    ]
    generators = [each for each in found if each is not None]
    states = []
    for seed, epoch in ((1, 1), (1, 2), (2, 1), (1, 1)):
        trainer(np.arange(5), training=True)
        seed_random_layers(trainer, seed, epoch)
        states.append([tuple(np.asarray(each.state)) for each in generators])
    assert len({*states[0], *states[1], *states[2]}) == 3 * 5  # two dropouts, three augmentations
    assert states[3] == states[0]


@pytest.mark.nightly
def test_compiled_by_xla_it_learns_the_same(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.change(("dropout_scale: 1 ", "dropout_scale: 0 "))  # XLA draws other masks
    histories = []
    for classes in (PLAIN, COMPILED):
        monkeypatch.setattr(trainer_module, "choose_classes", lambda *_, classes=classes: classes)
        _, history = tiny.train(str(len(histories)))
        histories.append(pd.read_csv(history)[["loss", "val_loss"]])
    pd.testing.assert_frame_equal(*histories, rtol=1e-3)


@pytest.mark.parametrize(
    ("gpus", "augmented", "losses", "classes"),
    [
        ([], False, [], PLAIN),
        (["GPU"], True, [], PLAIN),
        (["GPU"], False, [2.3, 2.3001], COMPILED),
        (["GPU"], False, [2.3, 2.4], PLAIN),
        (["GPU"], False, [np.nan, 2.3], PLAIN),
        (["GPU"], False, [tf.errors.InternalError(None, None, "no kernel")], PLAIN),
    ],
)
def test_xla_is_used_on_a_gpu_where_its_first_losses_are_right(
    tiny: Tiny,
    monkeypatch: pytest.MonkeyPatch,
    gpus: list[str],
    augmented: bool,
    losses: list[float | Exception],
    classes: KerasClasses,
) -> None:
    monkeypatch.setattr(trainer_module, "gpus", lambda: gpus)
    trial = mock.Mock(side_effect=losses)
    monkeypatch.setattr(trainer_module, "_first_loss", trial)
    if augmented:
        tiny.change(AUGMENTATION)
    found = trainer_module.choose_classes(tiny.architecture, tiny.recipe, tiny.read_data())
    assert found == classes
    assert trial.call_count == len(losses)


@pytest.mark.nightly
def test_the_first_losses_with_and_without_xla_are_equal(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_module, "gpus", lambda: ["GPU"])
    found = trainer_module.choose_classes(tiny.architecture, tiny.recipe, tiny.read_data())
    assert found == COMPILED
