"""The schema of an architecture in ``params.yaml``, and its layers, without Keras.

Keys are Keras's argument names. Batch normalization and a common scale of all dropout rates, which
the notebook lacks, are off by default.
"""

import math
import re
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from convdepth.config.dataset import IMAGE_SHAPE, NUM_CLASSES
from convdepth.core.errors import ParameterError

Rate = Annotated[float, Field(ge=0, lt=1)]
"""A dropout rate: the share of values set to zero, from 0 to below 1."""


class Strict(BaseModel):
    """A section of a parameter file: no unknown keys, no type conversion, immutable."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Numbered(Strict):
    """A section with keys ``<prefix>1 .. <prefix>N``, gathered in its field ``<prefix>#``."""

    prefix: ClassVar[str]

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, entry: Any) -> Any:
        if not isinstance(entry, dict):
            return entry  # pydantic says what it expects instead
        numbered = [key for key in entry if re.fullmatch(rf"{cls.prefix}\d+", str(key))]
        if not numbered:
            raise error_below(f"{cls.prefix}1", "expected a value, got none; add this key")
        for number, found in enumerate(numbered, start=1):
            if found != (wanted := f"{cls.prefix}{number}"):
                raise error_below(found, f"expected {wanted} in its place; count from 1, in order")
        gathered = {key: entry[key] for key in numbered}
        rest = {key: value for key, value in entry.items() if key not in numbered}
        return rest | {f"{cls.prefix}#": gathered}


class Convolution(Strict):
    """A square convolution with stride 1 and ReLU."""

    filters: int = Field(ge=1, le=4096)
    kernel_size: int = Field(ge=1, le=IMAGE_SHAPE[0])
    padding: Literal["valid", "same"] = "valid"


class Block(Numbered):
    """Convolutions ``conv1 .. convM`` with ReLU, one max pooling, and an optional dropout."""

    prefix = "conv"
    convolutions: dict[str, Convolution] = Field(alias="conv#")
    pool_size: int = Field(ge=1)
    dropout: Rate | None = None
    batch_normalization: bool = False
    """Between each convolution and its ReLU (Ioffe and Szegedy 2015)."""

    @property
    def pools(self) -> bool:
        """Whether the pooling is larger than 1 x 1, which costs time and changes nothing."""
        return self.pool_size > 1


class Head(Strict):
    """A dense layer with ReLU and its dropout, before the softmax."""

    units: int = Field(ge=1, le=65_536)
    dropout: Rate | None = None


class Architecture(Numbered):
    """Blocks ``block1 .. blockN`` and the head."""

    prefix = "block"
    blocks: dict[str, Block] = Field(alias="block#")
    head: Head
    dropout_scale: float = Field(default=1.0, ge=0)
    """Factor of each dropout rate of the network; 0 turns dropout off."""

    @model_validator(mode="after")
    def _require_rates_and_sizes(self) -> Self:
        if not may_scale(self, self.dropout_scale):
            message = _too_large(self.dropout_scale, self, "this network")
            raise error_below("dropout_scale", message)
        walk(self)
        return self

    @property
    def num_parameters(self) -> int:
        """The number of trainable parameters; moving statistics do not count."""
        return sum(layer.num_parameters for layer in walk(self))

    @property
    def flop(self) -> int:
        """Floating point operations of one image's forward pass, see `Layer`."""
        return sum(layer.flop for layer in walk(self))


@dataclass(frozen=True)
class Layer:
    """One Keras layer of a network, for example ``block2_conv1`` of the kind ``Conv2D``.

    ``flop`` are the floating point operations of one image's forward pass: a multiplication and an
    addition count as two; biases, normalizations and activations do not count.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    num_parameters: int = 0
    flop: int = 0


def walk(architecture: Architecture) -> list[Layer]:
    """List one `Layer` per Keras layer, from the first convolution to the softmax."""
    layers: list[Layer] = []
    for name, block in architecture.blocks.items():
        layers += _walk_block(name, block, layers[-1].output_shape if layers else IMAGE_SHAPE)
    head, inputs = architecture.head, math.prod(layers[-1].output_shape)
    layers += [Layer("flatten", "Flatten", (inputs,)), _dense("head_dense", inputs, head.units)]
    if head.dropout is not None:
        layers.append(Layer("head_dropout", "Dropout", (head.units,)))
    return [*layers, _dense("softmax", head.units, NUM_CLASSES)]


def _walk_block(name: str, block: Block, shape: tuple[int, ...]) -> list[Layer]:
    layers = []
    for conv_name, convolution in block.convolutions.items():
        bias = not block.batch_normalization
        layer = _convolve(name, conv_name, convolution, shape, bias)
        layers.append(layer)
        shape = layer.output_shape
        if block.batch_normalization:
            normalization = f"{layer.name}_normalization"
            layers.append(Layer(normalization, "BatchNormalization", shape, 2 * shape[-1]))
            layers.append(Layer(f"{layer.name}_relu", "ReLU", shape))
    if block.pools:
        side, _, channels = shape
        _require_fits(f"{name}.pool_size", block.pool_size, side)
        shape = (side // block.pool_size, side // block.pool_size, channels)
        layers.append(Layer(f"{name}_pool", "MaxPooling2D", shape))
    if block.dropout is not None:
        layers.append(Layer(f"{name}_dropout", "Dropout", shape))
    return layers


def _convolve(
    block: str, name: str, convolution: Convolution, shape: tuple[int, ...], bias: bool
) -> Layer:
    side, _, channels = shape
    size, filters = convolution.kernel_size, convolution.filters
    if convolution.padding == "valid":
        _require_fits(f"{block}.{name}.kernel_size", size, side)
        side = side - size + 1
    weights = size * size * channels * filters
    parameters, flop = weights + (filters if bias else 0), 2 * weights * side * side
    return Layer(f"{block}_{name}", "Conv2D", (side, side, filters), parameters, flop)


def _dense(name: str, inputs: int, units: int) -> Layer:
    return Layer(name, "Dense", (units,), inputs * units + units, 2 * inputs * units)


def _require_fits(key: str, size: int, left: int) -> None:
    if size > left:
        found = f"since {left} x {left} pixels reach it, got {size}"
        advice = "lower it, or the kernels and poolings before it"
        raise error_below(key, f"expected at most {left}, {found}; {advice}")


def error_below(key: str, message: str) -> PydanticCustomError:
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
    """Require `may_scale` of a network; ``key`` is file and dotted key of the scale."""
    if not may_scale(architecture, scale):
        raise ParameterError(f"{key}: {_too_large(scale, architecture, name)}")


def _too_large(scale: float, architecture: Architecture, name: str) -> str:
    limit = 1 / max(dropout_rates(architecture))
    return (
        f"expected less than {limit:.6g}, since all dropouts of {name} must stay below 1, got "
        f"{scale}"
    )
