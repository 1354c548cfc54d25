"""What a training goes on from: all that an epoch changes, and all that its result depends on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convdepth.architecture import Architecture
from convdepth.checkpoints import digest_files
from convdepth.params import Train
from convdepth.runtime import keras


def fingerprint(
    architecture: Architecture,
    recipe: Train,
    data: Sequence[Path],
    code: Sequence[Path],
    numeric_class: Mapping[str, Any],
) -> dict[str, Any]:
    """Name all that the result of a training depends on.

    Args:
        architecture: What is trained.
        recipe: How.
        data: The files of the normalized arrays.
        code: The files of the modules that train.
        numeric_class: On what, see `numeric_class.describe_numeric_class`.

    Returns:
        parameters, data, code and numeric class, as JSON has them.

    Raises:
        OSError: A file cannot be read.
    """
    return {
        "parameters": {
            "architecture": architecture.model_dump(mode="json"),
            "train": recipe.model_dump(mode="json"),
        },
        "data": digest_files(data),
        "code": digest_files(code),
        "numeric class": dict(numeric_class),
    }


def build_optimizer(network: keras.Model) -> None:
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
