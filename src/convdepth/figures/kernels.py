"""Pictures of what networks have learned: kernels, and where they look."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from convdepth.data.arrays import Images
from convdepth.figures.style import MUTED, add_heading, style

_ACROSS = 16
"""Kernels in a row."""


@style()
def draw_first_kernels(kernels: Mapping[str, NDArray[np.float32]]) -> Figure:
    """Draw the kernels of each network's first convolution.

    Args:
        kernels: By network, ``(height, width, 1, filters)``.

    Returns:
        One block of small pictures for each network; red is positive, blue is negative, and white
        is 0, each network on its own scale.
    """
    rows = [math.ceil(kernel.shape[3] / _ACROSS) for kernel in kernels.values()]
    figure = Figure(figsize=(11, 0.72 * sum(rows) + 0.5 * len(rows) + 1.2), layout="constrained")
    heights = [row + 0.6 for row in rows]
    parts = figure.subfigures(len(rows), 1, squeeze=False, height_ratios=heights).ravel()
    for part, (name, kernel) in zip(parts, kernels.items(), strict=True):
        reach = float(np.abs(kernel).max())
        size = kernel.shape[0]
        part.suptitle(f"{name}: {kernel.shape[3]} kernels of {size} x {size}, to ±{reach:.2f}")
        panels = part.subplots(math.ceil(kernel.shape[3] / _ACROSS), _ACROSS, squeeze=False).ravel()
        for axes in panels:
            axes.set_axis_off()
        for number, axes in enumerate(panels[: kernel.shape[3]]):
            axes.imshow(kernel[:, :, 0, number], cmap="RdBu_r", vmin=-reach, vmax=reach)
    add_heading(figure, "First-layer kernels", "Red is positive, blue is negative, white is 0.")
    return figure


@style()
def draw_attention(
    images: Images, maps: Mapping[str, NDArray[np.float32]], hardest: Sequence[Mapping[str, Any]]
) -> Figure:
    """Draw what speaks for each network's answer, on the images that are hardest.

    Args:
        images: ``(n, 28, 28, 1)``, float32, 0.0 to 1.0, those of ``hardest``.
        maps: By network, ``(n, 28, 28)``, 0.0 to 1.0, from `grad_cam.grad_cam`.
        hardest: For each image its index, label, and answers by network; may be empty.

    Returns:
        A column for each image: above the image itself, below a row for each network.
    """
    rows, columns = 1 + len(maps), max(1, len(images))
    figure = Figure(figsize=(1.15 * columns + 1, 1.35 * rows + 1.2), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for column, entry in enumerate(hardest):
        _draw_image(panels[0, column], images[column], f"{entry['label']} (no. {entry['index']})")
        for row, (name, heat) in enumerate(maps.items(), start=1):
            answer = entry["answers"][name]
            _draw_heat(panels[row, column], images[column], heat[column], f"→ {answer}")
            if answer != entry["label"]:
                panels[row, column].title.set_weight("bold")
    for axes in panels[:, len(images) :].flat:
        axes.set(xticks=[], yticks=[])
    for row, name in enumerate(["image", *maps]):
        panels[row, 0].set_ylabel(name, rotation=0, ha="right", va="center")
    note = (
        "Above: the label and the number of the image in the test set. Below: what each network "
        "answers, in bold where it is wrong, and in red what speaks for that answer (Grad-CAM)."
    )
    add_heading(figure, "Where the networks look, on the images that are hardest", note)
    return figure


def _draw_image(axes: Axes, image: NDArray[np.float32], title: str) -> None:
    axes.imshow(image[:, :, 0], cmap="gray_r", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=8)
    for spine in axes.spines.values():
        spine.set(visible=True, color=MUTED)


def _draw_heat(
    axes: Axes, image: NDArray[np.float32], heat: NDArray[np.float32], title: str
) -> None:
    _draw_image(axes, image, title)
    axes.imshow(np.ones_like(heat), cmap="Reds", vmin=0, vmax=1.25, alpha=0.75 * heat)
