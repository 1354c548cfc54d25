"""Charts of the report: results in, Plotly figures out, the same bytes for the same results."""

import itertools
import json
import math
import statistics
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from convdepth.figures.calibration import FEW_IMAGES
from convdepth.figures.collapse import HEAD
from convdepth.figures.palette import COLORS
from convdepth.report.absent import Lazy
from convdepth.report.facts import block_medians, is_whole, mean_curve
from convdepth.report.formats import count, percent, short
from convdepth.report.load import Network, Results, Training

TEMPLATES = Path(__file__).parent / "templates"
STYLE = tomllib.loads((TEMPLATES / "charts.toml").read_text(encoding="utf-8"))
NETWORK_COLORS = dict(zip(COLORS, STYLE["dark_networks"], strict=True))
DARK = NETWORK_COLORS | STYLE["dark"]
"""All colors of the charts, each with its counterpart on dark ground."""

LOOKS = list(zip(COLORS, STYLE["dashes"], STYLE["markers"], strict=True))

ERRORS = (0.9, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
"""Ticks of a wide axis of accuracies, as shares of errors."""


_PHONE_GAP = 0.2
"""Least distance of ticks on the opening chart, so that labels do not overlap at 360 px."""


def make_charts(results: Results) -> Lazy[go.Figure]:
    """Return all charts of the page by name."""
    return Lazy(
        {
            "answer": lambda: _draw_answer(results),
            "depth": lambda: _draw_depth(results),
            "val-accuracy": lambda: _draw_curves(results, "val_accuracy"),
            "val-loss": lambda: _draw_curves(results, "val_loss"),
            "accuracy": lambda: _draw_curves(results, "accuracy"),
            "loss": lambda: _draw_curves(results, "loss"),
            "signal": lambda: _draw_signal(results),
            "gradient-norm": lambda: _draw_blocks(results, "gradient_norm", "norm"),
            "agreement": lambda: _draw_blocks(results, "agreement", "share"),
            "active": lambda: _draw_active(results),
            "reliability": lambda: _draw_reliability(results),
            "flop": lambda: _draw_costs(results, "flop", "FLOP per image"),
            "parameters": lambda: _draw_costs(results, "parameters", "parameters"),
        }
    )


def drawn_networks(figures: Mapping[str, go.Figure], names: Iterable[str]) -> set[str]:
    """Return the names of the networks in the figures of these names."""
    return {trace.meta for name in names for trace in figures[name].data if trace.meta}


def serialize(content: Mapping[str, Any]) -> str:
    """Write a figure or colors as JSON that is safe in a ``script`` element."""
    text = json.dumps(content, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def error_share(accuracy: float, images: int) -> float:
    """Return the share of errors, at least half an error, for a logarithmic axis."""
    return max(1 - accuracy, 0.5 / images)


def accuracy_axis(errors: Iterable[float], gap: float = 0) -> dict[str, Any]:
    """Return an axis of accuracies in percent, logarithmic in the errors from `error_share`.

    `gap` is the least distance of two ticks, and half of it that from the left end, as a share of
    the axis.
    """
    found = sorted(errors)
    low, high = found[0] / 1.2, min(found[-1] * 1.2, 1)
    ticks = [tick for tick in ERRORS if low <= tick <= high]
    if len(ticks) < 4:
        steps = (step * 10.0**power for power in range(-6, 0) for step in (1, 2, 5))
        step = next(step for step in steps if (high - low) / step < 7)
        multiples = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
        ticks = [round(step * multiple, 9) for multiple in multiples]
    least, shown = gap * math.log(high / low), list[float]()
    for tick in ticks:
        is_apart = all(abs(math.log(tick / other)) > least for other in shown)
        if is_apart and math.log(high / tick) >= least / 2:
            shown.append(tick)
    return {
        "type": "log",
        "range": [round(math.log10(high), 6), round(math.log10(low), 6)],
        "tickvals": shown,
        "ticktext": [f"{100 * (1 - tick):.4g}" for tick in shown],
    }


def _figure(x_title: str, y_title: str) -> go.Figure:
    """Return an empty figure in the style of all charts."""
    figure = go.Figure(layout=STYLE["layout"])
    figure.update_xaxes(STYLE["axis"], title_text=x_title)
    figure.update_yaxes(STYLE["axis"], title_text=y_title)
    return figure


def _look(network: Network) -> tuple[str, str, str]:
    """Return the color in the light theme, the dash and the marker of a network."""
    return LOOKS[network.look]


def _add(figure: go.Figure, network: Network, x: Any, y: Any, hover: Any, **style: Any) -> None:
    """Add a network's trace: a line with markers in its look, unless the style says otherwise."""
    color, dash, symbol = _look(network)
    own = {"mode": "lines+markers", "line": {"color": color, "width": 2.5, "dash": dash}} | style
    own["marker"] = {"color": color, "size": 8, "symbol": symbol} | style.get("marker", {})
    name, x, y, hover = network.name, list(x), list(y), list(hover)
    figure.add_scatter(x=x, y=y, hovertext=hover, hoverinfo="text", name=name, meta=name, **own)


def _log_axis(figure: go.Figure, axis: str = "y", tickformat: str = "~g") -> dict[str, Any]:
    """Return a logarithmic axis; Plotly chooses ticks well except for one to three decades."""
    found = [value for trace in figure.data for value in trace[axis] if value > 0] or [1.0]
    dtick = "D2" if 10 < max(found) / min(found) < 1000 else None  # 1, 2, 5, 10
    return {"type": "log", "tickformat": tickformat, "dtick": dtick}


def _floor(values: Iterable[float]) -> float:
    """Return the value at which a logarithmic axis draws a zero."""
    return min((value for value in values if value > 0), default=1.0) / 2


def _draw_answer(results: Results) -> go.Figure:
    """Draw each seed and the mean with its interval, by the recipe (open) and tuned."""
    figure = _figure("test accuracy (%)", "")
    for place, training in enumerate(results.trainings):
        is_open = bool(results.tuned) and training.settings == "recipe"
        _add_seeds(figure, place, training, is_open, results.num_images)
    _split_axis(figure)
    figure.update_yaxes(
        tickvals=list(range(len(results.trainings))),
        ticktext=[f"{each.network.name}, {each.settings}" for each in results.trainings],
        range=[len(results.trainings) - 0.4, -0.6],
        showgrid=False,
    )
    return figure


def _add_seeds(
    figure: go.Figure, place: int, training: Training, is_open: bool, num_images: int
) -> None:
    """Add the mean with its interval, and below it the seeds."""
    settings, network, found = training
    label = f"{network.name}, {settings}"

    def add(learned: bool, shares: Sequence[float], *rest: Any, **style: Any) -> None:
        xs = [error_share(share, num_images) for share in shares]
        _add(figure, network, xs, *rest, xaxis="x" if learned else "x2", **style)

    color, _, symbol = _look(network)
    rule = {"width": 1.5, "color": color}
    ends = {"size": [12, 18, 12], "symbol": "line-ns-open", "line": rule}
    mean, number = found.accuracy, len(found.runs)
    interval = f"95% interval {percent(mean.low)} to {percent(mean.high)}"
    text = f"{label}, mean of {number}: {percent(mean.mean)}<br>{interval}"
    line, ys = {"color": color, "width": 2.5}, [place - 0.14] * 3
    shares = (mean.low, mean.mean, mean.high)
    add(found.has_learned, shares, ys, [text] * 3, marker=ends, line=line)
    marker = {"symbol": f"{symbol}-open" if is_open else symbol}
    for step, run in enumerate(found.runs, 1):
        # Side by side, so that equal accuracies do not hide each other.
        ys = [place + 0.04 + 0.3 * step / (number + 1)]
        hover = [f"{label}, seed {run.seed}: {percent(run.accuracy)}"]
        add(run.status == "ok", [run.accuracy], ys, hover, mode="markers", marker=marker)


def _draw_depth(results: Results) -> go.Figure:
    """Draw mean and interval by depth, a line for each group; open markers: batch normalization."""
    figure = _figure("blocks", "mean test accuracy (%)")
    errors: list[float] = []
    groups = results.depth.groups
    for place, (group, points) in enumerate(groups.items()):
        shift = 0.07 * (place - (len(groups) - 1) / 2)  # so that no interval hides another
        is_size, is_normalized = group.startswith("size"), group.endswith("-normalized")
        color, dash, symbol = LOOKS[2 if is_size else 0]
        ends = [(each.accuracy.high, each.accuracy.mean, each.accuracy.low) for each in points]
        shares = [[error_share(end, results.num_images) for end in each] for each in ends]
        errors += itertools.chain.from_iterable(shares)
        name = f"same {'size' if is_size else 'width'}{', normalized' if is_normalized else ''}"
        figure.add_scatter(
            x=[int(each.network) + shift for each in points],
            y=[middle for _, middle, _ in shares],
            error_y={
                "array": [high - middle for _, middle, high in shares],
                "arrayminus": [middle - low for low, middle, _ in shares],
            },
            name=name,
            mode="lines+markers",
            line={"color": color, "dash": dash, "width": 2.5},
            marker={"symbol": f"{symbol}-open" if is_normalized else symbol, "size": 9},
            hoverinfo="text",
            hovertext=[
                f"{name}, {count(int(each.network), 'block')}: {percent(each.accuracy.mean)}, "
                f"{each.parameters:,} parameters, {count(len(each.seeds), 'seed')}"
                for each in points
            ],
        )
    figure.update_xaxes(tickvals=sorted({round(x) for trace in figure.data for x in trace.x}))
    figure.update_yaxes(accuracy_axis(errors))
    return figure.update_layout(showlegend=True, legend={"orientation": "h", "y": 1.1})


def _split_axis(figure: go.Figure) -> None:
    """Give accuracies of seeds that learned most of the width, and the others the left."""
    learned, failed = (
        [error for trace in figure.data if trace.xaxis == axis for error in trace.x]
        for axis in ("x", "x2")
    )
    axis = figure.layout.xaxis.to_plotly_json()
    if learned:
        axis_of_learned = accuracy_axis(learned, _PHONE_GAP)
        figure.update_layout(xaxis=axis_of_learned | {"domain": [0.16 if failed else 0, 1]})
    if failed:
        middle = statistics.median(failed)
        ticks = {"tickvals": [middle], "ticktext": [f"{100 * (1 - middle):.0f}"], "title": None}
        place = {"domain": [0, 0.12 if learned else 1], "anchor": "y"}
        figure.update_layout(xaxis2=axis | accuracy_axis(failed) | ticks | place, yaxis_anchor="x2")


def _draw_curves(results: Results, kind: str) -> go.Figure:
    """Draw a curve of each seed, its means, and the notebook's record."""
    is_accuracy = kind.endswith("accuracy")
    figure = _figure("epoch", "accuracy (%)" if is_accuracy else "loss (nats)")

    def add(network: Network, name: str, values: Sequence[float], **style: Any) -> None:
        shown = [percent(value) if is_accuracy else f"{value:.4f}" for value in values]
        hover = [f"{network.name}, {name}, epoch {i}: {text}" for i, text in enumerate(shown, 1)]
        if is_accuracy:
            values = [error_share(value, results.num_images) for value in values]
        _add(figure, network, range(1, 1 + len(values)), values, hover, **style)

    for network in results.networks:
        line = {"color": _look(network)[0], "width": 1}
        for run in network.replicates.runs:
            values = getattr(run.curves, kind)
            add(network, f"seed {run.seed}", values, mode="lines", opacity=0.4, line=line)
    for network in results.networks:  # the means lie above all seeds
        add(network, f"mean of {len(network.replicates.runs)}", mean_curve(network, kind))
    for network in results.networks:
        if network.record:
            values = [getattr(epoch, kind) for epoch in network.record.epochs]
            crosses = {"size": 6, "symbol": "x-thin-open"}
            add(network, "notebook", values, mode="markers", marker=crosses)
    shown = (y for trace in figure.data for y in trace.y)
    figure.update_yaxes(accuracy_axis(shown) if is_accuracy else _log_axis(figure))
    epochs = max(len(trace.x) for trace in figure.data)
    step = math.ceil(epochs / 6)  # more do not fit on a phone
    figure.update_xaxes(dtick=step, tick0=step, range=[0.6, epochs + 0.4])
    return figure


def _draw_signal(results: Results) -> go.Figure:
    """Draw the signal that reaches the head at each dropout scale; filled: all learned."""
    figure = _figure("dropout scale", "share of signal")
    points = [(network, network.collapse.points) for network in results.networks]
    lowest = _floor(point.signal[HEAD] for _, own in points for point in own)
    for network, own in points:
        symbol = _look(network)[2]
        symbols = [symbol if is_whole(point) else f"{symbol}-open" for point in own]
        ys = [max(lowest, point.signal[HEAD]) for point in own]
        hover = [
            f"{network.name}, scale {point.scale:g}<br>{short(point.signal[HEAD])} of the "
            f"variance is signal<br>{point.learned} of {len(point.runs)} learned"
            for point in own
        ]
        xs = [point.scale for point in own]
        _add(figure, network, xs, ys, hover, marker={"symbol": symbols})
    figure.update_yaxes(_log_axis(figure))
    return figure


def _draw_blocks(results: Results, kind: str, y_title: str) -> go.Figure:
    """Draw a measurement of each block at each network's own dropout scale."""
    figure = _figure("block", y_title)
    found = [(network, block_medians(network, kind)) for network in results.networks]
    lowest = _floor(value for _, values in found for value in values.values())
    for network, values in found:
        hover = [f"{network.name}, {block}: {short(value)}" for block, value in values.items()]
        ys = [max(lowest, value) for value in values.values()]
        _add(figure, network, range(1, 1 + len(ys)), ys, hover)
    figure.update_yaxes(_log_axis(figure))
    figure.update_xaxes(dtick=1)
    return figure


def _draw_active(results: Results) -> go.Figure:
    """Draw the share of active channels, layer by layer."""
    figure = _figure("layer", "active channels")
    for network in results.networks:
        layers = network.reading.layers
        hover = [
            f"{network.name}, {each.layer}<br>{each.active} of {each.channels} channels active"
            for each in layers
        ]
        shares = [each.share for each in layers]
        _add(figure, network, range(1, 1 + len(layers)), shares, hover)
    figure.update_yaxes(tickformat=".0%", range=[-0.04, 1.04])
    return figure


def _draw_reliability(results: Results) -> go.Figure:
    """Draw the accuracy against the mean probability."""
    figure = _figure("mean probability", "accuracy")
    figure.add_scatter(x=[0, 1], y=[0, 1], **STYLE["diagonal"])
    for network in results.networks:
        bins = [each for each in network.reading.reliability if each.images >= FEW_IMAGES]
        xs, ys = [each.probability for each in bins], [each.accuracy for each in bins]
        hover = [
            f"{network.name}: {each.images:,} images<br>mean probability "
            f"{percent(each.probability)}, accuracy {percent(each.accuracy)}"
            for each in bins
        ]
        sizes = [round(4 + 3 * math.log10(each.images), 3) for each in bins]
        _add(figure, network, xs, ys, hover, marker={"size": sizes})
    figure.update_xaxes(tickformat=".0%", range=[-0.02, 1.04])
    figure.update_yaxes(tickformat=".0%", range=[-0.02, 1.04])
    return figure


def _draw_costs(results: Results, kind: str, x_title: str) -> go.Figure:
    """Draw the mean accuracy against a cost, by the recipe and tuned, of networks that learned."""
    figure = _figure(x_title, "mean test accuracy (%)")
    is_shown = {"recipe": not results.learners, "tuned": False}
    errors: list[float] = []
    for settings, network, found in results.trainings:
        if not (found.has_learned or is_shown[settings]):
            continue
        mean, cost = found.accuracy, getattr(found, kind)
        ends = (mean.high, mean.mean, mean.low)
        low, middle, high = (error_share(share, results.num_images) for share in ends)
        errors += [low, high]
        color, _, symbol = _look(network)
        is_tuned = settings == "tuned"
        is_open = results.tuned and not is_tuned
        text = f"{network.name}, {'tuned, ' if is_tuned else ''}{percent(mean.mean)}"
        text += f", {cost:,} {x_title}"
        marker = {"symbol": f"{symbol}-open" if is_open else symbol, "size": 9}
        bars = {"array": [high - middle], "arrayminus": [middle - low], "color": color}
        _add(figure, network, [cost], [middle], [text], mode="markers", marker=marker, error_y=bars)
    figure.update_yaxes(accuracy_axis(errors))
    figure.update_xaxes(_log_axis(figure, "x", "~s"))
    return figure
