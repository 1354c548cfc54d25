"""Figure: test accuracy against depth, the answer to the project's question."""

import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from convdepth.figures.inputs import Inputs, NetworkResult
from convdepth.figures.style import MUTED, NEUTRAL, WARNING, add_heading, style

_ZOOM = 5
"""Range of the zoom below the best network, in percentage points."""

_MEASURED = -0.2
_NOTEBOOK = {"recorded": (0.05, "D"), "claimed": (0.25, "x")}
"""Offset of each value on the depth axis; for the notebook's values also the marker."""


@style()
def draw_accuracy_by_depth(inputs: Inputs) -> Figure:
    """Draw the test accuracy, its interval and the notebook's values by number of blocks."""
    networks = sorted(inputs.networks, key=lambda network: network.num_blocks)
    learned = [network for network in networks if not network.trouble]
    width = max(10, 1.9 * len(networks) + 1.5)
    figure = Figure(figsize=(width, 7.5 if learned else 4.5), layout="constrained")
    heights = [2, 1] if learned else [1]
    panels = figure.subplots(
        len(heights), 1, squeeze=False, sharex=True, height_ratios=heights
    ).ravel()
    for axes in panels:
        _draw_accuracies(axes, networks)
    title = "Test accuracy by depth: no network learned"
    if learned:
        best = max(learned, key=lambda network: network.score.accuracy)
        _zoom(panels[0], networks, 100 * best.score.accuracy - _ZOOM)
        title = f"Test accuracy by depth: highest for {best.name}, {_percent(best)}"
    _draw_whole_scale(panels[-1], networks)
    panels[-1].set_xlabel("network, by number of blocks")
    note = "The notebook's cells printed the recorded values; its closing text claims other values."
    has_record = any(network.record for network in networks)
    add_heading(figure, title, note if has_record else "", _handles())
    return figure


def _draw_accuracies(axes: Axes, networks: Sequence[NetworkResult]) -> None:
    for place, network in enumerate(networks):
        low, value, high = _percentages(network)
        errors = [[max(value - low, 0)], [max(high - value, 0)]]
        x = place + _MEASURED
        axes.errorbar(x, value, errors, fmt="o", color=network.color, capsize=4, linewidth=2)
        for accuracy, (offset, marker) in zip(
            _notebook_values(network), _NOTEBOOK.values(), strict=False
        ):
            axes.plot(place + offset, accuracy, marker, color=MUTED, fillstyle="none")
    labels = [
        f"{each.name}\n{each.num_blocks} block{'s' if each.num_blocks > 1 else ''}"
        for each in networks
    ]
    axes.set_xticks(range(len(networks)), labels)
    axes.set_xlim(-0.6, len(networks) - 0.4)
    axes.set_ylabel("test accuracy (%)")
    axes.grid(visible=False, axis="x")


def _percentages(network: NetworkResult) -> tuple[float, float, float]:
    score = network.score
    return 100 * score.accuracy_low, 100 * score.accuracy, 100 * score.accuracy_high


def _notebook_values(network: NetworkResult) -> list[float]:
    """Return the values of `_NOTEBOOK` in percent; none without a record."""
    record = network.record
    return [100 * record.test_accuracy, 100 * record.claimed_accuracy] if record else []


def _zoom(axes: Axes, networks: Sequence[NetworkResult], floor: float) -> None:
    near = [network for network in networks if 100 * network.score.accuracy >= floor]
    visible = [value for network in near for value in _percentages(network)]
    noted = [value for network in networks for value in _notebook_values(network)]
    visible += [value for value in noted if value >= floor]
    margin = 0.08 * (max(visible) - min(visible))
    axes.set_ylim(min(visible) - margin, max(visible) + margin)
    axes.set_title(f"within {_ZOOM} points of the best", loc="left", fontsize=10)
    for place, network in enumerate(networks):
        color, text = WARNING if network.trouble else network.color, _percent(network)
        if network in near:
            x, y = place + _MEASURED - 0.06, 100 * network.score.accuracy
            axes.text(x, y, text, color=color, fontsize=9, ha="right", va="center")
        else:
            text = "\n".join(filter(None, [text, _break(network.trouble), "↓"]))
            at = axes.get_xaxis_transform()
            axes.text(
                place, 0.02, text, transform=at, color=color, fontsize=9, ha="center", va="bottom"
            )


def _draw_whole_scale(axes: Axes, networks: Sequence[NetworkResult]) -> None:
    labels = networks[0].predictions["label"]
    chance = 100 * labels.value_counts(normalize=True).max()
    axes.axhline(chance, color=MUTED, linewidth=1, linestyle=":", zorder=0)
    axes.set_ylim(0, 105)
    axes.set_title("the whole scale", loc="left", fontsize=10)
    for place, network in enumerate(networks):
        if network.trouble:
            x, y = place + _MEASURED, 100 * network.score.accuracy_high + 7
            axes.text(x, y, _break(network.trouble), color=WARNING, fontsize=9, ha="center")


def _handles() -> list[Line2D]:
    notebook: dict[str, Any] = {"color": MUTED, "ls": "", "fillstyle": "none"}
    return [
        Line2D([], [], label="measured, with Wilson 95% interval", color=NEUTRAL, marker="o"),
        Line2D([], [], label="most frequent digit only", color=MUTED, linestyle=":", linewidth=1),
        *(
            Line2D([], [], label=f"notebook, {kind}", marker=marker, **notebook)
            for kind, (_, marker) in _NOTEBOOK.items()
        ),
    ]


def _break(trouble: str) -> str:
    return textwrap.fill(trouble, 16)


def _percent(network: NetworkResult) -> str:
    return f"{100 * network.score.accuracy:.2f}%"
