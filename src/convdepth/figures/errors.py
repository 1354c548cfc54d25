"""Figures: galleries of each network's most confident errors, and of the errors of all networks."""

import math
import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convdepth.data.arrays import Images
from convdepth.figures.inputs import Inputs
from convdepth.figures.style import WARNING, add_heading, point, style

_SHOWN = ["label", "predicted", "probability"]
_NUM_COLUMNS, _MAX_ROWS = 10, 4

_PITCH_X, _PITCH_Y = 1.1, 1.4
"""Distance between images, in widths of an image; the caption is below the image."""

_CAPTION = 1.04
"""Distance of a caption from the image's upper edge."""


@style()
def draw_errors(inputs: Inputs) -> Figure:
    """Draw each network's ten most confident errors, one row per network."""
    figure, axes = _gallery(len(inputs.networks), margin=2, words=0.9)
    for row, network in enumerate(inputs.networks):
        color = WARNING if network.trouble else network.color
        words = "\n".join([network.name, *textwrap.wrap(network.trouble, 16)])
        axes.text(-0.15, row * _PITCH_Y + 0.5, words, ha="right", va="center", color=color)
        errors = network.errors.sort_values("probability", ascending=False, kind="stable")
        if errors.empty:
            _write_below(axes, row, 0, "no errors")
        for column, index in enumerate(errors.index[:_NUM_COLUMNS]):
            _draw_image(axes, inputs.images[index], row, column)
            label, predicted, probability = errors.loc[index, _SHOWN]
            _write_below(axes, row, column, f"{label:g} → {predicted:g}, {100 * probability:.1f}%")
    note = "Below each image: true digit → answer, and its probability according to the network."
    add_heading(figure, "Each network's most confident errors on the test set", note)
    return figure


@style()
def draw_shared_errors(inputs: Inputs) -> Figure:
    """Draw up to forty images that all networks that learned get wrong, most confident first."""
    learned = inputs.learned
    shared = find_shared_errors(inputs)
    shown = shared[: _NUM_COLUMNS * _MAX_ROWS]
    figure, axes = _gallery(max(1, math.ceil(len(shown) / _NUM_COLUMNS)), margin=0, words=1.5)
    if not shown:
        _write_below(axes, 0, 0, "no such image")
    for place, index in enumerate(shown):
        row, column = divmod(place, _NUM_COLUMNS)
        _draw_image(axes, inputs.images[index], row, column)
        words = [(f"{learned[0].predictions['label'][index]} →", "black")]
        words += [(str(each.predictions["predicted"][index]), each.color) for each in learned]
        start = column * _PITCH_X + 0.5 - 0.055 * (len(words) + 1)
        for number, (word, color) in enumerate(words):
            x = start + (0.11 * (number + 1.6) if number else 0)
            y = row * _PITCH_Y + _CAPTION
            axes.text(x, y, word, va="top", fontsize=8, color=color, weight="bold")
    note = "Below each image: the true digit → the answers, in the networks' colors."
    if len(shown) < len(shared):
        note += f" Shown: the {len(shown)} with the most confident wrong answers."
    handles = [point(each.name, each.color, marker="s") for each in learned]
    add_heading(figure, _shared_title(inputs, len(shared)), note, handles)
    return figure


def find_shared_errors(inputs: Inputs) -> list[int]:
    """Return the images that all networks that have learned get wrong, most confident first."""
    if not inputs.learned:
        return []
    shared = sorted(set.intersection(*(set(each.errors.index) for each in inputs.learned)))
    tables = [network.predictions for network in inputs.learned]
    confidence = np.mean([table["probability"].loc[shared] for table in tables], 0)
    return [shared[place] for place in np.argsort(-confidence, kind="stable")]


def _shared_title(inputs: Inputs, num_shared: int) -> str:
    names = [network.name for network in inputs.learned]
    verb = "all get" if len(names) > 1 else "gets"
    title = f"Test images that {', '.join(names)} {verb} wrong: {num_shared}"
    if not names:
        title = "No shared errors: no network learned"
    return f"{title}; left out: {inputs.troubles}" if inputs.troubles else title


def _gallery(num_rows: int, margin: float, words: float) -> tuple[Figure, Axes]:
    # An image is an inch; `margin` is left of it, and `words` above and below, in inches.
    width, height = margin + _NUM_COLUMNS * _PITCH_X, num_rows * _PITCH_Y
    figure = Figure(figsize=(width, height + words), layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set(aspect="equal", xlim=(-margin, width - margin), ylim=(height, 0))
    return figure, axes


def _draw_image(axes: Axes, image: Images, row: int, column: int) -> None:
    x, y = column * _PITCH_X, row * _PITCH_Y
    axes.imshow(image[:, :, 0], extent=(x, x + 1, y + 1, y), cmap="gray_r", vmin=0, vmax=1)


def _write_below(axes: Axes, row: int, column: int, text: str) -> None:
    x, y = column * _PITCH_X + 0.5, row * _PITCH_Y + _CAPTION
    axes.text(x, y, text, ha="center", va="top", fontsize=8)
