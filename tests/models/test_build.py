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

IMAGES = np.random.default_rng(0).random((200, *IMAGE_SHAPE), np.float32)

each_architecture = pytest.mark.parametrize(
    "architecture", ARCHITECTURES.values(), ids=ARCHITECTURES.keys()
)


def rates(network: keras.Sequential) -> list[float]:
    return [layer.rate for layer in network.layers if layer.name.endswith("dropout")]


@each_architecture
def test_each_architecture_is_built_as_foretold_and_answers(architecture: Architecture) -> None:
    network = build_network(architecture)
    built = [
        (
            layer.name,
            type(layer).__name__,
            tuple(layer.output.shape[1:]),
            sum(int(np.prod(weight.shape)) for weight in layer.trainable_weights),
        )
        for layer in network.layers
    ]
    assert built == [
        (layer.name, layer.kind, layer.output_shape, layer.num_parameters)
        for layer in walk(architecture)
    ]
    blocks = [block.dropout for block in architecture.blocks.values()]
    given = [rate for rate in (*blocks, architecture.head.dropout) if rate is not None]
    assert rates(network) == [rate * architecture.dropout_scale for rate in given]
    np.testing.assert_array_equal(network(IMAGES[:3]), network(IMAGES[:3]))  # no dropout
    for each in (network, build_network(architecture, "mixed_bfloat16")):
        answer = each.predict(IMAGES[:3], verbose=0)
        assert (answer.shape, answer.dtype) == ((3, 10), np.float32)
        np.testing.assert_allclose(answer.sum(axis=1), 1, atol=1e-5)


def test_mixed_precision_keeps_weights_and_softmax_in_float32() -> None:
    network = build_network(ARCHITECTURES["cnn1"], "mixed_bfloat16")
    assert {weight.dtype for weight in network.weights} == {"float32"}
    assert network.get_layer("block1_conv1").compute_dtype == "bfloat16"
    assert network.get_layer("softmax").compute_dtype == "float32"


def test_a_normalized_block_gives_means_of_zero_in_training() -> None:
    network = build_network(ARCHITECTURES["everything"])
    normalized = network.get_layer("block1_conv1_normalization")
    outputs = keras.Model(network.inputs[0], normalized.output)(IMAGES, training=True)
    np.testing.assert_allclose(np.mean(outputs, axis=(0, 1, 2)), 0, atol=1e-4)
