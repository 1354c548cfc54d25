"""Grad-CAM: on a network of which it is known where it looks."""

import numpy as np
import pytest

from conftest import PROJECT
from convdepth.config.architecture import Architecture
from convdepth.config.dataset import IMAGE_SHAPE
from convdepth.config.params import read_params
from convdepth.models.backend import keras
from convdepth.models.build import build_network
from convdepth.studies.grad_cam import choose_layer, grad_cam

pytestmark = pytest.mark.usefixtures("one_thread")

ARCHITECTURE = Architecture.model_validate(
    {"block1": {"conv1": {"filters": 2, "kernel_size": 1}, "pool_size": 14}, "head": {"units": 1}}
)
"""It sees the highest ink of each quarter of the image."""


@pytest.fixture
def network() -> keras.Model:
    """Answers 3 if there is ink in the upper left quarter, and looks nowhere else."""
    built = build_network(ARCHITECTURE)
    conv, dense, softmax = (built.get_layer(each) for each in CHANGED)
    kernel, bias = conv.get_weights()
    conv.set_weights([np.zeros_like(kernel) + np.array([1, 0]), bias])
    weights = np.zeros_like(dense.get_weights()[0])
    weights[0] = 1  # of the first quarter, the first map
    dense.set_weights([weights, np.zeros(1)])
    answer = np.zeros((1, 10))
    answer[0, 3] = 1
    softmax.set_weights([answer, np.zeros(10)])
    return built


CHANGED = ("block1_conv1", "head_dense", "softmax")


def test_only_what_speaks_for_the_answer_is_shown(network: keras.Model) -> None:
    images = np.zeros((2, *IMAGE_SHAPE), np.float32)
    images[0, 4:8, 4:8] = 1
    heat = grad_cam(network, images)
    assert heat.shape == (2, 28, 28)
    assert heat.dtype == np.float32
    assert heat[0].max() == 1
    np.testing.assert_array_equal(heat[0] > 0, images[0, :, :, 0] > 0)
    assert heat[1].max() == 0  # an empty image: nothing speaks for anything


def test_the_layer_is_the_last_one_whose_maps_are_fine_enough() -> None:
    chosen = {
        name: choose_layer(build_network(architecture)).name
        for name, architecture in read_params(PROJECT / "params.yaml").architectures.items()
    }
    assert chosen["cnn1"] == "block1_conv2"
    assert chosen["cnn3"] == "block2_conv2"  # 8 x 8
    assert chosen["cnn7"] == "block5_conv2"  # 10 x 10; what follows is 4 x 4 and smaller


def test_behind_a_normalization_the_layer_is_the_one_with_the_relu() -> None:
    architecture = read_params(PROJECT / "params.yaml").architectures["cnn1"]
    block = architecture.blocks["block1"].model_copy(update={"batch_normalization": True})
    normalized = architecture.model_copy(update={"blocks": {"block1": block}})
    network = build_network(normalized)
    assert choose_layer(network).name == "block1_conv2_relu"
    images = np.random.default_rng(0).random((2, *IMAGE_SHAPE), np.float32)
    assert grad_cam(network, images).shape == (2, 28, 28)


def test_a_network_of_coarse_maps_alone_shows_its_first() -> None:
    architecture = ARCHITECTURE.model_validate(
        {
            "block1": {"conv1": {"filters": 2, "kernel_size": 25}, "pool_size": 1},
            "head": {"units": 1},
        }
    )
    network = build_network(architecture)
    assert choose_layer(network).name == "block1_conv1"
    assert grad_cam(network, np.ones((1, *IMAGE_SHAPE), np.float32)).shape == (1, 28, 28)


@pytest.mark.parametrize("name", read_params(PROJECT / "params.yaml").architectures)
def test_each_network_has_maps(name: str) -> None:
    network = build_network(read_params(PROJECT / "params.yaml").architectures[name], seed=1)
    images = np.random.default_rng(0).random((3, *IMAGE_SHAPE), np.float32)
    heat = grad_cam(network, images)
    assert heat.shape == (3, 28, 28)
    assert np.isfinite(heat).all()
    assert heat.min() >= 0
    assert heat.max() <= 1
