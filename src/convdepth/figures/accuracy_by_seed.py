"""Figure: test accuracy of each training, by the recipe beside tuned, for each network."""

import statistics
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from convdepth.figures.palette import COLORS
from convdepth.figures.style import NEUTRAL, WARNING, add_heading, style

Accuracies = Mapping[str, Sequence[float]]
"""By network: the accuracy of each seed, 0 to 1."""

_ZOOM = 0.05
"""Means that are lower than the best by more are written, not drawn."""

_OFFSET = 0.18
"""Distance of a group of points from the tick of its network."""


@style()
def draw_accuracy_by_seed(recipe: Accuracies, tuned: Accuracies) -> Figure:
    """Draw a point for each training and a line for each mean; arrows point at lower means."""
    figure = Figure(figsize=(max(9, 2.1 * len(recipe)), 4), layout="constrained")
    axes = figure.subplots()
    groups = {"by the recipe": (recipe, -_OFFSET), "tuned": (tuned, _OFFSET)}
    all_seeds = [values for group, _ in groups.values() for values in group.values()]
    floor = max(map(statistics.fmean, all_seeds)) - _ZOOM
    for group, offset in groups.values():
        for place, name in enumerate(recipe):
            if name in group:
                color = COLORS[place % len(COLORS)]
                _draw_seeds(axes, place + offset, group[name], color, offset > 0, floor)
    axes.margins(y=0.12)
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.1 * (high - low), high)
    axes.set_xlim(-0.6, len(recipe) - 0.4)
    axes.set_xticks(range(len(recipe)), list(recipe))
    axes.set_ylabel("test accuracy (%)")
    axes.grid(visible=False, axis="x")
    title = "Highest mean: " + "; ".join(
        f"{_find_best(group)} {kind}" for kind, (group, _) in groups.items() if group
    )
    note = "One point per training, each with another seed. The line is the mean."
    add_heading(figure, title, note, [_handle(kind, kind == "tuned") for kind in groups])
    return figure


def _draw_seeds(
    axes: Axes, x: float, values: Sequence[float], color: str, is_filled: bool, floor: float
) -> None:
    mean = statistics.fmean(values)
    if mean < floor:
        text = f"{len(values)} seeds:\n{100 * mean:.2f}%\n↓"
        at = axes.get_xaxis_transform()
        axes.text(x, 0.02, text, transform=at, color=WARNING, fontsize=9, ha="center", va="bottom")
        return
    spread = [x + 0.025 * (place - (len(values) - 1) / 2) for place in range(len(values))]
    fill = color if is_filled else "none"
    axes.plot(spread, [100 * value for value in values], "o", color=color, markerfacecolor=fill)
    axes.hlines(100 * mean, x - 0.1, x + 0.1, color=color, linewidth=2)
    side, alignment = (0.12, "left") if is_filled else (-0.12, "right")
    axes.text(
        x + side, 100 * mean, f"{100 * mean:.2f}%", color=color, fontsize=9, ha=alignment,
        va="center",
    )  # fmt: skip


def _find_best(group: Accuracies) -> str:
    means = {name: statistics.fmean(values) for name, values in group.items()}
    best = max(means, key=lambda name: means[name])
    return f"{best} ({100 * means[best]:.2f}%)"


def _handle(label: str, is_filled: bool) -> Line2D:
    fill = NEUTRAL if is_filled else "none"
    return Line2D([], [], label=label, color=NEUTRAL, marker="o", ls="", markerfacecolor=fill)
