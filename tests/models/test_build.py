"""The Keras models, for every architecture in params.yaml."""

import numpy as np
import pytest

from conftest import PROJECT
from convdepth.config.architecture import Architecture, walk
from convdepth.config.dataset import IMAGE_SHAPE
from convdepth.config.params import read_params
from convdepth.models.backend import keras
from convdepth.models.build import build_network

pytestmark = pytest.mark.usefixtures("one_thread")

ARCHITECTURES = read_params(PROJECT / "params.yaml").architectures
ARCHITECTURES["everything"] = Architecture.model_validate(
    {
        "block1": {
            "conv1": {"filters": 4, "kernel_size": 3},
            "conv2": {"filters": 6, "kernel_size": 2, "padding": "same"},
            "pool_size": 2,
            "dropout": 0.4,
            "batch_normalization": True,
        },
        "block2": {"conv1": {"filters": 3, "kernel_size": 1}, "pool_size": 1, "dropout": 0.2},
        "head": {"units": 8, "dropout": 0.6},
        "dropout_scale": 0.5,
    }
)
"""With all that the notebook does not have."""

each_architecture = pytest.mark.parametrize(
    "architecture", ARCHITECTURES.values(), ids=ARCHITECTURES.keys()
)


def trainable(layer: keras.Layer) -> int:
    return sum(int(np.prod(weight.shape)) for weight in layer.trainable_weights)


@each_architecture
def test_keras_builds_what_the_walk_foretells(architecture: Architecture) -> None:
    network = build_network(architecture)
    built = [
        (layer.name, type(layer).__name__, tuple(layer.output.shape[1:]), trainable(layer))
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
    given = [rate for rate in (*blocks, architecture.head.dropout) if rate is not None]
    assert rates == [rate * architecture.dropout_scale for rate in given]
    images = np.random.default_rng(0).random((3, *IMAGE_SHAPE), np.float32)
    np.testing.assert_array_equal(network(images), network(images))


def test_a_dropout_scale_halves_each_rate_and_zero_turns_all_off() -> None:
    def rates(scale: float) -> list[float]:
        architecture = ARCHITECTURES["cnn7"].model_copy(update={"dropout_scale": scale})
        network = build_network(architecture)
        return [layer.rate for layer in network.layers if layer.name.endswith("dropout")]

    assert rates(1.0) == [0.7, 0.6, 0.8, 0.5, 0.8, 0.7, 0.9, 0.7]
    assert rates(0.5) == [0.35, 0.3, 0.4, 0.25, 0.4, 0.35, 0.45, 0.35]
    assert set(rates(0.0)) == {0.0}


def test_a_normalized_block_gives_means_of_zero_in_training() -> None:
    network = build_network(ARCHITECTURES["everything"])
    images = np.random.default_rng(0).random((200, *IMAGE_SHAPE), np.float32)
    normalized = network.get_layer("block1_conv1_normalization")
    outputs = keras.Model(network.inputs[0], normalized.output)(images, training=True)
    np.testing.assert_allclose(np.mean(outputs, axis=(0, 1, 2)), 0, atol=1e-4)
