"""The schema of an architecture in ``params.yaml``, and its layers, without Keras.

An architecture is a chain of *blocks* and a *head*. A block has convolutions with ReLU, one max
pooling and an optional dropout. The head has a dense layer with ReLU, an optional dropout, and a
softmax over ten classes. Keys are Keras's argument names. Batch normalization and a common scale
of all dropout rates, which the notebook lacks, are off by default.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from convdepth.config.dataset import IMAGE_SHAPE, NUM_CLASSES
from convdepth.core.errors import ParameterError

Rate = Annotated[float, Field(ge=0, lt=1)]
"""A dropout rate: the share of values set to zero, from 0 to below 1."""


class Strict(BaseModel):
    """A section of a parameter file: no unknown keys, no type conversion, immutable."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Convolution(Strict):
    """A square convolution with stride 1 and ReLU."""

    filters: int = Field(ge=1, le=4096)
    kernel_size: int = Field(ge=1, le=IMAGE_SHAPE[0])
    padding: Literal["valid", "same"] = "valid"


class Block(Strict):
    """Convolutions ``conv1 .. convM``, one max pooling, and an optional dropout."""

    convolutions: dict[str, Convolution]
    pool_size: int = Field(ge=1)
    dropout: Rate | None = None
    batch_normalization: bool = False
    """Between each convolution and its ReLU (Ioffe and Szegedy 2015)."""

    @property
    def pools(self) -> bool:
        """Whether the pooling is larger than 1 x 1, which costs time and changes nothing."""
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
    """Factor of each dropout rate of the network; 0 turns dropout off."""

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
        """The number of trainable parameters; moving statistics do not count."""
        return sum(layer.num_parameters for layer in walk(self))

    @property
    def flop(self) -> int:
        """Floating point operations of one image's forward pass, see `Layer`."""
        return sum(layer.flop for layer in walk(self))


GATHERED = {"blocks": "block", "convolutions": "conv"}
"""Maps a model field to the prefix of its numbered YAML keys."""


@dataclass(frozen=True)
class Layer:
    """One Keras layer of a network.

    Attributes:
        name: The Keras layer's name, for example ``block2_conv1``.
        kind: The Keras class, for example ``Conv2D``.
        output_shape: Shape of its output for one image.
        num_parameters: Trainable parameters, biases included.
        flop: Floating point operations of one image's forward pass; a multiplication and an
            addition count as two; biases, normalizations and activations do not count.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    num_parameters: int = 0
    flop: int = 0


def walk(architecture: Architecture) -> list[Layer]:
    """List one `Layer` per Keras layer, from the first convolution to the softmax.

    Raises:
        ValueError: A kernel or a pooling is larger than its input; the message names key and size.
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
    """Move the keys ``<prefix>1 .. <prefix>N`` into one mapping under ``field``."""
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
    """Return an error about a key below the validated one."""
    return PydanticCustomError("key_below", "{key}: {message}", {"key": key, "message": message})


def dropout_rates(architecture: Architecture) -> list[float]:
    """List the unscaled dropout rates from the first block to the head, each 0 to below 1."""
    rates = [block.dropout for block in architecture.blocks.values()]
    return [rate for rate in (*rates, architecture.head.dropout) if rate is not None]


def may_scale(architecture: Architecture, scale: float) -> bool:
    """Return whether all dropout rates stay below 1 when multiplied by ``scale`` (at least 0)."""
    return scale * max(dropout_rates(architecture), default=0.0) < 1


def require_scale(key: str, name: str, architecture: Architecture, scale: float) -> None:
    """Require `may_scale`.

    Args:
        key: File and dotted key of the scale, for the error.
        name: The network, for the error.
        architecture: The network.
        scale: The factor, at least 0.

    Raises:
        ParameterError: A rate would be 1 or more.
    """
    if not may_scale(architecture, scale):
        raise ParameterError(
            f"{key}: expected less than {1 / max(dropout_rates(architecture)):.4g}, since all "
            f"dropouts of {name} must stay below 1, got {scale}"
        )
