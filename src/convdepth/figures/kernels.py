"""Figure: the kernels of each network's first convolution."""

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from convdepth.figures.style import add_heading, style

_ACROSS = 16
"""Kernels in a row."""


@style()
def draw_first_kernels(kernels: Mapping[str, NDArray[np.float32]]) -> Figure:
    """Draw the first kernels of each network, on the network's own symmetric scale.

    Args:
        kernels: By network, ``(height, width, 1, filters)``.
    """
    rows = [math.ceil(kernel.shape[3] / _ACROSS) for kernel in kernels.values()]
    figure = Figure(figsize=(11, 0.72 * sum(rows) + 0.5 * len(rows) + 1.2), layout="constrained")
    heights = [row + 0.6 for row in rows]
    parts = figure.subfigures(len(rows), 1, squeeze=False, height_ratios=heights).ravel()
    for part, (name, kernel), row in zip(parts, kernels.items(), rows, strict=True):
        reach = float(np.abs(kernel).max())
        size, _, _, filters = kernel.shape
        part.suptitle(f"{name}: {filters} kernels of {size} x {size}, to ±{reach:.2f}")
        panels = part.subplots(row, _ACROSS, squeeze=False).ravel()
        for axes in panels:
            axes.set_axis_off()
        for number, axes in enumerate(panels[:filters]):
            axes.imshow(kernel[:, :, 0, number], cmap="RdBu_r", vmin=-reach, vmax=reach)
    add_heading(figure, "First-layer kernels", "Red is positive, blue is negative, white is 0.")
    return figure
