"""What follows from an architecture without Keras; `test_build` compares it with Keras."""

from typing import Any

import pytest

from conftest import PROJECT
from convdepth.config.architecture import Architecture, dropout_rates, may_scale, walk
from convdepth.config.params import read_params

ARCHITECTURES = read_params(PROJECT / "params.yaml").architectures

CONV = {"filters": 1, "kernel_size": 3}


def build(**blocks: dict[str, Any]) -> Architecture:
    """Read an architecture of these blocks and the smallest head."""
    return Architecture.model_validate({**blocks, "head": {"units": 1}})


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
