"""The networks of ``params.yaml`` for code that is not this project's, and what they cost."""

import json
import sys
from pathlib import Path
from typing import Any

from convdepth.config.architecture import Architecture, walk
from convdepth.config.dataset import NUM_CLASSES

PROJECT = Path(__file__).resolve().parent.parent
sys.path.append(str(PROJECT))  # for the flow's own code, which is not installed

PARAMS = PROJECT / "params.yaml"
NORMALIZED = PROJECT / "data" / "normalized"


def describe_layers(architecture: Architecture) -> str:
    """Give the layers of a network as Keras's arguments, the notebook's poolings of 1 x 1 too.

    A list as JSON: of each layer its kind and its arguments.
    """
    layers: list[dict[str, Any]] = []
    for block in architecture.blocks.values():
        for convolution in block.convolutions.values():
            layers.append({"kind": "convolution", **convolution.model_dump()})
        layers.append({"kind": "pooling", "pool_size": block.pool_size})
        if block.dropout is not None:
            layers.append({"kind": "dropout", "rate": block.dropout})
    head = architecture.head
    layers.append({"kind": "flatten"})
    layers.append({"kind": "dense", "units": head.units, "activation": "relu"})
    if head.dropout is not None:
        layers.append({"kind": "dropout", "rate": head.dropout})
    layers.append({"kind": "dense", "units": NUM_CLASSES, "activation": "softmax"})
    return json.dumps(layers)


def training_flop(architecture: Architecture) -> int:
    """Count the operations of one trained image: forward, and backward to weights and to inputs.

    The input of the first layer needs no gradient.
    """
    return 3 * architecture.flop - walk(architecture)[0].flop
