"""The Keras models, for every architecture in params.yaml."""

import numpy as np
import pytest

from conftest import PROJECT
from convdepth.architecture import Architecture, walk
from convdepth.images import IMAGE_SHAPE
from convdepth.network import build_network
from convdepth.params import read_params
from convdepth.runtime import keras

pytestmark = pytest.mark.usefixtures("one_thread")

ARCHITECTURES = read_params(PROJECT / "params.yaml").architectures
each_architecture = pytest.mark.parametrize(
    "architecture", ARCHITECTURES.values(), ids=ARCHITECTURES.keys()
)


@each_architecture
def test_keras_builds_what_the_walk_foretells(architecture: Architecture) -> None:
    network = build_network(architecture)
    built = [
        (layer.name, type(layer).__name__, tuple(layer.output.shape[1:]), layer.count_params())
        for layer in network.layers
    ]
    assert built == [
        (layer.name, layer.kind, layer.output_shape, layer.num_parameters)
        for layer in walk(architecture)
    ]


@each_architecture
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_the_answer_is_a_probability_for_each_digit(
    architecture: Architecture, precision: str
) -> None:
    images = np.random.default_rng(0).random((3, *IMAGE_SHAPE), np.float32)
    answer = build_network(architecture, precision).predict(images, verbose=0)
    assert answer.shape == (3, 10)
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer.sum(axis=1), 1, atol=1e-5)


def test_mixed_precision_keeps_weights_and_softmax_in_float32() -> None:
    network = build_network(ARCHITECTURES["cnn1"], "mixed_bfloat16")
    assert {weight.dtype for weight in network.weights} == {"float32"}
    assert network.get_layer("block1_conv1").compute_dtype == "bfloat16"
    assert network.get_layer("softmax").compute_dtype == "float32"


def test_the_seed_determines_the_weights() -> None:
    def weights(seed: int) -> np.ndarray:
        network = build_network(ARCHITECTURES["cnn3"], seed=seed)
        return np.concatenate([weight.ravel() for weight in network.get_weights()])

    assert np.array_equal(weights(1), weights(1))
    assert not np.array_equal(weights(1), weights(2))


def test_a_pooling_that_pools_nothing_is_left_out_and_not_missed() -> None:
    architecture = ARCHITECTURES["cnn5"]
    images = np.random.default_rng(0).random((3, *IMAGE_SHAPE), np.float32)
    network = build_network(architecture)
    names = [layer.name for layer in network.layers]
    with_all = keras.Sequential([keras.Input(IMAGE_SHAPE)])
    for before, layer in zip([None, *names], network.layers, strict=False):
        if before == "block2_conv2":
            with_all.add(keras.layers.MaxPooling2D(1))
        with_all.add(layer)
    assert "block1_pool" in names
    assert "block2_pool" not in names
    assert len(with_all.layers) == len(names) + 1
    np.testing.assert_array_equal(with_all(images), network(images))


@each_architecture
def test_dropout_is_active_in_training_only(architecture: Architecture) -> None:
    network = build_network(architecture)
    rates = [layer.rate for layer in network.layers if layer.name.endswith("dropout")]
    blocks = [block.dropout for block in architecture.blocks.values()]
    assert rates == [rate for rate in (*blocks, architecture.head.dropout) if rate is not None]
    images = np.random.default_rng(0).random((3, *IMAGE_SHAPE), np.float32)
    np.testing.assert_array_equal(network(images), network(images))
