"""What a training goes on from: all that an epoch changes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convdepth.models.backend import keras


def build_state(network: keras.Model) -> None:
    """Give the optimizer its variables now, and not when the first batch comes.

    Args:
        network: A compiled model.
    """
    network.optimizer.build(network.trainable_variables)


def state_arrays(network: keras.Model) -> dict[str, NDArray[Any]]:
    """Read all that an epoch changes; the state of the dropout is set anew before each.

    Args:
        network: A compiled model, its optimizer built.

    Returns:
        The weights and the optimizer's variables, by number and name.
    """
    return {name: np.asarray(variable) for name, variable in _variables(network).items()}


def restore(network: keras.Model, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Set all that an epoch changes.

    Args:
        network: A compiled model, its optimizer built.
        arrays: What `state_arrays` gave.
    """
    for name, variable in _variables(network).items():
        variable.assign(arrays[name])


def _variables(network: keras.Model) -> dict[str, Any]:
    variables = [*network.weights, *network.optimizer.variables]
    # Names alone are not different from each other, and paths tell how many optimizers there were.
    return {f"{number:03} {variable.name}": variable for number, variable in enumerate(variables)}
