"""Figure: which trainings learn at which dropout scale, and the signal that reaches the head."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from convdepth.evaluation.results import Collapse, Point
from convdepth.figures.style import NEUTRAL, add_heading, style

HEAD = "head_dense"
"""The layer before which the collapse study measures the signal that reaches the head."""

_LOOKS = {
    "every seed learned": {"marker": "o", "fillstyle": "full"},
    "some seeds learned": {"marker": "o", "fillstyle": "none"},
    "no seed learned": {"marker": "x"},
}


@style()
def draw_collapse(studies: Mapping[str, Collapse], colors: Mapping[str, str]) -> Figure:
    """Draw a row of dropout scales for each network above its signal at the head."""
    figure = Figure(figsize=(10, 4.6 + 0.35 * len(studies)), layout="constrained")
    heights = [0.5 + 0.35 * len(studies), 3.2]
    learned, signal = figure.subplots(2, 1, sharex=True, height_ratios=heights)
    shares = [point.signal[HEAD] for study in studies.values() for point in study.points]
    lowest = min((share for share in shares if share > 0), default=1.0) / 3
    for row, (name, study) in enumerate(studies.items()):
        scales = [point.scale for point in study.points]
        values = [max(point.signal[HEAD], lowest) for point in study.points]
        signal.plot(scales, values, color=colors[name], linewidth=1.3)
        signal.annotate(
            name, (scales[-1], values[-1]), (9, 0), textcoords="offset points",
            color=colors[name], va="center", fontsize=9,
        )  # fmt: skip
        for point, value in zip(study.points, values, strict=True):
            look = _LOOKS[_outcome(point)] | {"color": colors[name], "linestyle": ""}
            learned.plot(point.scale, row, **look, markersize=9)
            signal.plot(point.scale, value, **look)
    learned.set(ylim=(len(studies) - 0.4, -0.6), title="trainings that learned")
    learned.set_yticks(range(len(studies)), list(studies))
    signal.set(yscale="log", xlabel="factor on all dropout rates (1: the recipe's)")
    signal.set_ylabel("signal at the head\n(share of variance)")
    handles = [
        Line2D([], [], label=label, color=NEUTRAL, linestyle="", **look)
        for label, look in _LOOKS.items()
    ]
    note = (
        "Signal: the share of the variance that reaches the head and comes from the image, not "
        "from dropout masks; median over seeds, before training. A share of 0 is at the bottom. "
        "Scales that raise a rate to 1 or more are left out."
    )
    add_heading(figure, _title(studies), note, handles)
    return figure


def _outcome(point: Point) -> str:
    every, some, none = _LOOKS
    return every if point.learned == len(point.runs) else some if point.learned else none


def _title(studies: Mapping[str, Collapse]) -> str:
    robust = [name for name, study in studies.items() if _first_failure(study.points) is None]
    found = [
        f"{name} begins to fail at dropout scale {scale:g}"
        for name, study in studies.items()
        if (scale := _first_failure(study.points)) is not None
    ]
    if robust:
        found.append(f"{', '.join(robust)} always learn")
    return "; ".join(found)


def _first_failure(points: Sequence[Point]) -> float | None:
    return next((it.scale for it in points if it.learned < len(it.runs)), None)
