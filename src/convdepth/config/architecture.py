"""An architecture as ``params.yaml`` says it, and what follows from it, without Keras.

An architecture is a chain of *blocks* and a *head*. A block is a few convolutions with ReLU, one
max pooling and, where it is given, one dropout; the head is a dense layer with ReLU, its dropout,
and the ten-way softmax that MNIST fixes. Keys are Keras's argument names. What the notebook does
not have, batch normalization and a common scale of all dropouts, is off unless it is given.

Walking an architecture gives one `Layer` for each Keras layer, with its output shape, its number
of parameters and its cost. The walk is also the check that an image is large enough for each
kernel and each pooling on its way.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from convdepth.config.dataset import IMAGE_SHAPE, NUM_CLASSES

Rate = Annotated[float, Field(ge=0, lt=1)]
"""A dropout rate: the share of values that is set to zero, from 0 to below 1."""


class Strict(BaseModel):
    """A section of ``params.yaml``: no unknown key, no value of another type, no change."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Convolution(Strict):
    """A square convolution with stride 1 and ReLU."""

    filters: int = Field(ge=1, le=4096)
    kernel_size: int = Field(ge=1, le=IMAGE_SHAPE[0])
    padding: Literal["valid", "same"] = "valid"


class Block(Strict):
    """Convolutions ``conv1 .. convM``, one max pooling, and a dropout where it is given."""

    convolutions: dict[str, Convolution]
    pool_size: int = Field(ge=1)
    dropout: Rate | None = None
    batch_normalization: bool = False
    """Whether each convolution is followed by one, before its ReLU (Ioffe and Szegedy 2015)."""

    @property
    def pools(self) -> bool:
        """Whether there is anything to pool: one of 1 x 1 is costly, and changes nothing."""
        return self.pool_size > 1

    @model_validator(mode="before")
    @classmethod
    def _gather_convolutions(cls, entry: Any) -> Any:
        return _gather(entry, "convolutions")


class Head(Strict):
    """A dense layer with ReLU and its dropout, before the softmax."""

    units: int = Field(ge=1, le=65_536)
    dropout: Rate | None = None


class Architecture(Strict):
    """Blocks ``block1 .. blockN`` and the head."""

    blocks: dict[str, Block]
    head: Head
    dropout_scale: float = Field(default=1.0, ge=0)
    """What each dropout rate of the network is multiplied with: 0 turns all of them off."""

    @model_validator(mode="before")
    @classmethod
    def _gather_blocks(cls, entry: Any) -> Any:
        return _gather(entry, "blocks")

    @model_validator(mode="after")
    def _require_rates(self) -> Self:
        rates = [block.dropout for block in self.blocks.values()]
        highest = max(rate or 0 for rate in (*rates, self.head.dropout))
        if highest * self.dropout_scale >= 1:
            raise _error_below(
                "dropout_scale",
                f"expected less than {1 / highest:.6g}, since the highest dropout is {highest} and "
                f"their product must stay below 1, got {self.dropout_scale}",
            )
        return self

    @property
    def num_parameters(self) -> int:
        """The number of trainable parameters: the means of batch normalization are none."""
        return sum(layer.num_parameters for layer in walk(self))

    @property
    def flop(self) -> int:
        """Floating point operations of the forward pass for one image, see `Layer`."""
        return sum(layer.flop for layer in walk(self))


GATHERED = {"blocks": "block", "convolutions": "conv"}
"""Names that stand in the models alone; in ``params.yaml`` are numbered keys with this prefix."""


@dataclass(frozen=True)
class Layer:
    """One Keras layer of a network.

    Attributes:
        name: The Keras layer's name, for example ``block2_conv1``.
        kind: The Keras class, for example ``Conv2D``.
        output_shape: Shape of its output for one image.
        num_parameters: Trainable parameters, biases included.
        flop: Floating point operations of the forward pass for one image, a multiplication and an
            addition counted as two; biases, normalizations, activations and comparisons are left
            out.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    num_parameters: int = 0
    flop: int = 0


def walk(architecture: Architecture) -> list[Layer]:
    """List the layers of a network in order, from the first convolution to the softmax.

    Args:
        architecture: What ``params.yaml`` says.

    Returns:
        One entry for each Keras layer, the input left out.

    Raises:
        ValueError: A kernel or a pooling is larger than what is left of the image; the message
            names its key, its size, and the size that reaches it.
    """
    return list(_walk(architecture))


def _walk(architecture: Architecture) -> Iterator[Layer]:
    shape: tuple[int, ...] = IMAGE_SHAPE
    for block_name, block in architecture.blocks.items():
        for layer in _walk_block(block_name, block, shape):
            yield layer
            shape = layer.output_shape
    yield (flatten := Layer("flatten", "Flatten", (math.prod(shape),)))
    yield (dense := _dense("head_dense", flatten.output_shape, architecture.head.units))
    if architecture.head.dropout is not None:
        yield Layer("head_dropout", "Dropout", dense.output_shape)
    yield _dense("softmax", dense.output_shape, NUM_CLASSES)


def _walk_block(name: str, block: Block, shape: tuple[int, ...]) -> Iterator[Layer]:
    for conv_name, convolution in block.convolutions.items():
        bias = not block.batch_normalization
        yield (layer := _convolve(name, conv_name, convolution, shape, bias))
        shape = layer.output_shape
        if block.batch_normalization:
            yield Layer(f"{layer.name}_normalization", "BatchNormalization", shape, 2 * shape[-1])
            yield Layer(f"{layer.name}_relu", "ReLU", shape)
    if block.pools:
        yield (layer := _pool(name, block.pool_size, shape))
        shape = layer.output_shape
    if block.dropout is not None:
        yield Layer(f"{name}_dropout", "Dropout", shape)


def _convolve(
    block: str, name: str, convolution: Convolution, shape: tuple[int, ...], bias: bool
) -> Layer:
    height, width, channels = shape
    size, filters = convolution.kernel_size, convolution.filters
    if convolution.padding == "valid":
        _require_fits(f"{block}.{name}.kernel_size", size, height)
        height, width = height - size + 1, width - size + 1
    weights = size * size * channels * filters
    flop = 2 * weights * height * width
    parameters = weights + (filters if bias else 0)
    return Layer(f"{block}_{name}", "Conv2D", (height, width, filters), parameters, flop)


def _pool(block: str, size: int, shape: tuple[int, ...]) -> Layer:
    height, width, channels = shape
    _require_fits(f"{block}.pool_size", size, height)
    return Layer(f"{block}_pool", "MaxPooling2D", (height // size, width // size, channels))


def _dense(name: str, shape: tuple[int, ...], units: int) -> Layer:
    weights = shape[0] * units
    return Layer(name, "Dense", (units,), weights + units, 2 * weights)


def _require_fits(key: str, size: int, left: int) -> None:
    if size > left:
        raise _error_below(
            key,
            f"expected at most {left}, since {left} x {left} pixels reach it, got {size}; "
            f"lower it, or the kernels and poolings before it",
        )


def _gather(entry: Any, field: str) -> Any:
    """Move ``<prefix>1 .. <prefix>N`` of a mapping into one mapping under ``field``."""
    if not isinstance(entry, dict):
        return entry  # pydantic says what it expects instead
    prefix = GATHERED[field]
    numbered = [key for key in entry if re.fullmatch(rf"{prefix}\d+", str(key))]
    expected = [f"{prefix}{number}" for number in range(1, len(numbered) + 1)]
    if not numbered:
        raise _error_below(f"{prefix}1", "expected a value, got none; add this key")
    for found, wanted in zip(numbered, expected, strict=True):
        if found != wanted:
            raise _error_below(found, f"expected {wanted} in its place; count from 1, in order")
    if field in entry:
        raise _error_below(field, f"unknown key; write {prefix}1, {prefix}2, ... instead")
    rest = {key: value for key, value in entry.items() if key not in numbered}
    return rest | {field: {key: entry[key] for key in numbered}}


def _error_below(key: str, message: str) -> PydanticCustomError:
    """Give an error about a key below the one that pydantic knows the validator to be at."""
    return PydanticCustomError("key_below", "{key}: {message}", {"key": key, "message": message})
