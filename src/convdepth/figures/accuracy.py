"""Figures: test accuracy by depth, of the pipeline's runs, or of every seed by recipe and tuned."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convdepth.core.text import counted
from convdepth.figures.study_results import FILLS, StudyResult, Training
from convdepth.figures.style import MUTED, NEUTRAL, WARNING, add_heading, point, style

if TYPE_CHECKING:  # it imports TensorFlow
    from convdepth.figures.inputs import Inputs

_ZOOM = 0.05
"""Values that are lower than the best mean by more are written, not drawn."""

_RUN, _RECORDED, _CLAIMED = "one run", "notebook, recorded", "notebook, claimed"
_LOOKS = {_RUN: ("full", "o"), **{settings: (fill, "o") for settings, fill in FILLS.items()}}
_LOOKS |= {_RECORDED: ("none", "D"), _CLAIMED: ("none", "x")}
"""Fill and marker of each group of accuracies."""


class _Accuracy(NamedTuple):
    """The mean with its 95% interval, and the seeds if there are several; from 0 to 1."""

    mean: float
    low: float
    high: float
    seeds: Sequence[float] = ()
    trouble: str = ""


class _Network(NamedTuple):
    name: str
    num_blocks: int
    color: str
    groups: Mapping[str, _Accuracy]


@style()
def draw_accuracy(inputs: "Inputs") -> Figure:
    """Draw the accuracy of the pipeline's run of each network, beside the notebook's values."""
    networks = []
    for each in inputs.networks:
        own, record = each.score, each.record
        run = _Accuracy(own.accuracy, own.accuracy_low, own.accuracy_high, trouble=each.trouble)
        groups = {_RUN: run}
        if record:
            groups[_RECORDED] = _exactly(record.test_accuracy)
            groups[_CLAIMED] = _exactly(record.claimed_accuracy)
        networks.append(_Network(each.name, each.num_blocks, each.color, groups))
    note = "Bars: Wilson 95% interval over test images; it excludes seed variation."
    if any(each.record for each in inputs.networks):
        note += " The notebook's cells printed the recorded values; its closing text claims others."
    return _draw(networks, [_RUN], note)


@style()
def draw_accuracy_by_seed(networks: Sequence[StudyResult]) -> Figure:
    """Draw each seed and their mean, by the recipe beside tuned, and the notebook's record."""
    shown = []
    for each in networks:
        groups = {training.settings: _summarize(training) for training in each.trainings}
        if each.record:
            groups[_RECORDED] = _exactly(each.record.test_accuracy)
        shown.append(_Network(each.name, each.num_blocks, each.color, groups))
    note = "Points: one seed each. Lines: mean with its 95% interval over seeds and test images."
    return _draw(shown, list(FILLS), note)


def _exactly(value: float) -> _Accuracy:
    return _Accuracy(value, value, value)


def _summarize(training: Training) -> _Accuracy:
    found, mean = training.found, training.found.accuracy
    statuses = [run.status for run in found.runs if run.status != "ok"]
    what = "collapsed" if set(statuses) == {"collapsed"} else "did not learn"
    trouble = f"{len(statuses)} of {counted(len(found.runs), 'seed')} {what}" if statuses else ""
    seeds = [run.accuracy for run in found.runs]
    return _Accuracy(mean.mean, mean.low, mean.high, seeds, trouble)


def _draw(networks: Sequence[_Network], ours: Sequence[str], note: str) -> Figure:
    """Draw the networks by depth, and the groups of each side by side; `ours` in its color."""
    ordered = sorted(networks, key=lambda network: network.num_blocks)
    groups = [group for group in _LOOKS if any(group in each.groups for each in ordered)]
    ours = [group for group in groups if group in ours]
    figure = Figure(figsize=(max(9, 2.2 * len(ordered) + 1), 5), layout="constrained")
    axes = figure.subplots()
    floor = max(it.mean for each in ordered for it in each.groups.values()) - _ZOOM
    for place, network in enumerate(ordered):
        for group, accuracy in network.groups.items():
            x = place + 0.8 * ((groups.index(group) + 0.5) / len(groups) - 0.5)
            is_ours, (fill, marker) = group in ours, _LOOKS[group]
            look = {"color": network.color if is_ours else MUTED, "fillstyle": fill, "ls": ""}
            _draw_accuracy(axes, x, accuracy, floor, look | {"marker": marker}, is_ours)
        _write_absent(axes, place, network.groups, floor)
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.2 * (high - low), high)  # room for what is written
    axes.set(xlim=(-0.5, len(ordered) - 0.5), ylabel="test accuracy (%)")
    labels = [f"{each.name}\n{counted(each.num_blocks, 'block')}" for each in ordered]
    axes.set_xticks(range(len(ordered)), labels)
    axes.grid(visible=False, axis="x")
    title = "Highest test accuracy: " + ", ".join(_find_best(ordered, group) for group in ours)
    handles = [point(group, NEUTRAL, *_LOOKS[group]) for group in groups]
    add_heading(figure, title, note, handles)
    return figure


def _draw_accuracy(
    axes: Axes, x: float, accuracy: _Accuracy, floor: float, look: dict[str, Any], is_ours: bool
) -> None:
    seeds = [100 * value for value in accuracy.seeds if value >= floor]
    spread = [x + 0.03 * (step - (len(seeds) - 1) / 2) for step in range(len(seeds))]
    axes.plot(spread, seeds, **look, markersize=5)
    if accuracy.mean < floor:
        return
    low, mean, high = (100 * value for value in (accuracy.low, accuracy.mean, accuracy.high))
    if seeds:  # which are points, so the mean is a line
        look |= {"marker": "_", "markersize": 22, "markeredgewidth": 2}
    errors = [[max(mean - low, 0)], [max(high - mean, 0)]] if is_ours else None
    axes.errorbar(x, mean, errors, capsize=4, elinewidth=1.5, **look)
    if is_ours:
        at: dict[str, Any] = {"xytext": (0, 4), "textcoords": "offset points", "ha": "center"}
        top = (x, max(high, mean, *seeds))
        axes.annotate(f"{mean:.2f}%", top, color=look["color"], fontsize=9, **at)


def _write_absent(axes: Axes, x: float, groups: Mapping[str, _Accuracy], floor: float) -> None:
    """Write what is too low to be in the picture, and which trainings failed."""
    lines = []
    for group, accuracy in groups.items():
        if accuracy.mean < floor or accuracy.trouble:
            lines += [f"{group}: {100 * accuracy.mean:.2f}%", *filter(None, [accuracy.trouble])]
    if lines:
        text, at = "\n".join([*lines, "↓"]), axes.get_xaxis_transform()
        axes.text(x, 0.02, text, transform=at, color=WARNING, fontsize=9, ha="center")


def _find_best(networks: Sequence[_Network], group: str) -> str:
    found = [(each.groups[group].mean, each) for each in networks if group in each.groups]
    mean, best = max(found, key=lambda each: each[0])
    settings = "" if group == _RUN else f"{group} "
    if best.groups[group].trouble:
        return f"no network learned {settings}".rstrip()
    return f"{best.name} {settings}({100 * mean:.2f}%)"
