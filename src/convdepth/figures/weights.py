"""Figures: the weights of every kernel as violins, and the notebook's view of them."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator
from seaborn import violinplot

from convdepth.figures.inputs import Inputs, Kernel, NetworkResult
from convdepth.figures.style import MUTED, NOTE, add_heading, add_name, grid_shape, style

_NOTEBOOK_PANELS = [
    ("Hidden Layer 1", "#3B5BDB"), ("Hidden Layer 2", "#D7263D"), ("Output Layer", "#E8B900")
]  # fmt: skip
"""The notebook's names of the panels, and its blue, red and yellow."""


@style()
def draw_weights(inputs: Inputs) -> Figure:
    """Draw the weights of every kernel, without biases: layers from top to bottom, one scale."""
    networks = inputs.networks
    num_rows, num_columns = grid_shape(len(networks))
    most = max(len(network.kernels) for network in networks)
    size = (max(8, 3.7 * num_columns), (0.36 * most + 1) * num_rows + 1)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(
        num_rows, num_columns, squeeze=False, sharex=True, gridspec_kw={"wspace": 0.1}
    ).ravel()
    for axes, network in zip(grid, networks, strict=False):
        _draw_kernels(axes, network, most)
    for axes in grid[len(networks) :]:
        axes.remove()
    note = (
        "All violins have the same greatest width. Lines: the median and the quartiles of the "
        "weights. At the right: the number of weights."
    )
    add_heading(figure, "Weights of every kernel after training", note)
    return figure


@style()
def draw_notebook_weights(inputs: Inputs) -> Figure:
    """Draw the notebook's own view of the weights under the layers' true names.

    The notebook shows the first three kernels, ``get_weights()[0]``, ``[2]`` and ``[4]``, and
    calls the third "Output Layer".
    """
    networks = inputs.networks
    num_rows, num_columns = grid_shape(len(networks), max_columns=2)
    figure = Figure(figsize=(6.3 * num_columns + 0.6, 2.9 * num_rows + 1.1), layout="constrained")
    parts = figure.subfigures(num_rows, num_columns, squeeze=False).flat
    shown = [list(network.kernels.values())[: len(_NOTEBOOK_PANELS)] for network in networks]
    reach = 1.05 * max(abs(kernel).max() for kernels in shown for kernel in kernels)
    for part, network in zip(parts, networks, strict=False):
        _draw_notebook_panels(part, network, reach)
    title = "The notebook's view of the weights, under the true layer names"
    add_heading(figure, title, _mistake(networks))
    return figure


def _draw_kernels(axes: Axes, network: NetworkResult, most: int) -> None:
    _draw_violins(axes, network.kernels, network.color, "y")
    # Every panel has room for the deepest network, so that a layer has the same height in all.
    axes.set_ylim(most - 0.4, -0.6)
    axes.tick_params(axis="x", labelbottom=True)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
    axes.set_xlabel("weight")
    sizes = [kernel.size for kernel in network.kernels.values()]
    anchor = axes.get_yaxis_transform()
    for place, size in enumerate(sizes):
        axes.text(1, place, f"{size:,}", transform=anchor, fontsize=7, color=NOTE, va="center")
    add_name(axes, network, f"{sum(sizes):,} weights")


def _draw_violins(
    axes: Axes, kernels: Mapping[str, Kernel], color: str, orient: Literal["x", "y"]
) -> None:
    violinplot(
        {layer: kernel.ravel() for layer, kernel in kernels.items()},
        orient=orient,
        color=color,
        alpha=0.55,
        width=0.85,
        density_norm="width",
        cut=0,  # no density beyond the weights
        inner="quart",
        linewidth=1,
        ax=axes,
    )


def _draw_notebook_panels(part: SubFigure, network: NetworkResult, reach: float) -> None:
    add_name(part, network)
    panels = part.subplots(1, len(_NOTEBOOK_PANELS), sharey=True)
    layers = islice(network.kernels.items(), len(_NOTEBOOK_PANELS))
    for axes, (layer, kernel), (label, color) in zip(panels, layers, _NOTEBOOK_PANELS, strict=True):
        _draw_violins(axes, {layer: kernel}, color, "x")
        axes.set_xticks([])
        axes.set_xlabel(layer, weight="bold")
        axes.set_title(f'notebook: "{label}"', fontsize=8, color=MUTED)
    panels[0].set(ylabel="weight", ylim=(-reach, reach))
    panels[0].yaxis.set_major_locator(MaxNLocator(nbins=6))  # whatever the panel's height


def _mistake(networks: Sequence[NetworkResult]) -> str:
    thirds = {network.name: list(network.kernels)[2] for network in networks}
    wrong = [f"{layer} in {name}" for name, layer in thirds.items() if layer != "softmax"]
    note = 'The notebook draws get_weights()[0], [2] and [4] and calls the last "Output Layer".'
    if not wrong:
        return note
    return (
        f"{note} That is wrong: it is the kernel of a hidden layer ({', '.join(wrong)}). "
        "The output layer is softmax, which this view does not show."
    )
