"""Channels that answer to no image are found, wherever in a network they are."""

import numpy as np
import pytest

from convdepth.config.architecture import Architecture
from convdepth.models.build import build_network
from convdepth.studies.dead_channels import active_channels

pytestmark = pytest.mark.usefixtures("one_thread")

IMAGES = np.random.default_rng(0).random((7, 28, 28, 1), np.float32)


def architecture(*, normalized: bool) -> Architecture:
    block = {
        "conv1": {"filters": 6, "kernel_size": 3},
        "pool_size": 4,
        "dropout": 0.5,
        "batch_normalization": normalized,
    }
    return Architecture.model_validate({"block1": block, "head": {"units": 5}})


@pytest.mark.parametrize("normalized", [False, True])
def test_a_channel_that_no_image_raises_above_zero_is_dead(normalized: bool) -> None:
    network = build_network(architecture(normalized=normalized), seed=1)
    first = next(layer for layer in network.layers if layer.weights)
    kernel = np.abs(np.random.default_rng(1).normal(size=(3, 3, 1, 6)))
    kernel[..., [1, 4]] *= -1
    first.kernel.assign(kernel)
    head = network.get_layer("head_dense")
    head.kernel.assign(np.zeros(head.kernel.shape))
    head.bias.assign([1, 0, -1, 0, 1e-6])
    assert active_channels(network, IMAGES) == [
        {"layer": "block1_conv1", "channels": 6, "active": 4},
        {"layer": "head_dense", "channels": 5, "active": 2},
    ]


def test_one_place_in_one_image_is_enough() -> None:
    network = build_network(architecture(normalized=False), seed=1)
    images = np.zeros_like(IMAGES)
    images[3, 20, 11] = 1.0
    first = network.layers[0]
    first.kernel.assign(np.ones(first.kernel.shape))
    first.bias.assign([-0.5, -2, 0, 0, 0, 0])  # one pixel makes a sum of 1
    assert active_channels(network, images)[0]["active"] == 5
