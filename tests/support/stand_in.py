"""A stand-in for a compiled Keras model, for checkpoints without TensorFlow."""

from types import SimpleNamespace
from typing import Any

import numpy as np


class Variable:
    """A named array, as far as checkpoints use a variable of Keras."""

    def __init__(self, name: str, value: Any) -> None:
        self.name, self.value = name, np.asarray(value)
        self.shape, self.dtype = self.value.shape, self.value.dtype

    def __array__(self, *_arguments: Any, **_options: Any) -> np.ndarray:
        return self.value

    def assign(self, value: np.ndarray) -> None:
        self.value = value


def stand_in(value: float, shape: tuple[int, ...] = (500, 500)) -> SimpleNamespace:
    """Make a model of one kernel, whose optimizer counts its steps."""
    kernel = Variable("kernel", np.full(shape, value, np.float32))
    step = Variable("step", np.int64(value))
    return SimpleNamespace(weights=[kernel], optimizer=SimpleNamespace(variables=[step]))
