"""Figure: mean test accuracy against parameters and FLOP."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, LogLocator

from convdepth.evaluation.results import Cost, Replicates
from convdepth.figures.style import NEUTRAL, add_heading, style

_AXES = {"parameters": "parameters", "flop": "FLOP per image"}


class Priced(NamedTuple):
    """The trainings of one network, and its cost."""

    name: str
    color: str
    is_tuned: bool
    found: Replicates
    cost: Cost


@style()
def draw_accuracy_by_cost(priced: Sequence[Priced]) -> Figure:
    """Draw the means with their 95% intervals, of networks that learned with every seed."""
    networks = [each for each in priced if each.found.has_learned]
    omitted = [_name(each) for each in priced if not each.found.has_learned]
    figure = Figure(figsize=(11, 5), layout="constrained")
    for axes, (kind, label) in zip(figure.subplots(1, 2, sharey=True), _AXES.items(), strict=True):
        for each in networks:
            found = each.found.accuracy
            low, mean, high = (100 * value for value in (found.low, found.mean, found.high))
            fill, x = "full" if each.is_tuned else "none", getattr(each.cost, kind)
            axes.errorbar(
                x, mean, [[mean - low], [high - mean]], fmt="o", color=each.color, fillstyle=fill,
                capsize=4, linewidth=1.5,
            )  # fmt: skip
        axes.set(xscale="log", xlabel=label)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_minor_locator(LogLocator(subs=()))
    figure.axes[0].set_ylabel("mean test accuracy (%)")
    note = "Bars: 95% interval over seeds and test images. Better is up and left."
    if omitted:
        note += f" Omitted, since not every seed learned: {', '.join(omitted)}."
    looks = [("by the recipe", NEUTRAL, "none"), ("tuned", NEUTRAL, "full")]
    looks += [(each.name, each.color, "full") for each in priced if not each.is_tuned]
    handles = [
        Line2D([], [], label=label, marker="o", color=color, fillstyle=fill, linestyle="")
        for label, color, fill in looks
    ]
    add_heading(figure, _title(networks), note, handles)
    return figure


def _title(networks: Sequence[Priced]) -> str:
    if not networks:
        return "No network learned with every seed"
    best = max(networks, key=lambda each: each.found.accuracy.mean)
    largest = max(networks, key=lambda each: (each.cost.parameters, each.found.accuracy.mean))
    found = [f"Most accurate: {_describe(best)}"]
    if largest.name != best.name:
        found.append(f"largest: {_describe(largest)}")
    return "; ".join(found)


def _describe(network: Priced) -> str:
    accuracy = 100 * network.found.accuracy.mean
    return f"{_name(network)} ({accuracy:.2f}%, {network.cost.parameters:,} parameters)"


def _name(network: Priced) -> str:
    return f"{network.name} {'tuned' if network.is_tuned else 'by the recipe'}"
