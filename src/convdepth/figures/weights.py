"""Pictures of the weights: the distribution within every kernel, as violins."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Literal

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from convdepth.figures.style import MUTED, Result, add_heading, add_name, grid_shape, style

Kernel = NDArray[np.float32]

_NOTEBOOK_LABELS = ("Hidden Layer 1", "Hidden Layer 2", "Output Layer")
_NOTEBOOK_COLORS = ("#3B5BDB", "#D7263D", "#E8B900")
"""Blue, red and yellow, as in the notebook, of about the strength that seaborn gave them there."""


@style()
def draw_weights(results: Sequence[Result]) -> Figure:
    """Draw the distribution of the weights of every kernel under its layer's name.

    Args:
        results: One to eight networks; their kernels are drawn. Biases are not.

    Returns:
        One panel per network, layers from top to bottom, all on one scale of weights.
    """
    num_rows, num_columns = grid_shape(len(results))
    most = max(len(result.kernels) for result in results)
    size = (max(8, 3.7 * num_columns), (0.36 * most + 1) * num_rows + 1)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(
        num_rows, num_columns, squeeze=False, sharex=True, gridspec_kw={"wspace": 0.1}
    ).ravel()
    for axes, result in zip(grid, results, strict=False):
        _draw_kernels(axes, result, most)
    for axes in grid[len(results) :]:
        axes.remove()
    note = (
        "All violins have the same greatest width. Lines: the median and the quartiles of the "
        "weights. At the right: the number of weights."
    )
    add_heading(figure, "Weights of every kernel after training", note)
    return figure


@style()
def draw_notebook_weights(results: Sequence[Result]) -> Figure:
    """Draw the notebook's own view of the weights, under the layers' true names.

    The notebook shows ``get_weights()[0]``, ``[2]`` and ``[4]``, which are the first three
    kernels, and calls the third "Output Layer".

    Args:
        results: One to eight networks; their first three kernels are drawn.

    Returns:
        For each network three panels, in the notebook's blue, red and yellow.
    """
    num_rows, num_columns = grid_shape(len(results), max_columns=2)
    figure = Figure(figsize=(6.3 * num_columns + 0.6, 2.9 * num_rows + 1.1), layout="constrained")
    parts = figure.subfigures(num_rows, num_columns, squeeze=False).flat
    for part, result in zip(parts, results, strict=False):
        _draw_notebook_panels(part, result)
    add_heading(
        figure, "The notebook's view of the weights, under the true layer names", _mistake(results)
    )
    return figure


def _draw_kernels(axes: Axes, result: Result, most: int) -> None:
    _draw_violins(axes, result.kernels, result.color, "y")
    # Every panel has room for the deepest network, so that a layer has the same height in all.
    axes.set_ylim(most - 0.4, -0.6)
    axes.tick_params(axis="x", labelbottom=True)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
    axes.set_xlabel("weight")
    for place, kernel in enumerate(result.kernels.values()):
        anchor = axes.get_yaxis_transform()
        text = f"{kernel.size:,}"
        axes.text(1, place, text, transform=anchor, fontsize=7, color="#444444", va="center")
    add_name(axes, result, f"{sum(kernel.size for kernel in result.kernels.values()):,} weights")


def _draw_violins(
    axes: Axes, kernels: Mapping[str, Kernel], color: str, orient: Literal["x", "y"]
) -> None:
    sns.violinplot(
        {layer: kernel.ravel() for layer, kernel in kernels.items()},
        orient=orient,
        color=color,
        alpha=0.55,
        width=0.85,
        density_norm="width",
        cut=0,  # no density beyond the weights that there are
        inner="quart",
        linewidth=1,
        ax=axes,
    )


def _draw_notebook_panels(part: SubFigure, result: Result) -> None:
    add_name(part, result)
    panels = part.subplots(1, len(_NOTEBOOK_LABELS))
    shown = islice(result.kernels.items(), len(_NOTEBOOK_LABELS))
    looks = zip(panels, shown, _NOTEBOOK_COLORS, _NOTEBOOK_LABELS, strict=True)
    for axes, (layer, kernel), color, label in looks:
        _draw_violins(axes, {layer: kernel}, color, "x")
        axes.set_xticks([])
        axes.set_xlabel(layer, weight="bold")
        axes.set_title(f'notebook: "{label}"', fontsize=8, color=MUTED)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6))
    panels[0].set_ylabel("weight")


def _mistake(results: Sequence[Result]) -> str:
    wrong = [
        f"{layer} in {result.name}"
        for result in results
        for layer in islice(result.kernels, 2, 3)
        if layer != "softmax"
    ]
    note = 'The notebook draws get_weights()[0], [2] and [4] and calls the last "Output Layer".'
    if wrong:
        note += (
            f" That is wrong: it is the kernel of a hidden layer ({', '.join(wrong)}). "
            "The output layer is softmax, which this view does not show."
        )
    return note
