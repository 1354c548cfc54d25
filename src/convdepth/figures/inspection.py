"""Pictures of the stage `examine`: the first kernels, and what speaks for each answer."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from convdepth.data.arrays import Images
from convdepth.evaluation.results import Hard
from convdepth.figures.style import MUTED, add_heading, style

_ACROSS = 16
"""Kernels in a row."""


@style()
def draw_first_kernels(kernels: Mapping[str, NDArray[np.float32]]) -> Figure:
    """Draw each network's first kernels ``(height, width, 1, filters)``, on a symmetric scale."""
    rows = [math.ceil(kernel.shape[3] / _ACROSS) for kernel in kernels.values()]
    figure = Figure(figsize=(11, 0.72 * sum(rows) + 0.5 * len(rows) + 1.2), layout="constrained")
    heights = [row + 0.6 for row in rows]
    parts = figure.subfigures(len(rows), 1, squeeze=False, height_ratios=heights).ravel()
    for part, (name, kernel), row in zip(parts, kernels.items(), rows, strict=True):
        reach = float(np.abs(kernel).max())
        size, _, _, filters = kernel.shape
        part.suptitle(f"{name}: {filters} kernels of {size} x {size}, to ±{reach:.2f}")
        for number, axes in enumerate(part.subplots(row, _ACROSS, squeeze=False).flat):
            axes.set_axis_off()
            if number < filters:
                axes.imshow(kernel[:, :, 0, number], cmap="RdBu_r", vmin=-reach, vmax=reach)
    add_heading(figure, "First-layer kernels", "Red is positive, blue is negative, white is 0.")
    return figure


@style()
def draw_attention(
    images: Images, maps: Mapping[str, NDArray[np.float32]], hardest: Sequence[Hard]
) -> Figure:
    """Draw one column per image, if any: the image, and below it each network's map and answer.

    The maps are from `grad_cam.grad_cam`.
    """
    rows, columns = 1 + len(maps), max(1, len(images))
    figure = Figure(figsize=(1.15 * columns + 1, 1.35 * rows + 1.2), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for column, (image, hard) in enumerate(zip(images, hardest, strict=True)):
        _draw_image(panels[0, column], image, f"{hard.label} (no. {hard.index})")
        for axes, (name, heat) in zip(panels[1:, column], maps.items(), strict=True):
            _draw_image(axes, image, f"→ {hard.answers[name]}")
            red = np.ones_like(heat[column])
            axes.imshow(red, cmap="Reds", vmin=0, vmax=1.25, alpha=0.75 * heat[column])
            if hard.answers[name] != hard.label:
                axes.title.set_weight("bold")
    for axes in panels.flat:
        axes.set(xticks=[], yticks=[])
    for axes, name in zip(panels[:, 0], ["image", *maps], strict=True):
        axes.set_ylabel(name, rotation=0, ha="right", va="center")
    note = (
        "Above: the label and the number of the image in the test set. Below: what each network "
        "answers, in bold where it is wrong, and in red what speaks for that answer (Grad-CAM)."
    )
    add_heading(figure, "Where the networks look, on the images that are hardest", note)
    return figure


def _draw_image(axes: Axes, image: NDArray[np.float32], title: str) -> None:
    axes.imshow(image[:, :, 0], cmap="gray_r", vmin=0, vmax=1)
    axes.set_title(title, fontsize=8)
    for spine in axes.spines.values():
        spine.set(visible=True, color=MUTED)
