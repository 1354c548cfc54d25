"""Figure: loss and accuracy after each epoch."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from convdepth.core.text import counted
from convdepth.figures.inputs import Inputs
from convdepth.figures.style import NEUTRAL, add_heading, add_name, grid_shape, style

Look = dict[str, Any]
"""Matplotlib's keywords of a line."""

_NOTEBOOK: Look = {"color": "#BDBDBD", "linewidth": 4, "marker": "none"}
_TRAINING: Look = {"linestyle": (0, (3, 1.5)), "linewidth": 1.3, "marker": "o", "markersize": 2.5}
_VALIDATION: Look = {"linestyle": "-", "linewidth": 1.8, "marker": "o", "markersize": 3.5}

_ACCURACY_TICKS = (0, 50, 80, 90, 95, 98, 99, 99.5, 99.8, 99.9, 99.99)
_LEAST_ERROR = 0.01
"""In percent: on a logarithmic scale, zero errors would be at infinity."""


@style()
def draw_learning_curves(inputs: Inputs) -> Figure:
    """Draw each network's loss (nats) above its accuracy (%), over the notebook's curves."""
    networks = inputs.networks
    num_bands, num_columns = grid_shape(len(networks))
    figure = Figure(figsize=(max(8, 3.3 * num_columns), 5.4 * num_bands + 1), layout="constrained")
    grid = figure.subplots(2 * num_bands, num_columns, squeeze=False)
    pairs = [pair for band in range(num_bands) for pair in grid[2 * band : 2 * band + 2].T]
    recorded = {
        each.name: pd.DataFrame([epoch.model_dump() for epoch in each.record.epochs])
        for each in networks
        if each.record
    }
    histories = [*(each.history for each in networks), *recorded.values()]
    last_epoch = max(history["epoch"].max() for history in histories)
    shared = None
    for network, (loss, accuracy) in zip(networks, pairs, strict=False):
        if network.name in recorded:
            _draw_history(loss, accuracy, recorded[network.name], _NOTEBOOK)
        _draw_history(loss, accuracy, network.history, {"color": network.color})
        add_name(loss, network)
        _label(loss, accuracy, last_epoch)
        if not network.trouble:
            shared = shared or (loss, accuracy)
            _share_scale(loss, accuracy, *shared)
    for axes in (axes for pair in pairs[len(networks) :] for axes in pair):
        axes.remove()
    add_heading(figure, _title(inputs), _note(inputs), _handles(inputs.validation_name))
    return figure


def _draw_history(loss: Axes, accuracy: Axes, history: pd.DataFrame, look: Look) -> None:
    for axes, column, factor in ((loss, "loss", 1), (accuracy, "accuracy", 100)):
        for prefix, line in (("", _TRAINING), ("val_", _VALIDATION)):
            axes.plot(history["epoch"], history[prefix + column] * factor, **line | look)


def _label(loss: Axes, accuracy: Axes, last_epoch: int) -> None:
    loss.set_ylabel("loss (nats)")
    accuracy.set(ylabel="accuracy (%)", xlabel="epoch")
    for axes in (loss, accuracy):
        axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, nbins=6))
        axes.set_xlim(0.5, last_epoch + 0.5)
        axes.margins(y=0.1)
        axes.yaxis.set_major_formatter(ticker.ScalarFormatter(useOffset=False))


def _share_scale(loss: Axes, accuracy: Axes, shared_loss: Axes, shared_accuracy: Axes) -> None:
    if loss is not shared_loss:
        loss.sharey(shared_loss)
        accuracy.sharey(shared_accuracy)
    loss.set_yscale("log")
    loss.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    loss.yaxis.set_minor_locator(ticker.NullLocator())
    accuracy.set_yscale("function", functions=(_compress, _expand))
    accuracy.yaxis.set_major_locator(ticker.FixedLocator(_ACCURACY_TICKS))
    for axes in (loss, accuracy):
        axes.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))


def _compress(accuracy: NDArray[np.float64]) -> NDArray[np.float64]:
    return -np.log10(np.maximum(100 - accuracy, _LEAST_ERROR))


def _expand(exponent: NDArray[np.float64]) -> NDArray[np.float64]:
    return 100 - 10**-exponent


def _handles(validation_name: str) -> list[Line2D]:
    looks = {
        validation_name: _VALIDATION,
        "training": _TRAINING,
        "notebook, test": _VALIDATION | _NOTEBOOK,
        "notebook, training": _TRAINING | _NOTEBOOK,
    }
    return [
        Line2D([], [], label=label, **{"color": NEUTRAL} | look) for label, look in looks.items()
    ]


def _title(inputs: Inputs) -> str:
    epochs = counted(max(len(network.history) for network in inputs.networks), "epoch")
    failed = [network.name for network in inputs.networks if network.trouble]
    networks = counted(len(inputs.networks), "network")
    title = f"{len(inputs.learned)} of {networks} learned in {epochs}"
    return f"{title}; {', '.join(failed)} did not" if failed else title


def _note(inputs: Inputs) -> str:
    note = (
        "Training values are means over an epoch with dropout on, so they can be worse than "
        f"{inputs.validation_name} values. Both scales are logarithmic (accuracy: in the error "
        "rate) and the same for all networks."
    )
    if inputs.troubles:
        note += f" Networks that did not learn have their own linear scales: {inputs.troubles}."
    return note
