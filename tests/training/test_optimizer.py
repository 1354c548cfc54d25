"""Optimizers and schedules, against their formulas."""

from typing import get_args

import numpy as np
import pytest
from tiny_training import BATCH_NORMALIZATION, Tiny, tiny

from convdepth.config.recipe import Optimizer
from convdepth.models.backend import keras, tf
from convdepth.models.build import build_network
from convdepth.training.optimizer import FusedAdam, build_optimizer, learning_rate

__all__ = ["tiny"]  # a fixture


def falling(steps: int) -> np.ndarray:
    return 0.25 * (1 + np.cos(np.pi * np.arange(steps + 1) / steps))


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", np.full(21, 0.5)),
        ("cosine", falling(20)),
        ("one_cycle", [*0.1 * np.arange(5), *falling(15)]),
    ],
)
def test_the_learning_rate_at_each_step(tiny: Tiny, schedule: str, expected: np.ndarray) -> None:
    recipe = tiny.recipe.model_copy(
        update={"schedule": schedule, "batch_size": 100, "learning_rate": 0.5, "warmup": 0.25}
    )
    rate = learning_rate(recipe, images=1000)  # 2 epochs of 10 steps
    found = [float(rate(step) if callable(rate) else rate) for step in range(21)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("name", get_args(Optimizer))
def test_weight_decay_is_of_weights_and_not_of_biases(tiny: Tiny, name: str) -> None:
    tiny.change(BATCH_NORMALIZATION)
    network = build_network(tiny.architecture)
    for weight in network.trainable_weights:
        weight.assign(np.ones(weight.shape))
    recipe = tiny.recipe.model_copy(update={"optimizer": name, "weight_decay": 0.5})
    optimizer = build_optimizer(recipe, images=1000)
    optimizer.build(network.trainable_variables)
    optimizer.apply([np.zeros(weight.shape, np.float32) for weight in network.trainable_weights])
    decayed = {weight.path.split("/")[-1]: float(np.min(weight)) for weight in network.weights}
    assert decayed["bias"] == decayed["gamma"] == decayed["beta"] == pytest.approx(1)
    assert decayed["kernel"] == pytest.approx(1 - 0.5 * 0.001)


def test_muon_orthogonalizes_the_updates_of_kernels_except_the_softmax(tiny: Tiny) -> None:
    tiny.change(("optimizer: adam ", "optimizer: muon "))
    trainer = tiny.build_trainer()
    for weight in (each for each in trainer.trainable_variables if each.path.endswith("kernel")):
        before = np.asarray(weight)
        gradient = np.random.default_rng(0).normal(size=weight.shape)
        trainer.optimizer.update_step(tf.constant(gradient, tf.float32), weight, 1.0)
        update = (before - np.asarray(weight)).reshape(-1, weight.shape[-1])
        sizes = np.linalg.svd(update, compute_uv=False) / (0.2 * max(update.shape) ** 0.5)
        is_orthogonal = sizes.min() > 0.5 and sizes.max() < 1.3
        assert is_orthogonal == ("softmax" not in weight.path)


def test_fused_adam_is_adam() -> None:
    updated = []
    for kind in (keras.optimizers.Adam, FusedAdam):
        generator, weight = np.random.default_rng(0), keras.Variable(np.ones((5, 3), np.float32))
        optimizer = kind(keras.optimizers.schedules.CosineDecay(0.1, 20), weight_decay=0.01)
        for _ in range(10):
            optimizer.apply([tf.constant(generator.normal(size=(5, 3)), tf.float32)], [weight])
        updated.append([np.asarray(each) for each in (weight, *optimizer.variables)])
    for expected, found in zip(*updated, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
