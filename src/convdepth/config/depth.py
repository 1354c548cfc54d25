"""Networks that differ in depth alone.

Each block has two 3 x 3 convolutions with padding ``same``. The first block pools 4 x 4, so that
the head sees 7 x 7 pixels at each depth. Only the head has a dropout.
"""

from typing import Any, Literal

from pydantic import Field

from convdepth.config.architecture import Architecture, Rate, Strict
from convdepth.config.recipe import Precision

Arm = Literal["width", "width-normalized", "size", "size-normalized"]
"""``width``: each depth has the same filters; ``size``: about the same number of parameters.

``normalized``: with batch normalization.
"""

POOL_SIZE = 4


class Design(Strict):
    """What all networks of the study have in common."""

    filters: int = Field(ge=1, le=256)
    """Of each convolution, in the arms ``width``."""
    units: int = Field(ge=1)
    dropout: Rate
    reference: int = Field(ge=1)
    """Blocks with `filters` whose number of parameters the arms ``size`` keep."""
    epochs: int = Field(ge=1)
    precision: Precision


def depth_architecture(design: Design, arm: str, blocks: int) -> Architecture:
    """Return the network of an arm with a number of blocks."""
    normalized = arm.endswith("-normalized")

    def build(blocks: int, filters: int) -> Architecture:
        convolution = {"filters": filters, "kernel_size": 3, "padding": "same"}
        block = {"conv1": convolution, "conv2": convolution, "batch_normalization": normalized}
        entries: dict[str, Any] = {
            f"block{number}": {**block, "pool_size": POOL_SIZE if number == 1 else 1}
            for number in range(1, blocks + 1)
        }
        head = {"units": design.units, "dropout": design.dropout}
        return Architecture.model_validate({**entries, "head": head})

    if arm.startswith("width"):
        return build(blocks, design.filters)
    size = build(design.reference, design.filters).num_parameters
    candidates = (build(blocks, filters) for filters in range(1, 4 * design.filters))
    return min(candidates, key=lambda network: abs(network.num_parameters - size))
