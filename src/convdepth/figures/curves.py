"""The picture of the training: loss and accuracy after each epoch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import (
    FixedLocator,
    LogLocator,
    MaxNLocator,
    NullLocator,
    ScalarFormatter,
    StrMethodFormatter,
)
from numpy.typing import NDArray

from convdepth.figures.style import (
    Result,
    add_heading,
    add_name,
    explain_trouble,
    grid_shape,
    style,
)

Look = dict[str, Any]
"""What Matplotlib is told of a line: colour, width, marker and so on."""

_NOTEBOOK: Look = {"color": "#BDBDBD", "linewidth": 4, "marker": "none"}
_TRAINING: Look = {"linestyle": (0, (3, 1.5)), "linewidth": 1.3, "marker": "o", "markersize": 2.5}
_VALIDATION: Look = {"linestyle": "-", "linewidth": 1.8, "marker": "o", "markersize": 3.5}

_ACCURACY_TICKS = (0, 50, 80, 90, 95, 98, 99, 99.5, 99.8, 99.9, 99.99)
_LEAST_ERROR = 0.01
"""Per cent. On a logarithmic scale of errors, no error at all would lie at infinity."""


@style()
def draw_learning_curves(results: Sequence[Result], validation_name: str) -> Figure:
    """Draw loss and accuracy after each epoch, with the notebook's curves behind them.

    The networks that learned share one scale, so that they can be compared; the others have
    scales of their own, or nothing could be seen of them.

    Args:
        results: One to eight networks; their histories and what the notebook recorded are drawn.
        validation_name: What the ``val_`` columns were computed on, ``test`` or ``validation``.

    Returns:
        For each network the loss (nats) above the accuracy (per cent).
    """
    num_bands, num_columns = grid_shape(len(results))
    figure = Figure(figsize=(max(8, 3.3 * num_columns), 5.4 * num_bands + 1), layout="constrained")
    axes = figure.subplots(2 * num_bands, num_columns, squeeze=False)
    last_epoch = max(history["epoch"].max() for history in _histories(results))
    shared: tuple[Axes, Axes] | None = None
    for place in range(num_bands * num_columns):
        band, column = divmod(place, num_columns)
        pair = (axes[2 * band, column], axes[2 * band + 1, column])
        if place >= len(results):
            _remove(pair)
            continue
        _draw_network(pair, results[place], last_epoch)
        if not results[place].trouble:
            shared = shared or pair
            _share_scale(pair, shared)
    title, handles = _curves_title(results, validation_name), _curve_handles(validation_name)
    add_heading(figure, title, _curves_note(results), handles)
    return figure


def _histories(results: Sequence[Result]) -> list[pd.DataFrame]:
    recorded = [result.recorded.history for result in results if result.recorded]
    return [result.history for result in results] + recorded


def _remove(pair: tuple[Axes, Axes]) -> None:
    for axes in pair:
        axes.remove()


def _draw_network(pair: tuple[Axes, Axes], result: Result, last_epoch: int) -> None:
    loss, accuracy = pair
    if result.recorded is not None:
        _draw_history(pair, result.recorded.history, _NOTEBOOK)
    _draw_history(pair, result.history, {"color": result.color})
    add_name(loss, result)
    loss.set_ylabel("loss (nats)")
    accuracy.set_ylabel("accuracy (%)")
    accuracy.set_xlabel("epoch")
    for axes in pair:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        axes.set_xlim(0.5, last_epoch + 0.5)
        axes.margins(y=0.1)
    for axis in (loss.yaxis, accuracy.yaxis):
        axis.set_major_formatter(ScalarFormatter(useOffset=False))


def _draw_history(pair: tuple[Axes, Axes], history: pd.DataFrame, look: Look) -> None:
    for axes, column, factor in zip(pair, ("loss", "accuracy"), (1, 100), strict=True):
        for prefix, line in (("", _TRAINING), ("val_", _VALIDATION)):
            values = history[prefix + column] * factor
            axes.plot(history["epoch"], values, **line | look)


def _share_scale(pair: tuple[Axes, Axes], shared: tuple[Axes, Axes]) -> None:
    loss, accuracy = pair
    if pair is not shared:
        loss.sharey(shared[0])
        accuracy.sharey(shared[1])
    loss.set_yscale("log")
    loss.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    loss.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    loss.yaxis.set_minor_locator(NullLocator())
    accuracy.set_yscale("function", functions=(_compress, _expand))
    accuracy.yaxis.set_major_locator(FixedLocator(_ACCURACY_TICKS))
    accuracy.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def _compress(accuracy: NDArray[np.float64]) -> NDArray[np.float64]:
    return -np.log10(np.maximum(100 - accuracy, _LEAST_ERROR))


def _expand(exponent: NDArray[np.float64]) -> NDArray[np.float64]:
    return 100 - 10**-exponent


def _curve_handles(validation_name: str) -> list[Line2D]:
    looks: dict[str, Look] = {
        validation_name: _VALIDATION,
        "training": _TRAINING,
        "notebook, test": _VALIDATION | _NOTEBOOK,
        "notebook, training": _TRAINING | _NOTEBOOK,
    }
    neutral: Look = {"color": "#333333"}
    return [Line2D([], [], label=label, **neutral | look) for label, look in looks.items()]


def _curves_title(results: Sequence[Result], validation_name: str) -> str:
    num_epochs = max(len(result.history) for result in results)
    epochs = "1 epoch" if num_epochs == 1 else f"{num_epochs} epochs"
    return f"Training and {validation_name} loss and accuracy over {epochs}"


def _curves_note(results: Sequence[Result]) -> str:
    note = (
        "Training values are means over an epoch with dropout at work, so they can be worse than "
        "those on unseen images. Both scales are logarithmic (accuracy: in the share of errors) "
        "and the same for all networks"
    )
    if troubled := explain_trouble(results):
        return f"{note}, but those that did not learn have linear scales of their own: {troubled}."
    return f"{note}."
