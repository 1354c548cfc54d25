"""Figures: test accuracy by depth, of the pipeline's runs, or of every seed by recipe and tuned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from convdepth.core.text import counted
from convdepth.evaluation.results import Replicates
from convdepth.figures.inputs import Inputs
from convdepth.figures.style import MUTED, NEUTRAL, WARNING, add_heading, style

ZOOM = 0.05
"""Values that are lower than the best mean by more are written, not drawn."""

RUN, RECIPE, TUNED = "one run", "by the recipe", "tuned"
RECORDED, CLAIMED = "notebook, recorded", "notebook, claimed"
_MARKERS = {RUN: "o", RECIPE: "o", TUNED: "o", RECORDED: "D", CLAIMED: "x"}


@dataclass(frozen=True)
class Measured:
    """Accuracies from 0 to 1: the mean with its 95% interval, and those of several seeds."""

    mean: float
    low: float
    high: float
    seeds: Sequence[float] = ()
    trouble: str = ""


@dataclass(frozen=True)
class Network:
    """One network's accuracies by group, a key of `_MARKERS`."""

    num_blocks: int
    color: str
    groups: Mapping[str, Measured]


@style()
def draw_accuracy(inputs: Inputs) -> Figure:
    """Draw the accuracy of the pipeline's run of each network, beside the notebook's values."""
    networks = {}
    for each in inputs.networks:
        own, record = each.score, each.record
        run = Measured(own.accuracy, own.accuracy_low, own.accuracy_high, trouble=each.trouble)
        groups = {RUN: run}
        if record:
            values = {RECORDED: record.test_accuracy, CLAIMED: record.claimed_accuracy}
            groups |= {kind: Measured(*[value] * 3) for kind, value in values.items()}
        networks[each.name] = Network(each.num_blocks, each.color, groups)
    note = "Bars: Wilson 95% interval over test images; it excludes seed variation."
    if any(each.record for each in inputs.networks):
        note += " The notebook's cells printed the recorded values; its closing text claims others."
    return draw_groups(networks, note)


def measure_seeds(found: Replicates) -> Measured:
    """Return the accuracies of several seeds."""
    failed, kind = found.collapsed, "collapsed"
    if found.near_chance:
        failed, kind = failed + found.near_chance, "did not learn"
    trouble = f"{failed} of {counted(found.count, 'seed')} {kind}" if failed else ""
    mean, seeds = found.accuracy, [run.accuracy for run in found.runs]
    return Measured(mean.mean, mean.low, mean.high, seeds, trouble)


@style()
def draw_groups(networks: Mapping[str, Network], note: str) -> Figure:
    """Draw the networks by depth, the groups of each side by side, within `ZOOM` of the best."""
    ordered = dict(sorted(networks.items(), key=lambda item: item[1].num_blocks))
    groups = [group for group in _MARKERS if any(group in it.groups for it in ordered.values())]
    ours = [group for group in groups if group not in (RECORDED, CLAIMED)]
    figure = Figure(figsize=(max(9, 2.2 * len(ordered) + 1), 5), layout="constrained")
    axes = figure.subplots()
    floor = max(it.mean for each in ordered.values() for it in each.groups.values()) - ZOOM
    for place, network in enumerate(ordered.values()):
        for group, measured in network.groups.items():
            x = place + 0.8 * ((groups.index(group) + 0.5) / len(groups) - 0.5)
            look = _look(group, network.color if group in ours else MUTED)
            _draw(axes, x, measured, floor, look, is_labelled=group in ours)
        _write_absent(axes, place, network, floor)
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.2 * (high - low), high)
    axes.set(xlim=(-0.5, len(ordered) - 0.5), ylabel="test accuracy (%)")
    labels = [f"{name}\n{counted(it.num_blocks, 'block')}" for name, it in ordered.items()]
    axes.set_xticks(range(len(ordered)), labels)
    axes.grid(visible=False, axis="x")
    best = ", ".join(_find_best(ordered, group) for group in ours)
    handles = [Line2D([], [], label=group, **_look(group, NEUTRAL)) for group in groups]
    add_heading(figure, f"Highest test accuracy: {best}", note, handles)
    return figure


def _look(group: str, color: str) -> dict[str, Any]:
    fill = "full" if group in (RUN, TUNED) else "none"
    return {"marker": _MARKERS[group], "color": color, "fillstyle": fill, "linestyle": ""}


def _draw(
    axes: Axes, x: float, measured: Measured, floor: float, look: dict[str, Any], is_labelled: bool
) -> None:
    seeds = [100 * value for value in measured.seeds if value >= floor]
    spread = [x + 0.03 * (step - (len(seeds) - 1) / 2) for step in range(len(seeds))]
    axes.plot(spread, seeds, **look, markersize=5)
    if measured.mean < floor:
        return
    low, mean, high = (100 * value for value in (measured.low, measured.mean, measured.high))
    if measured.seeds:  # the mean is a line, since points are seeds
        look |= {"marker": "_", "markersize": 22, "markeredgewidth": 2}
    errors = [[max(mean - low, 0)], [max(high - mean, 0)]] if is_labelled else None
    axes.errorbar(x, mean, errors, capsize=4, elinewidth=1.5, **look)
    if is_labelled:
        at = {"xy": (x, max(high, *seeds, mean)), "xytext": (0, 4), "textcoords": "offset points"}
        axes.annotate(f"{mean:.2f}%", color=look["color"], fontsize=9, ha="center", **at)


def _write_absent(axes: Axes, place: int, network: Network, floor: float) -> None:
    """Write what is not in the picture, and which trainings failed."""
    lines = []
    for group, measured in network.groups.items():
        if measured.mean < floor or measured.trouble:
            lines += [f"{group}: {100 * measured.mean:.2f}%", *filter(None, [measured.trouble])]
    if lines:
        text, at = "\n".join([*lines, "↓"]), axes.get_xaxis_transform()
        axes.text(place, 0.02, text, transform=at, color=WARNING, fontsize=9, ha="center")


def _find_best(networks: Mapping[str, Network], group: str) -> str:
    means = {name: it.groups[group].mean for name, it in networks.items() if group in it.groups}
    best = max(means, key=lambda name: means[name])
    if networks[best].groups[group].trouble:
        return f"no network learned {group}"
    return f"{best} {'' if group == RUN else group + ' '}({100 * means[best]:.2f}%)"
