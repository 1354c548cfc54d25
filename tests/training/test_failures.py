"""Errors within an epoch name their place and the parameter to change."""

from pathlib import Path

import numpy as np
import pytest
from tiny_training import IMAGES, train_one_epoch

from convdepth.config.params import read_params
from convdepth.core.errors import MachineError, TrainingError
from convdepth.models.backend import keras, tf
from convdepth.training.failures import CheckedLoss, explained_errors

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.usefixtures("spoiled")
@pytest.mark.parametrize(("place", "batch"), [(0, 1), (1300, 11), (2999, 24)])
@pytest.mark.parametrize("epoch", [1, 3])
def test_the_batch_whose_loss_is_no_number_is_named(
    tiny_params: Path, epoch: int, place: int, batch: int
) -> None:
    with pytest.raises(TrainingError, match=rf"^tiny: .*epoch {epoch}, batch {batch} of 24\b"):
        train_one_epoch(tiny_params, epoch, "training", place)


@pytest.mark.usefixtures("spoiled")
def test_so_is_the_validation(tiny_params: Path) -> None:
    with pytest.raises(TrainingError, match=r"^tiny: .*epoch 2, .*validation"):
        train_one_epoch(tiny_params, 2, "validation", 17)


def explain(params: Path, error: tf.errors.OpError) -> None:
    recipe = read_params(params).train
    with explained_errors("tiny", None, recipe, 1, IMAGES):
        raise error


def test_exhausted_memory_is_named_with_the_batch_size_to_try(tiny_params: Path) -> None:
    error = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating\nmuch more")
    with pytest.raises(MachineError, match=r"\bOOM\b") as caught:
        explain(tiny_params, error)
    assert "train.batch_size: 64" in str(caught.value)
    assert "much more" not in str(caught.value)
    assert caught.value.exit_code == 4


def test_another_error_is_not_changed(tiny_params: Path) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError):
        explain(tiny_params, tf.errors.InvalidArgumentError(None, None, "indices out of range"))


def test_label_smoothing_is_a_share_that_is_the_same_for_all_digits() -> None:
    optimizer = keras.optimizers.Adam()
    probabilities = np.full((2, 10), 0.05, np.float32)
    probabilities[0, 3] = probabilities[1, 7] = 0.55
    labels = tf.constant([[3.0], [3.0]])  # as Keras hands them on
    right, wrong = np.asarray(CheckedLoss(optimizer, 0.2)(labels, probabilities))
    # 0.8 of the loss of the label, and 0.02 of that of each digit.
    everything = -(9 * np.log(0.05) + np.log(0.55)) / 10
    assert right == pytest.approx(0.8 * -np.log(0.55) + 0.2 * everything, rel=1e-5)
    assert wrong == pytest.approx(0.8 * -np.log(0.05) + 0.2 * everything, rel=1e-5)
