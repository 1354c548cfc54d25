"""Figure: confusion matrices, colored by the errors alone."""

from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from convdepth.config.dataset import NUM_CLASSES
from convdepth.core.text import counted
from convdepth.evaluation.metrics import confusion_matrix
from convdepth.figures.inputs import Inputs
from convdepth.figures.style import add_heading, add_name, grid_shape, style

_NORM, _CMAP = LogNorm(1, 100), "YlOrRd"
"""Colors of the errors; only a network that has not learned has more than 100 in a cell."""

_GREY = ListedColormap(["#E6E6E6"])
"""Color of the right answers."""


@style()
def draw_confusion(inputs: Inputs) -> Figure:
    """Draw each network's counts of images, by true digit (down) and answer (across)."""
    num_networks = len(inputs.networks)
    num_rows, num_columns = grid_shape(num_networks, max_columns=3)
    size = (max(6.5, 4.1 * num_columns + 1), 4.5 * num_rows + 0.9)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(num_rows, num_columns, squeeze=False).ravel()
    for axes, network in zip(grid, inputs.networks, strict=False):
        _draw_matrix(axes, confusion_matrix(network.predictions))
        num_errors, num_images = len(network.errors), len(network.predictions)
        add_name(axes, network, f"{num_errors:,} errors in {num_images:,} images")
    for axes in grid[num_networks:]:
        axes.remove()
    colors = ScalarMappable(_NORM, _CMAP)
    used = grid[:num_networks]
    bar = figure.colorbar(colors, ax=used, shrink=0.7, extend="max", format="{x:g}")
    bar.set_label("images with this wrong answer")
    add_heading(figure, _title(inputs), "Grey: right answers. An empty cell: no image.")
    return figure


def _title(inputs: Inputs) -> str:
    counts = [
        (int(count), digit, answer, network.name)
        for network in inputs.learned
        for (digit, answer), count in np.ndenumerate(confusion_matrix(network.predictions))
        if digit != answer
    ]
    most, digit, answer, name = max(counts, default=(0, 0, 0, ""))
    if not most:
        return "No confusion in the test set" if counts else "No network learned to tell digits"
    images = counted(most, "image")
    return f"Most frequent confusion: {name} answers {answer} to {images} of a {digit}"


def _draw_matrix(axes: Axes, counts: NDArray[np.int64]) -> None:
    right = np.eye(NUM_CLASSES, dtype=bool)
    looks: dict[str, Any] = {"annot": True, "fmt": "d", "annot_kws": {"size": 7}, "ax": axes}
    looks |= {"square": True, "cbar": False}
    looks |= {"vmin": _NORM.vmin, "vmax": _NORM.vmax}  # seaborn fails on an empty range
    sns.heatmap(counts, mask=~right | (counts == 0), cmap=_GREY, **looks)
    sns.heatmap(counts, mask=right | (counts == 0), cmap=_CMAP, norm=_NORM, **looks)
    axes.grid(visible=False)
    axes.tick_params(length=0, rotation=0)
    axes.set(xlabel="answer (digit)", ylabel="true digit")
