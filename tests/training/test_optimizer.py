"""Optimizers and schedules, against their formulas."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from tiny_training import change, tiny_trainer

from convdepth.config.params import read_architecture, read_params
from convdepth.config.recipe import Optimizer
from convdepth.models.build import build_network
from convdepth.training.optimizer import build_optimizer, learning_rate

pytestmark = pytest.mark.usefixtures("one_thread")


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
def test_the_learning_rate_at_each_step(
    tiny_params: Path, schedule: str, expected: np.ndarray
) -> None:
    recipe = read_params(tiny_params).train.model_copy(
        update={"schedule": schedule, "batch_size": 100, "learning_rate": 0.5, "warmup": 0.25}
    )
    rate = learning_rate(recipe, images=1000)  # 2 epochs of 10 steps
    found = [float(rate(step) if callable(rate) else rate) for step in range(21)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("name", get_args(Optimizer))
def test_weight_decay_is_of_weights_and_not_of_biases(tiny_params: Path, name: str) -> None:
    change(tiny_params, ("pool_size: 4\n", "pool_size: 4\n      batch_normalization: true\n"))
    network = build_network(read_architecture("tiny", tiny_params))
    for weight in network.trainable_weights:
        weight.assign(np.ones(weight.shape))
    recipe = read_params(tiny_params).train
    recipe = recipe.model_copy(update={"optimizer": name, "weight_decay": 0.5})
    optimizer = build_optimizer(recipe, images=1000)
    optimizer.build(network.trainable_variables)
    optimizer.apply([np.zeros(weight.shape, np.float32) for weight in network.trainable_weights])
    decayed = {weight.path.split("/")[-1]: float(np.min(weight)) for weight in network.weights}
    assert decayed["bias"] == decayed["gamma"] == decayed["beta"] == pytest.approx(1)
    if name != "schedule_free_adamw":  # its weights follow an average
        assert decayed["kernel"] == pytest.approx(1 - 0.5 * 0.001)


def test_muon_trains_the_dense_layer_of_the_head_alone(tiny_params: Path, normalized: Path) -> None:
    change(tiny_params, ("optimizer: adam ", "optimizer: muon "))
    trainer = tiny_trainer(tiny_params, normalized)
    # All other variables have a second moment, as Adam's do.
    velocities = trainer.optimizer.adam_velocities
    without = [
        variable.path
        for variable, velocity in zip(trainer.trainable_variables, velocities, strict=True)
        if velocity is None
    ]
    assert [path.split("/")[-2:] for path in without] == [["head_dense", "kernel"]]
