"""The charts of the report: results in, Plotly figures out, the same bytes for the same results.

The colors are those of the light theme; the page's script replaces each by its counterpart of the
dark one. A network differs from the others by dash and marker, too.
"""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from convdepth.evaluation.notebook_record import Record
from convdepth.evaluation.results import Curves, Point, Replicates, Spread
from convdepth.report.axes import (
    accuracy_axis,
    epochs_axis,
    error_share,
    floor,
    log10,
    logarithmic_axis,
)
from convdepth.report.load import CURVES, Network, Results
from convdepth.report.text import learners, mean_curve, percent, short
from convdepth.report.text_reading import HEAD, own_median

NETWORK_COLORS = {
    "#0072B2": "#56A9E0",
    "#D55E00": "#F08A4B",
    "#009E73": "#35C79B",
    "#CC79A7": "#E5A3C8",
    "#E69F00": "#F2BE4A",
    "#56B4E9": "#A5DBFA",
    "#000000": "#F2F2F2",
    "#8C6D1F": "#CDB069",
}
"""The colors of `figures`, in its order, each with what stands for it on dark ground."""

INK, MUTED, GRID, GROUND = "#1F2328", "#5B6470", "#DDE1E6", "#FFFFFF"
THEME = {INK: "#E7EAEE", MUTED: "#A3ADB9", GRID: "#353C45", GROUND: "#171B21"}
"""Text, what stays behind, lines of the grid, and the ground, each with its dark counterpart."""

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "5px,2px", "1px,4px")
MARKERS = (
    "circle", "square", "diamond", "triangle-up", "triangle-down", "star", "pentagon", "hexagon"
)  # fmt: skip


FEW_IMAGES = 10
"""A range of probabilities with fewer of them is left out of the reliability diagram: noise."""


@dataclass(frozen=True)
class Chart:
    """One chart.

    Attributes:
        name: Its place in the page, without blanks.
        title: Above it.
        description: What it shows, for who cannot see it.
        figure: Drawn by the page's script.
    """

    name: str
    title: str
    description: str
    figure: go.Figure


def color(network: Network) -> str:
    """Give the color of a network in the light theme."""
    return list(NETWORK_COLORS)[network.place % len(NETWORK_COLORS)]


def dash(network: Network) -> str:
    """Give the dash of a network's lines."""
    return DASHES[network.place % len(DASHES)]


def marker(network: Network) -> str:
    """Give the marker of a network's points."""
    return MARKERS[network.place % len(MARKERS)]


def draw_seeds(results: Results) -> list[Chart]:
    """Draw each seed's accuracy, and the means with their intervals.

    Args:
        results: Of all networks.

    Returns:
        One chart of all networks, and where some did not learn, one of the others alone.
    """
    able = learners(results)
    charts = [("seeds-able", "Those that learned with every seed", able)] if able else []
    if len(able) < len(results.networks):
        charts.append(("seeds-all", "All, on a scale of all accuracies", results.networks))
    return [
        Chart(
            name,
            title,
            f"Dot plot of the test accuracy of each seed, and the mean with its 95 % interval, of "
            f"{_named(networks)}.",
            _draw_seeds(networks, whole=networks is not able),
        )
        for name, title, networks in charts
    ]


def draw_tuning(results: Results) -> list[Chart]:
    """Draw the mean of each tuned network with its interval, and what it was by the recipe.

    A network that did not learn by the recipe has its tuned mean alone, and the title says so.

    Args:
        results: Of all networks.

    Returns:
        One chart; none where no network was tuned.
    """
    tuned = [network for network in results.networks if network.tuned]
    if not tuned:
        return []
    failed = [network for network in tuned if not network.replicates.has_learned]
    figure = _figure("test accuracy (%)", "")
    for row, network in enumerate(tuned):
        if network.replicates.has_learned:
            before = _mean_mark(network, network.replicates, row - 0.15)
            before["marker"]["symbol"] = ["line-ns-open", f"{marker(network)}-open", "line-ns-open"]
            figure.add_scatter(**before)
        if network.tuned:
            figure.add_scatter(**_mean_mark(network, network.tuned, row + 0.15, "tuned, "))
    errors = [error for trace in figure.data for error in trace.x]
    figure.update_xaxes(accuracy_axis(errors, is_vertical=False))
    figure.update_yaxes(**_rows(tuned))
    without = f"; {_named(failed)} did not learn by the recipe" if failed else ""
    return [
        Chart(
            "tuning",
            f"Means over the seeds (open: by the recipe, filled: tuned{without})",
            f"Dot plot of the mean test accuracy with its 95 % interval, by the recipe and tuned, "
            f"of {_named(tuned)}.",
            figure,
        )
    ]


def draw_curves(results: Results, images: str) -> list[Chart]:
    """Draw accuracy and loss after each epoch, of all seeds and their means.

    Args:
        results: Of all networks.
        images: What the ``val_`` curves are of.

    Returns:
        Four charts: accuracy and loss on these images, and on those of the training.
    """
    kinds: list[tuple[str, str, bool, Callable[[Curves], Sequence[float]]]] = [
        ("val-accuracy", f"Accuracy on {images}", True, lambda curves: curves.val_accuracy),
        ("val-loss", f"Loss on {images}", False, lambda curves: curves.val_loss),
        ("accuracy", "Accuracy in training, with dropout", True, lambda curves: curves.accuracy),
        ("loss", "Loss in training, with dropout", False, lambda curves: curves.loss),
    ]
    return [
        Chart(
            f"curves-{name}",
            title,
            f"Line chart over the epochs: {title.lower()}, of {_named(results.networks)}, each "
            f"seed thin and their mean bold, what the notebook recorded as crosses.",
            _draw_curves(results, is_accuracy, choose),
        )
        for name, title, is_accuracy, choose in kinds
    ]


def draw_signal(results: Results) -> list[Chart]:
    """Draw how much signal reaches the head at each scale of the dropouts, and who learned."""
    figure = _figure("all dropouts, times", "share of signal")
    lowest = floor(
        point.signal[HEAD] for each in results.networks for point in each.collapse.points
    )
    for network in results.networks:
        points = network.collapse.points
        figure.add_scatter(
            **_line(network),
            x=[point.scale for point in points],
            y=[max(lowest, point.signal[HEAD]) for point in points],
            marker_symbol=[_learned_symbol(network, point) for point in points],
            hovertext=[_hover_signal(network, point) for point in points],
        )
    figure.update_yaxes(logarithmic_axis(y for trace in figure.data for y in trace.y))
    description = (
        f"Line chart of the share of the signal at the head against the scale of all dropouts, of "
        f"{_named(results.networks)}. Filled markers: every seed learned; open ones: not every one."
    )
    title = "Signal at the head (filled: all learned)"
    return [Chart("collapse-signal", title, description, figure)]


def draw_prior(results: Results) -> list[Chart]:
    """Draw where each training of the collapse study ended, beside the loss of the class prior."""
    figure = _figure("all dropouts, times", "last loss / prior loss")
    figure.add_hline(y=1, line={"color": MUTED, "width": 1, "dash": "dash"})
    for network in results.networks:
        runs = [(point, run) for point in network.collapse.points for run in point.runs]
        aside = 0.02 * (network.place - (len(results.networks) - 1) / 2)
        figure.add_scatter(
            **_dots(network),
            x=[round(point.scale + aside, 6) for point, _ in runs],
            y=[run.loss[-1] / run.prior_loss for _, run in runs],
            hovertext=[
                f"{network.name}, scale {point.scale:g}, seed {run.seed}<br>"
                f"{run.loss[-1] / run.prior_loss:.3f} of the class prior's loss<br>"
                + (
                    f"learned in epoch {run.epochs_to_learn}"
                    if run.epochs_to_learn
                    else f"not in {len(run.loss)} epochs"
                )
                for point, run in runs
            ],
        )
    figure.update_yaxes(rangemode="tozero")
    description = (
        "Dot plot of the last loss of each training of the collapse study, as a share of the loss "
        f"of the class prior, against the scale of all dropouts, of {_named(results.networks)}."
    )
    title = "Last loss, relative to that of the class prior"
    return [Chart("collapse-prior", title, description, figure)]


def draw_gradients(results: Results) -> list[Chart]:
    """Draw how large the gradients of each block are, and how far they agree on the labels."""
    kinds = [
        ("gradient_norm", "Norm of the gradient", "norm"),
        ("agreement", "Agreement on the labels", "share"),
    ]
    return [
        Chart(
            f"collapse-{kind.replace('_', '-')}",
            title,
            f"Line chart of the {title.lower()} by block, before any training, of "
            f"{_named(results.networks)}.",
            _draw_blocks(results, kind, axis),
        )
        for kind, title, axis in kinds
    ]


def draw_active(results: Results) -> list[Chart]:
    """Draw, layer by layer, the share of the channels that answer to any image."""
    figure = _figure("layer", "active channels")
    for network in results.networks:
        layers = network.reading.layers
        figure.add_scatter(
            **_line(network),
            x=list(range(1, len(layers) + 1)),
            y=[each.share for each in layers],
            hovertext=[
                f"{network.name}, {each.layer}<br>{each.active} of {each.channels} channels active"
                for each in layers
            ],
        )
    figure.update_yaxes(**_in_percent(), range=[-0.04, 1.04])
    description = (
        "Line chart of the share of the channels that are above zero for any test image, layer by "
        f"layer, of {_named(results.networks)}, after the training."
    )
    return [Chart("collapse-dead", "Channels that answer to any image", description, figure)]


def draw_reliability(results: Results) -> list[Chart]:
    """Draw how often each network is right, against how sure it is."""
    figure = _figure("mean probability", "share that is right")
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": MUTED, "width": 1, "dash": "dash"},
        hoverinfo="skip",
    )
    for network in results.networks:
        bins = [each for each in network.reading.reliability if each.images >= FEW_IMAGES]
        figure.add_scatter(
            **_line(network),
            x=[each.probability for each in bins],
            y=[each.accuracy for each in bins],
            marker_size=[round(4 + 3 * math.log10(each.images), 3) for each in bins],
            hovertext=[
                f"{network.name}: {each.images:,} images<br>says {percent(each.probability)}, is "
                f"right on {percent(each.accuracy)}"
                for each in bins
            ],
        )
    for update in (figure.update_xaxes, figure.update_yaxes):
        update(**_in_percent(), range=[-0.02, 1.04])
    description = (
        "Reliability diagram: the share of answers that is right against their mean probability, "
        f"of {_named(results.networks)}. On the diagonal both are the same."
    )
    title = "Reliability (larger markers: more images)"
    return [Chart("reliability", title, description, figure)]


@dataclass(frozen=True)
class _Priced:
    """A mean accuracy and what it costs; filled are the markers of what is tuned, or of all."""

    network: Network
    accuracy: Spread
    cost: int
    is_filled: bool
    what: str


def draw_costs(results: Results) -> list[Chart]:
    """Draw the mean accuracy against two costs, FLOP and parameters, by the recipe and tuned.

    Networks that did not learn with every seed are left out, and the titles say so: beside them,
    the others would all lie in one place.
    """
    able = learners(results) or results.networks
    rest = [each for each in results.networks if each not in able]
    has_tuned = any(each.tuned for each in results.networks)
    remarks = ["open: by the recipe, filled: tuned"] if has_tuned else []
    remarks += [f"{_named(rest)} did not learn by the recipe"] if rest else []
    remark = f" ({'; '.join(remarks)})" if remarks else ""
    kinds = [("flop", "flop", "FLOP per image"), ("parameters", "num_parameters", "parameters")]
    charts = []
    for kind, attribute, words in kinds:
        points = [
            _Priced(
                each,
                each.replicates.accuracy,
                getattr(each.architecture, attribute),
                not has_tuned,
                "",
            )
            for each in able
        ]
        points += [
            _Priced(each, each.tuned.accuracy, getattr(each.tuned.cost, kind), True, "tuned, ")
            for each in results.networks
            if each.tuned and each.tuned.has_learned
        ]
        names = ", ".join(dict.fromkeys(point.network.name for point in points))
        description = (
            f"Scatter plot of the mean test accuracy with its 95 % interval against {words}, of "
            f"{names}."
        )
        title, figure = f"Accuracy against {words}{remark}", _draw_cost(points, words)
        charts.append(Chart(f"cost-{kind}", title, description, figure))
    return charts


def serialize(charts: Sequence[Chart]) -> str:
    """Write charts and colors for the page's script.

    Args:
        charts: With different names.

    Returns:
        JSON with sorted keys that may stand in a ``script`` element.
    """
    figures = {chart.name: chart.figure.to_plotly_json() for chart in charts}
    content = {"charts": figures, "dark": NETWORK_COLORS | THEME}
    text = json.dumps(content, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


_AXIS: dict[str, Any] = {
    "gridcolor": GRID,
    "linecolor": MUTED,
    "zeroline": False,
    "showline": True,
    "ticks": "outside",
    "tickcolor": MUTED,
    "automargin": True,
    "fixedrange": True,  # else a finger that scrolls the page would zoom instead
    "title": {"standoff": 8},
}


def _in_percent() -> dict[str, Any]:
    """Give an axis of shares its marks, from 0 % to 100 %."""
    marks = [0, 0.2, 0.4, 0.6, 0.8, 1]
    return {"tickvals": marks, "ticktext": [f"{mark:.0%}" for mark in marks]}


def _figure(x_title: str, y_title: str) -> go.Figure:
    figure = go.Figure()
    figure.update_layout(
        template="none",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": INK, "size": 13, "family": "system-ui, sans-serif"},
        margin={"l": 8, "r": 16, "t": 8, "b": 8},
        showlegend=False,
        hovermode="closest",
        dragmode=False,
        hoverlabel={"bgcolor": GROUND, "bordercolor": MUTED, "font": {"color": INK, "size": 13}},
    )
    figure.update_xaxes(**_AXIS, title_text=x_title)
    figure.update_yaxes(**_AXIS, title_text=y_title)
    return figure


def _line(network: Network) -> dict[str, Any]:
    return {
        "name": network.name,
        "meta": network.name,
        "mode": "lines+markers",
        "line": {"color": color(network), "width": 2.5, "dash": dash(network)},
        "marker": {"color": color(network), "size": 8, "symbol": marker(network)},
        "hoverinfo": "text",
    }


def _dots(network: Network) -> dict[str, Any]:
    own = {"color": color(network), "size": 9, "symbol": marker(network), "opacity": 0.75}
    return {key: value for key, value in _line(network).items() if key != "line"} | {
        "mode": "markers",
        "marker": own,
    }


def _named(networks: Iterable[Network]) -> str:
    return ", ".join(network.name for network in networks)


def _draw_seeds(networks: Sequence[Network], whole: bool) -> go.Figure:
    figure = _figure("test accuracy (%)", "")
    errors: list[float] = []
    for row, network in enumerate(networks):
        found, images = network.replicates, network.score.images
        seeds = [error_share(run.accuracy, images) for run in found.runs]
        mean = _mean_mark(network, found, row - 0.12)
        errors += [*mean["x"], *seeds]
        figure.add_scatter(**_dots(network), **_seed_dots(network, seeds, row))
        figure.add_scatter(**mean)
    axis = accuracy_axis([*errors, 0.9] if whole else errors, is_vertical=False)
    figure.update_xaxes(axis)
    figure.update_yaxes(**_rows(networks))
    return figure


def _rows(networks: Sequence[Network]) -> dict[str, Any]:
    """Give an axis with one row per network, the first at the top."""
    return {
        "tickvals": list(range(len(networks))),
        "ticktext": [network.name for network in networks],
        "range": [len(networks) - 0.4, -0.6],
        "showgrid": False,
    }


def _seed_dots(network: Network, errors: Sequence[float], row: int) -> dict[str, Any]:
    runs = network.replicates.runs
    return {
        "x": errors,
        # Side by side, so that equal accuracies do not hide each other.
        "y": [row + 0.12 + 0.3 * (place + 1) / (len(runs) + 1) for place in range(len(runs))],
        "hovertext": [
            f"{network.name}, seed {run.seed}: {percent(run.accuracy)} ({run.status})"
            for run in runs
        ],
    }


def _mean_mark(network: Network, found: Replicates, row: float, what: str = "") -> dict[str, Any]:
    spread, images = found.accuracy, network.score.images
    text = (
        f"{network.name}, {what}mean of {found.count}: {percent(spread.mean)}<br>"
        f"95 % interval {percent(spread.low)} to {percent(spread.high)}"
    )
    return _line(network) | {
        "x": [error_share(share, images) for share in (spread.low, spread.mean, spread.high)],
        "y": [row] * 3,
        "hovertext": [text] * 3,
        "line": {"color": color(network), "width": 3},
        "marker": {
            "color": color(network),
            "size": [14, 11, 14],
            "symbol": ["line-ns-open", marker(network), "line-ns-open"],
            "line": {"width": 2, "color": color(network)},
        },
    }


def _draw_curves(
    results: Results, is_accuracy: bool, choose: Callable[[Curves], Sequence[float]]
) -> go.Figure:
    figure = _figure("epoch", "accuracy (%)" if is_accuracy else "loss (nats)")
    shown: list[float] = []

    def place(values: Sequence[float]) -> list[float]:
        ys = (
            [error_share(value, results.num_images) for value in values]
            if is_accuracy
            else list(values)
        )
        shown.extend(ys)
        return ys

    def add(network: Network, name: str, values: Sequence[float], **style: Any) -> None:
        figure.add_scatter(
            **_line(network) | style,
            x=list(range(1, 1 + len(values))),
            y=place(values),
            hovertext=[
                f"{network.name}, {name}, epoch {epoch}: "
                + (percent(value) if is_accuracy else f"{value:.4f}")
                for epoch, value in enumerate(values, 1)
            ],
        )

    for network in results.networks:
        thin = {"mode": "lines", "opacity": 0.4, "line": {"color": color(network), "width": 1}}
        for run in network.replicates.runs:
            add(network, f"seed {run.seed}", choose(run.curves), **thin)
    for network in results.networks:  # the means lie above all seeds
        mean = mean_curve(network, choose)
        add(network, f"mean of {network.replicates.count}", mean)
    for network in results.networks:
        if network.record:
            crosses = {"color": color(network), "size": 6, "symbol": "x-thin-open"}
            recorded = choose(_recorded_curves(network.record))
            add(network, "notebook", recorded, mode="markers", marker=crosses)
    figure.update_yaxes(
        accuracy_axis(shown, is_vertical=True) if is_accuracy else logarithmic_axis(shown)
    )
    figure.update_xaxes(epochs_axis(max(len(trace.x) for trace in figure.data)))
    return figure


def _recorded_curves(record: Record) -> Curves:
    """Give the curves that the notebook recorded."""
    return Curves.model_validate(
        {name: [getattr(epoch, name) for epoch in record.epochs] for name in CURVES}
    )


def _learned_symbol(network: Network, point: Point) -> str:
    return marker(network) + ("" if point.learned == len(point.runs) else "-open")


def _hover_signal(network: Network, point: Point) -> str:
    return (
        f"{network.name}, scale {point.scale:g}<br>{short(point.signal[HEAD])} of the variance is "
        f"signal<br>{point.learned} of {len(point.runs)} learned"
    )


def _draw_blocks(results: Results, kind: str, y_title: str) -> go.Figure:
    figure = _figure("block", y_title)
    found = {network.name: own_median(network, kind) for network in results.networks}
    lowest = floor(value for places in found.values() for value in places.values())
    for network in results.networks:
        places = found[network.name]
        figure.add_scatter(
            **_line(network),
            x=list(range(1, 1 + len(places))),
            y=[max(lowest, value) for value in places.values()],
            hovertext=[
                f"{network.name}, {block}: {short(value)}" for block, value in places.items()
            ],
        )
    figure.update_yaxes(logarithmic_axis(y for trace in figure.data for y in trace.y))
    figure.update_xaxes(dtick=1)
    return figure


def _draw_cost(points: Sequence[_Priced], x_title: str) -> go.Figure:
    figure = _figure(f"{x_title} (logarithmic)", "mean test accuracy (%)")
    errors: list[float] = []
    ordered = sorted((point for point in points if point.is_filled), key=lambda each: each.cost)
    # Neighbors have their names on different sides, so that these do not touch.
    sides = {each.network.name: ("left", "right")[rank % 2] for rank, each in enumerate(ordered)}
    for point in points:
        network, spread = point.network, point.accuracy
        low, middle, high = (
            error_share(share, network.score.images)
            for share in (spread.high, spread.mean, spread.low)
        )
        errors += [low, high]
        trace = _dots(network)
        trace["marker"]["symbol"] += "" if point.is_filled else "-open"
        figure.add_scatter(
            **trace | {"mode": "markers+text"},
            x=[point.cost],
            y=[middle],
            text=[network.name if point.is_filled or network.name not in sides else ""],
            textposition=f"top {sides.get(network.name, 'left')}",
            textfont={"color": color(network)},
            cliponaxis=False,
            error_y={
                "array": [high - middle],
                "arrayminus": [middle - low],
                "color": color(network),
            },
            hovertext=[
                f"{network.name}, {point.what}{percent(spread.mean)}, {point.cost:,} {x_title}"
            ],
        )
    figure.update_yaxes(accuracy_axis(errors, is_vertical=True))
    costs = [trace.x[0] for trace in figure.data]
    aside = 0.2 * log10(max(costs) / min(costs)) + 0.01  # room for the names
    figure.update_xaxes(logarithmic_axis(costs))
    figure.update_xaxes(range=[log10(min(costs)) - aside, log10(max(costs)) + aside])
    return figure
