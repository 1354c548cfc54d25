"""Signal and gradients: on networks of which it is known what they do."""

import numpy as np
import pytest

from convdepth.config.architecture import Architecture
from convdepth.config.dataset import IMAGE_SHAPE
from convdepth.models.backend import keras, tf
from convdepth.models.build import build_network
from convdepth.studies.signal_flow import gradients, signal_shares

pytestmark = pytest.mark.usefixtures("one_thread")

IMAGES = np.random.default_rng(0).random((80, *IMAGE_SHAPE), np.float32)
LABELS = np.random.default_rng(1).integers(10, size=80, dtype=np.uint8)


def build(scale: float, rate: float = 0.5) -> keras.Model:
    block = {"conv1": {"filters": 4, "kernel_size": 5}, "pool_size": 3, "dropout": rate}
    blocks = {"block1": block, "block2": block | {"pool_size": 2}}
    entry = blocks | {"head": {"units": 8, "dropout": rate}, "dropout_scale": scale}
    return build_network(Architecture.model_validate(entry), seed=1)


def test_the_share_is_that_of_an_analysis_of_variance() -> None:
    # After a dropout of rate r a value v is v / (1 - r) or 0: over the masks its variance is
    # v² r / (1 - r), so of values without their dropout follows what the share must be.
    clean = build(0)
    assert signal_shares(clean, IMAGES, masks=3) == {"block1": 1, "block2": 1, "head_dense": 1}
    values = keras.Model(clean.inputs[0], clean.get_layer("block1_pool").output)(IMAGES)
    flat = np.asarray(values).reshape(len(IMAGES), -1)
    signal, noise = flat.var(axis=0, ddof=1).sum(), (flat**2).mean(axis=0).sum() * 0.5 / 0.5
    shares = signal_shares(build(1), IMAGES, masks=400)
    assert shares["block1"] == pytest.approx(signal / (signal + noise), rel=0.05)


def test_images_that_are_all_alike_are_no_signal() -> None:
    alike = np.full((60, *IMAGE_SHAPE), 0.5, np.float32)
    assert max(signal_shares(build(1), alike, masks=40).values()) < 0.01


def test_gradients_without_dropout_agree_and_have_the_norm_of_the_gradient() -> None:
    network = build(0)
    with tf.GradientTape() as tape:
        answer = network(IMAGES, training=True)
        loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(LABELS, answer))
    layer = network.get_layer("block2_conv1")
    parts = tape.gradient(loss, [weight.value for weight in layer.trainable_weights])
    expected = np.sqrt(sum(float(np.sum(np.square(part))) for part in parts))
    found = gradients(network, IMAGES, LABELS, batch_size=80, batches=4)
    assert list(found) == ["block1", "block2"]
    assert found["block2"].norm == pytest.approx(expected, rel=1e-4)
    assert [each.agreement for each in found.values()] == pytest.approx([1, 1], abs=1e-6)


def test_masks_that_hide_nearly_all_agree_on_little() -> None:
    found = gradients(build(1, rate=0.95), IMAGES, LABELS, batch_size=80, batches=40)
    assert found["block1"].agreement < 0.2
