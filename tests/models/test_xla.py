"""Steps that XLA compiles: where, with equal results, and with errors that are told all the same.

XLA is for GPUs, but it compiles for a CPU as well, only slower; so all of this runs on one.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from epochs import counted_epochs
from tiny_training import change, spoiled, train, train_one_epoch

from convdepth.config.params import read_params
from convdepth.core.errors import TrainingError
from convdepth.models import xla as compilation
from convdepth.models.backend import keras, tf
from convdepth.models.xla import COMPILED, PLAIN, SlicedMaxPooling2D, choose_classes
from convdepth.training import train as train_module

pytestmark = pytest.mark.usefixtures("one_thread")

__all__ = ["spoiled"]  # a fixture


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_module, "choose_classes", lambda _recipe: COMPILED)


def pooled(
    layer: type[keras.layers.MaxPooling2D], images: tf.Tensor, size: int
) -> tuple[np.ndarray, np.ndarray]:
    with tf.GradientTape() as tape:
        tape.watch(images)
        values = layer(size)(images)
        loss = tf.reduce_sum(values**2)
    return values.numpy(), tape.gradient(loss, images).numpy()


@pytest.mark.parametrize("size", [2, 3, 4])
def test_pooling_by_slices_has_the_values_and_gradients_of_keras(size: int) -> None:
    images = tf.constant(np.random.default_rng(0).random((5, 9, 11, 3), np.float32))
    for mine, expected in zip(
        pooled(SlicedMaxPooling2D, images, size),
        pooled(keras.layers.MaxPooling2D, images, size),
        strict=True,
    ):
        np.testing.assert_array_equal(mine, expected)


def test_of_equal_values_one_alone_has_the_gradient() -> None:
    _, gradient = pooled(SlicedMaxPooling2D, tf.ones((1, 4, 4, 1)), 2)
    np.testing.assert_array_equal(gradient[0, :, :, 0], np.tile([[2, 0], [0, 0]], (2, 2)))


@pytest.mark.parametrize(
    ("gpus", "shift", "expected"),
    [
        ([], 0, PLAIN),
        ([], 0.1, PLAIN),
        (["NVIDIA H100"], 0, COMPILED),
        (["NVIDIA H100"], 0.1, PLAIN),
    ],
)
def test_only_on_a_gpu_and_only_without_augmentation(
    tiny_params: Path,
    monkeypatch: pytest.MonkeyPatch,
    gpus: list[str],
    shift: float,
    expected: compilation.KerasClasses,
) -> None:
    monkeypatch.setattr(compilation, "gpus", lambda: gpus)
    change(tiny_params, "shift: 0,", f"shift: {shift},")
    assert choose_classes(read_params(tiny_params).train) is expected


@pytest.mark.usefixtures("compiled")
def test_a_compiled_training_has_equal_bytes_also_when_it_was_interrupted(
    tiny_params: Path, normalized: Path, tmp_path: Path
) -> None:
    once = train(tiny_params, normalized, tmp_path / "once")
    with counted_epochs(interrupted=2), pytest.raises(KeyboardInterrupt):
        train(tiny_params, normalized, tmp_path / "torn")
    again = train(tiny_params, normalized, tmp_path / "torn")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in once]


def test_it_learns_what_it_learns_without(
    tiny_params: Path, normalized: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # XLA draws other masks.
    change(tiny_params, "dropout_scale: 1 ", "dropout_scale: 0 ")
    histories = []
    for classes in (PLAIN, COMPILED):
        monkeypatch.setattr(
            train_module, "choose_classes", lambda _recipe, classes=classes: classes
        )
        _, history = train(tiny_params, normalized, tmp_path / str(len(histories)))
        histories.append(pd.read_csv(history)[["loss", "val_loss"]])
    pd.testing.assert_frame_equal(*histories, rtol=1e-3)


@pytest.mark.usefixtures("compiled", "spoiled")
@pytest.mark.parametrize(("place", "batches"), [(1300, "11 to 20"), (2999, "21 to 24")])
def test_a_loss_that_is_no_number_ends_it_within_a_call(
    tiny_params: Path, place: int, batches: str
) -> None:
    # Without XLA the batch itself would be named.
    with pytest.raises(TrainingError, match=rf"^tiny: .*epoch 1, .*batches {batches} of 24\b"):
        train_one_epoch(tiny_params, 1, "training", place)


@pytest.mark.usefixtures("compiled", "spoiled")
def test_so_does_that_of_the_validation(tiny_params: Path) -> None:
    with pytest.raises(TrainingError, match=r"^tiny: .*epoch 2, .*validation"):
        train_one_epoch(tiny_params, 2, "validation", 17)
