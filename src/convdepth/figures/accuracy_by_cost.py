"""Figure: mean test accuracy against parameters and FLOP."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator

from convdepth.figures.study_results import FILLS, StudyResult, Training
from convdepth.figures.style import NEUTRAL, add_heading, point, style

_AXES = {"parameters": "parameters", "flop": "FLOP per image"}


@style()
def draw_accuracy_by_cost(networks: Sequence[StudyResult]) -> Figure:
    """Draw the means with their 95% intervals, if each seed learned, by the recipe and tuned."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    panels = figure.subplots(1, len(_AXES), sharey=True)
    trainings = [(network, each) for network in networks for each in network.trainings]
    learned = [(network, each) for network, each in trainings if each.found.has_learned]
    for axes, (kind, label) in zip(panels, _AXES.items(), strict=True):
        for network, (settings, found) in learned:
            mean = found.accuracy
            errors = [[100 * (mean.mean - mean.low)], [100 * (mean.high - mean.mean)]]
            look = {"fmt": "o", "color": network.color, "fillstyle": FILLS[settings]}
            x, y = getattr(found, kind), 100 * mean.mean
            axes.errorbar(x, y, errors, capsize=4, linewidth=1.5, **look)
        axes.set(xscale="log", xlabel=label)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    panels[0].set_ylabel("mean test accuracy (%)")
    note = "Bars: 95% interval over seeds and test images. Better is up and left."
    omitted = [_name(*each) for each in trainings if each not in learned]
    if omitted:
        note += f" Omitted, since not every seed learned: {', '.join(omitted)}."
    handles = [point(label, NEUTRAL, fill) for label, fill in FILLS.items()]
    handles += [point(network.name, network.color) for network in networks]
    add_heading(figure, _title(learned), note, handles)
    return figure


def _title(learned: Sequence[tuple[StudyResult, Training]]) -> str:
    if not learned:
        return "No network learned with every seed"
    most = max(learned, key=lambda each: each[1].found.accuracy.mean)
    largest = max(learned, key=lambda each: (each[1].found.parameters, each[1].found.accuracy.mean))
    title = f"Most accurate: {_describe(*most)}"
    return title if largest[0] is most[0] else f"{title}; largest: {_describe(*largest)}"


def _describe(network: StudyResult, training: Training) -> str:
    accuracy, parameters = training.found.accuracy.mean, training.found.parameters
    return f"{_name(network, training)} ({100 * accuracy:.2f}%, {parameters:,} parameters)"


def _name(network: StudyResult, training: Training) -> str:
    return f"{network.name} {training.settings}"
