"""The picture that answers the question: test accuracy against depth."""

import textwrap
from collections.abc import Sequence
from itertools import chain

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from convdepth.figures.style import MUTED, WARNING, Result, add_heading, style

_ZOOM = 0.05
"""How far below the best network the zoom reaches, in accuracy."""

_OFFSETS = {"measured": -0.2, "recorded": 0.05, "claimed": 0.25}
"""Where a network's three values stand beside its place on the depth axis."""

_MARKERS = {"recorded": "D", "claimed": "x"}


@style()
def draw_accuracy_by_depth(results: Sequence[Result]) -> Figure:
    """Draw the test accuracy with its interval against the number of blocks.

    Args:
        results: One to eight networks; accuracies, intervals and the notebook's two values are
            drawn, and the most frequent label of the predictions gives the level of chance.

    Returns:
        The whole scale from 0 to 100 %, and above it, when a network learned, a zoom on the best.
    """
    ordered = sorted(results, key=lambda result: result.num_blocks)
    learned = [result for result in ordered if not result.trouble]
    width = max(10, 1.9 * len(results) + 1.5)
    figure = Figure(figsize=(width, 7.5 if learned else 4.5), layout="constrained")
    heights = [2, 1] if learned else [1]
    panels = figure.subplots(
        len(heights), 1, squeeze=False, sharex=True, height_ratios=heights
    ).ravel()
    for axes in panels:
        _draw_accuracies(axes, ordered)
    if learned:
        _zoom(panels[0], ordered, max(result.accuracy for result in learned) - _ZOOM)
    _draw_whole_scale(panels[-1], ordered)
    panels[-1].set_xlabel("network, by number of blocks")
    add_heading(figure, _depth_title(learned), _depth_note(ordered), _accuracy_handles())
    return figure


def _draw_accuracies(axes: Axes, results: Sequence[Result]) -> None:
    for place, result in enumerate(results):
        low, high = (100 * bound for bound in result.interval)
        value = 100 * result.accuracy
        errors = [[max(value - low, 0)], [max(high - value, 0)]]
        x = place + _OFFSETS["measured"]
        axes.errorbar(x, value, errors, fmt="o", color=result.color, capsize=4, linewidth=2)
        if result.recorded is not None:
            _draw_recorded(axes, place, "recorded", result.recorded.test_accuracy)
            _draw_recorded(axes, place, "claimed", result.recorded.claimed_accuracy)
    axes.set_xticks(range(len(results)), [_depth_label(result) for result in results])
    axes.set_xlim(-0.6, len(results) - 0.4)
    axes.set_ylabel("test accuracy (%)")
    axes.grid(visible=False, axis="x")


def _draw_recorded(axes: Axes, place: int, kind: str, accuracy: float) -> None:
    x, marker = place + _OFFSETS[kind], _MARKERS[kind]
    axes.plot(x, 100 * accuracy, marker, color=MUTED, fillstyle="none")


def _depth_label(result: Result) -> str:
    return f"{result.name}\n{result.num_blocks} block{'s' if result.num_blocks > 1 else ''}"


def _zoom(axes: Axes, results: Sequence[Result], floor: float) -> None:
    visible = _visible_values(results, floor)
    margin = 0.08 * (max(visible) - min(visible))
    axes.set_ylim(min(visible) - margin, max(visible) + margin)
    axes.set_title(f"within {100 * _ZOOM:g} points of the best", loc="left", fontsize=10)
    for place, result in enumerate(results):
        if result.accuracy < floor:
            _write_below(axes, place, result)
        else:
            _write_beside(axes, place, result)


def _visible_values(results: Sequence[Result], floor: float) -> list[float]:
    """List what the zoom shows, in per cent: whole intervals, and what the notebook says."""
    shown = [result.interval for result in results if result.accuracy >= floor]
    recorded = [result.recorded for result in results if result.recorded is not None]
    said = [(record.test_accuracy, record.claimed_accuracy) for record in recorded]
    near = [value for value in chain.from_iterable(said) if value >= floor]
    values = [*chain.from_iterable(shown), *near]
    return [100 * value for value in values]


def _write_below(axes: Axes, place: int, result: Result) -> None:
    text = "\n".join(filter(None, [_percent(result), _break(result.trouble), "↓"]))
    color = WARNING if result.trouble else result.color
    anchor = axes.get_xaxis_transform()
    axes.text(
        place, 0.02, text, transform=anchor, color=color, fontsize=9, ha="center", va="bottom"
    )


def _write_beside(axes: Axes, place: int, result: Result) -> None:
    position = (place + _OFFSETS["measured"] - 0.06, 100 * result.accuracy)
    axes.text(*position, _percent(result), color=result.color, fontsize=9, ha="right", va="center")


def _draw_whole_scale(axes: Axes, results: Sequence[Result]) -> None:
    labels = results[0].predictions["label"]
    chance = 100 * labels.value_counts(normalize=True).max()
    axes.axhline(chance, color=MUTED, linewidth=1, linestyle=":", zorder=0)
    axes.set_ylim(0, 105)
    axes.set_title("the whole scale", loc="left", fontsize=10)
    for place, result in enumerate(results):
        if result.trouble:
            position = (place + _OFFSETS["measured"], 100 * result.interval[1] + 7)
            axes.text(*position, _break(result.trouble), color=WARNING, fontsize=9, ha="center")


def _accuracy_handles() -> list[Line2D]:
    return [
        Line2D([], [], label="measured, with Wilson 95 % interval", color="#333333", marker="o"),
        Line2D([], [], label="most frequent digit only", color=MUTED, linestyle=":", linewidth=1),
        _notebook_handle("recorded"),
        _notebook_handle("claimed"),
    ]


def _notebook_handle(kind: str) -> Line2D:
    marker = _MARKERS[kind]
    label = f"notebook, {kind}"
    return Line2D([], [], label=label, color=MUTED, linestyle="", marker=marker, fillstyle="none")


def _break(trouble: str) -> str:
    return textwrap.fill(trouble, 16)


def _percent(result: Result) -> str:
    return f"{100 * result.accuracy:.2f} %"


def _depth_title(learned: Sequence[Result]) -> str:
    if not learned:
        return "Test accuracy by depth: no network learned"
    best = max(learned, key=lambda result: result.accuracy)
    return f"Test accuracy by depth: highest for {best.name}, {_percent(best)}"


def _depth_note(results: Sequence[Result]) -> str:
    note = (
        "The notebook's recorded values are what its cells printed; the claimed ones stand in its "
        "closing text, which contradicts them."
    )
    return note if any(result.recorded for result in results) else ""
