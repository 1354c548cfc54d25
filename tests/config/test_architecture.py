"""What follows from an architecture without Keras; `test_build` compares it with Keras."""

from typing import Any

import pytest

from conftest import PROJECT
from convdepth.config.architecture import Architecture, dropout_rates, may_scale, walk
from convdepth.config.params import read_params

ARCHITECTURES = read_params(PROJECT / "params.yaml").architectures

NOTEBOOK = {
    "cnn1": "26x26x32 24x24x64 12x12x64",
    "cnn3": "26x26x32 24x24x64 12x12x64  10x10x32 8x8x64 4x4x64  4x4x16 4x4x8 2x2x8",
    "cnn5": "24x24x32 24x24x64 12x12x64  12x12x32 12x12x64  11x11x16 10x10x8  6x6x16 6x6x8  "
    "4x4x16 3x3x8",
    "cnn7": "22x22x32 20x20x64 10x10x64  10x10x32 10x10x64  10x10x16 10x10x8  10x10x16 10x10x8  "
    "10x10x16 10x10x8  4x4x16 4x4x8  3x3x16 2x2x8",
}
"""Shapes of convolutions and poolings in the notebook's summaries; 1 x 1 poolings are no layers
here. `test_notebook_record` compares the numbers of parameters."""

CONV = {"filters": 1, "kernel_size": 3}


def build(**blocks: dict[str, Any]) -> Architecture:
    """Read an architecture of these blocks and the smallest head."""
    return Architecture.model_validate({**blocks, "head": {"units": 1}})


@pytest.mark.parametrize("name", NOTEBOOK)
def test_blocks_and_shapes_are_those_of_the_notebook(name: str) -> None:
    maps = [each for each in walk(ARCHITECTURES[name]) if each.kind in {"Conv2D", "MaxPooling2D"}]
    shapes = ["x".join(map(str, layer.output_shape)) for layer in maps]
    assert shapes == NOTEBOOK[name].split()
    assert list(ARCHITECTURES[name].blocks) == [f"block{i + 1}" for i in range(int(name[3:]))]


def test_all_layers_of_a_small_network() -> None:
    architecture = Architecture.model_validate(
        {
            "block1": {
                "conv1": {"filters": 2, "kernel_size": 3},
                "conv2": {"filters": 3, "kernel_size": 2, "padding": "same"},
                "conv3": {"filters": 1, "kernel_size": 1},
                "pool_size": 5,
                "dropout": 0.1,
            },
            "head": {"units": 4, "dropout": 0.0},
        }
    )
    # Name, shape, parameters, and floating point operations counted by hand.
    assert [
        (layer.name, layer.output_shape, layer.num_parameters, layer.flop)
        for layer in walk(architecture)
    ] == [
        ("block1_conv1", (26, 26, 2), 3 * 3 * 1 * 2 + 2, 2 * 3 * 3 * 1 * 2 * 26 * 26),
        ("block1_conv2", (26, 26, 3), 2 * 2 * 2 * 3 + 3, 2 * 2 * 2 * 2 * 3 * 26 * 26),
        ("block1_conv3", (26, 26, 1), 3 + 1, 2 * 3 * 26 * 26),
        ("block1_pool", (5, 5, 1), 0, 0),
        ("block1_dropout", (5, 5, 1), 0, 0),
        ("flatten", (25,), 0, 0),
        ("head_dense", (4,), 25 * 4 + 4, 2 * 25 * 4),
        ("head_dropout", (4,), 0, 0),
        ("softmax", (10,), 4 * 10 + 10, 2 * 4 * 10),
    ]


def test_what_is_larger_than_the_rest_of_the_image_is_named() -> None:
    with pytest.raises(ValueError, match=r"block1\.pool_size: .*26.*27"):
        build(block1={"conv1": CONV, "pool_size": 27})
    last = {"conv1": {**CONV, "kernel_size": 2}, "conv2": CONV, "pool_size": 1}
    with pytest.raises(ValueError, match=r"block2\.conv2\.kernel_size: .*1 x 1.*3"):
        build(block1={"conv1": CONV, "pool_size": 13}, block2=last)


def test_a_kernel_may_be_as_large_as_what_reaches_it_and_larger_with_padding() -> None:
    whole = build(block1={"conv1": {"filters": 5, "kernel_size": 28}, "pool_size": 1})
    assert walk(whole)[0].output_shape == (1, 1, 5)
    padded = {"filters": 1, "kernel_size": 28, "padding": "same"}
    last = {"conv1": padded, "pool_size": 1}
    layers = walk(build(block1={"conv1": CONV, "pool_size": 26}, block2=last))
    assert [layer.output_shape for layer in layers[1:3]] == [(1, 1, 1)] * 2


def test_dropout_rates_may_be_scaled_to_below_one() -> None:
    assert dropout_rates(ARCHITECTURES["cnn3"]) == [0.5, 0.6, 0.5]  # none in its third block
    assert may_scale(ARCHITECTURES["cnn7"], 1.1)  # its highest is 0.9
    assert not may_scale(ARCHITECTURES["cnn7"], 1.2)
    assert not may_scale(ARCHITECTURES["cnn1"], 2)
