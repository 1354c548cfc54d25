"""Pictures of the answers: which digits are confused, and what the misread images look like."""

import math
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from convdepth.config.dataset import NUM_CLASSES
from convdepth.data.arrays import Images
from convdepth.evaluation.metrics import confusion_matrix
from convdepth.figures.style import (
    WARNING,
    Result,
    add_heading,
    add_name,
    explain_trouble,
    grid_shape,
    style,
)

_NORM, _CMAP = LogNorm(1, 100), "YlOrRd"
"""Of the confusions; only a network in trouble confuses more than a hundred images."""

_GREY = "#E6E6E6"
"""Of the cells with right answers."""

_WORDS = ["label", "predicted", "probability"]
_NUM_COLUMNS, _MAX_ROWS = 10, 4
"""Of a gallery. One row holds a network's most confident errors."""

_PITCH_X, _PITCH_Y = 1.1, 1.4
"""From one image of a gallery to the next, in widths of an image; below it stand its words."""


@style()
def draw_confusion(results: Sequence[Result]) -> Figure:
    """Draw the confusion matrices, coloured by the errors alone.

    Args:
        results: One to eight networks; their predictions are counted.

    Returns:
        One matrix per network, the true digit down, the answer across, counts of images.
    """
    num_rows, num_columns = grid_shape(len(results), max_columns=3)
    size = (max(6.5, 4.1 * num_columns + 1), 4.5 * num_rows + 0.9)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(num_rows, num_columns, squeeze=False).ravel()
    for axes, result in zip(grid, results, strict=False):
        _draw_matrix(axes, confusion_matrix(result.predictions))
        num_errors, num_images = len(result.errors), len(result.predictions)
        add_name(axes, result, f"{num_errors:,} errors in {num_images:,} images")
    for axes in grid[len(results) :]:
        axes.remove()
    colors = ScalarMappable(_NORM, _CMAP)
    bar = figure.colorbar(colors, ax=grid[: len(results)], shrink=0.7, extend="max", format="{x:g}")
    bar.set_label("images answered wrongly")
    note = "Grey: answered rightly. An empty cell: no image."
    add_heading(figure, "Which digits are taken for which in the test set", note)
    return figure


def _draw_matrix(axes: Axes, counts: NDArray[np.int64]) -> None:
    right = np.eye(NUM_CLASSES, dtype=bool)
    looks: dict[str, Any] = {"annot": True, "fmt": "d", "annot_kws": {"size": 7}, "ax": axes}
    looks |= {"square": True, "cbar": False}
    looks |= {"vmin": _NORM.vmin, "vmax": _NORM.vmax}  # seaborn looks for them where nothing is
    grey = ListedColormap([_GREY])
    sns.heatmap(counts, mask=~right | (counts == 0), cmap=grey, **looks)
    sns.heatmap(counts, mask=right | (counts == 0), cmap=_CMAP, norm=_NORM, **looks)
    axes.grid(visible=False)
    axes.tick_params(length=0, rotation=0)
    axes.set_xlabel("answer (digit)")
    axes.set_ylabel("true digit")


@style()
def draw_errors(results: Sequence[Result], images: Images) -> Figure:
    """Draw each network's most confident errors.

    Args:
        results: One to eight networks; the rows of their predictions belong to the images.
        images: ``(n, 28, 28, 1)``, float32, 0 (background) to 1 (ink): the test images.

    Returns:
        One row per network, the most confident error first.
    """
    figure, axes = _gallery(len(results), margin=2, words=0.9)
    for row, result in enumerate(results):
        color = WARNING if result.trouble else result.color
        words = "\n".join([result.name, *textwrap.wrap(result.trouble, 16)])
        _write_beside(axes, row, words, color)
        chosen = _most_confident(result.errors)
        if chosen.empty:
            _write_below(axes, row, 0, "no errors")
        for column, index in enumerate(chosen.index):
            label, predicted, probability = chosen.loc[index, _WORDS]
            _draw_image(axes, images[index], row, column)
            text = f"{label:.0f} → {predicted:.0f}, {100 * probability:.1f} %"
            _write_below(axes, row, column, text)
    note = "Below each image: true digit → answer, and the probability that the network gave it."
    add_heading(figure, "Each network's most confident errors on the test set", note)
    return figure


def _most_confident(errors: pd.DataFrame) -> pd.DataFrame:
    return errors.sort_values("probability", ascending=False, kind="stable").head(_NUM_COLUMNS)


@style()
def draw_shared_errors(results: Sequence[Result], images: Images) -> Figure:
    """Draw the images that all networks get wrong, those in trouble left out.

    A network that answers the same to every image, or guesses, shares errors with all others by
    chance: it would hide which images are hard.

    Args:
        results: One to eight networks; the rows of their predictions belong to the images.
        images: ``(n, 28, 28, 1)``, float32, 0 (background) to 1 (ink): the test images.

    Returns:
        At most forty images, those first whose wrong answers were given with the most confidence.
    """
    learned = [result for result in results if not result.trouble]
    shared = find_shared_errors(learned)
    shown = shared[: _NUM_COLUMNS * _MAX_ROWS]
    figure, axes = _gallery(max(1, math.ceil(len(shown) / _NUM_COLUMNS)), margin=0, words=1.5)
    if not shown:
        _write_below(axes, 0, 0, "no such image")
    for place, index in enumerate(shown):
        row, column = divmod(place, _NUM_COLUMNS)
        _draw_image(axes, images[index], row, column)
        _write_answers(axes, row, column, index, learned)
    title, note = _shared_words(results, learned, len(shared), len(shown))
    handles = [Line2D([], [], color=r.color, marker="s", ls="", label=r.name) for r in learned]
    add_heading(figure, title, note, handles)
    return figure


def find_shared_errors(results: Sequence[Result]) -> list[int]:
    """Find the images that every one of the networks gets wrong.

    Args:
        results: Any number of networks, with predictions for the same images.

    Returns:
        Rows of the predictions, those first whose wrong answers have the highest mean probability.
        None when there are no networks.
    """
    if not results:
        return []
    wrong = [set(result.errors.index) for result in results]
    shared = sorted(set.intersection(*wrong))
    confidence = np.mean([result.predictions["probability"].loc[shared] for result in results], 0)
    return [shared[place] for place in np.argsort(-confidence, kind="stable")]


def _shared_words(
    results: Sequence[Result], learned: Sequence[Result], num_shared: int, num_shown: int
) -> tuple[str, str]:
    names = ", ".join(result.name for result in learned)
    verb = "all get" if len(learned) > 1 else "gets"
    title = f"Test images that {names} {verb} wrong: {num_shared}"
    if not learned:
        title = "No shared errors: no network learned"
    if len(learned) < len(results):
        title += f"; left out: {explain_trouble(results)}"
    note = "Below each image: the true digit → the answers, in the networks' colours."
    if num_shown < num_shared:
        note += f" Shown: the {num_shown} with the most confident wrong answers."
    return title, note


def _gallery(num_rows: int, margin: float, words: float) -> tuple[Figure, Axes]:
    # An image is an inch; `margin` is left of it, and `words` above and below, in inches.
    width, height = margin + _NUM_COLUMNS * _PITCH_X, num_rows * _PITCH_Y
    figure = Figure(figsize=(width, height + words), layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_aspect("equal")
    axes.set_xlim(-margin, width - margin)
    axes.set_ylim(height, 0)
    return figure, axes


def _draw_image(axes: Axes, image: Images, row: int, column: int) -> None:
    x, y = column * _PITCH_X, row * _PITCH_Y
    axes.imshow(image[:, :, 0], extent=(x, x + 1, y + 1, y), cmap="gray_r", vmin=0, vmax=1)


def _write_beside(axes: Axes, row: int, text: str, color: str = "black") -> None:
    axes.text(-0.15, row * _PITCH_Y + 0.5, text, ha="right", va="center", color=color)


def _write_below(axes: Axes, row: int, column: int, text: str) -> None:
    x, y = column * _PITCH_X + 0.5, row * _PITCH_Y + 1.04
    axes.text(x, y, text, ha="center", va="top", fontsize=8)


def _write_answers(
    axes: Axes, row: int, column: int, index: int, results: Sequence[Result]
) -> None:
    y = row * _PITCH_Y + 1.04
    start = column * _PITCH_X + 0.5 - 0.055 * (len(results) + 2)
    words = [(f"{results[0].predictions['label'][index]} →", "black")]
    words += [(str(result.predictions["predicted"][index]), result.color) for result in results]
    for place, (word, color) in enumerate(words):
        x = start if place == 0 else start + 0.11 * (place + 1.6)
        axes.text(x, y, word, va="top", fontsize=8, color=color, weight="bold")
