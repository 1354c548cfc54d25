"""Figure: which trainings learn at which dropout scale, and the signal that reaches the head."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from convdepth.evaluation.results import Point
from convdepth.figures.study_results import StudyResult
from convdepth.figures.style import NEUTRAL, add_heading, style

HEAD = "head_dense"
"""The layer before which the collapse study measures the signal that reaches the head."""

_LOOKS: dict[str, dict[str, Any]] = {
    "every seed learned": {"marker": "o", "fillstyle": "full", "linestyle": ""},
    "some seeds learned": {"marker": "o", "fillstyle": "none", "linestyle": ""},
    "no seed learned": {"marker": "x", "linestyle": ""},
}


@style()
def draw_collapse(networks: Sequence[StudyResult]) -> Figure:
    """Draw a row of dropout scales for each network above its signal at the head."""
    rows = 0.35 * len(networks) + 0.5
    figure = Figure(figsize=(10, rows + 4.1), layout="constrained")
    learned, signal = figure.subplots(2, 1, sharex=True, height_ratios=[rows, 3.2])
    shares = [point.signal[HEAD] for each in networks for point in each.collapse.points]
    lowest = min((share for share in shares if share > 0), default=1.0) / 3
    for row, network in enumerate(networks):
        points = [(it, max(it.signal[HEAD], lowest)) for it in network.collapse.points]
        scales, values = [it.scale for it, _ in points], [value for _, value in points]
        signal.plot(scales, values, color=network.color, linewidth=1.3)
        for point, value in points:
            look = _LOOKS[_outcome(point)] | {"color": network.color}
            learned.plot(point.scale, row, **look, markersize=9)
            signal.plot(point.scale, value, **look)
    names = [network.name for network in networks]
    learned.set(ylim=(len(networks) - 0.4, -0.6), title="trainings that learned")
    learned.set_yticks(range(len(networks)), names)
    for label, network in zip(learned.get_yticklabels(), networks, strict=True):
        label.set_color(network.color)
    signal.set(yscale="log", xlabel="factor on all dropout rates (1: the recipe's)")
    signal.set_ylabel("signal at the head\n(share of variance)")
    handles = [Line2D([], [], label=label, color=NEUTRAL, **it) for label, it in _LOOKS.items()]
    note = (
        "Signal: the share of the variance that reaches the head and comes from the image, not "
        "from dropout masks; median over seeds, before training. A share of 0 is at the bottom. "
        "Scales that raise a rate to 1 or more are left out."
    )
    add_heading(figure, _title(networks), note, handles)
    return figure


def _outcome(point: Point) -> str:
    every, some, none = _LOOKS
    return every if point.learned == len(point.runs) else some if point.learned else none


def _title(networks: Sequence[StudyResult]) -> str:
    failures = {
        each.name: [it.scale for it in each.collapse.points if it.learned < len(it.runs)]
        for each in networks
    }
    found = [f"{name} begins to fail at {it[0]:g}" for name, it in failures.items() if it]
    robust = [name for name, scales in failures.items() if not scales]
    if robust:
        found.append(f"{', '.join(robust)} always learn")
    return f"Scaled dropout: {'; '.join(found)}"
