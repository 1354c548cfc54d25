"""Figure: accuracy against the networks' own probability, pooled over seeds."""

from collections.abc import Mapping
from itertools import chain

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from convdepth.evaluation.metrics import BINS
from convdepth.evaluation.results import Replicates
from convdepth.figures.style import MUTED, add_heading, style

FEW_IMAGES = 10
"""Ranges of probability with fewer images are noise and not drawn."""


@style()
def draw_calibration(
    groups: Mapping[str, Mapping[str, Replicates]], colors: Mapping[str, str]
) -> Figure:
    """Draw one panel for each group, with the networks that learned with every seed."""
    figure = Figure(figsize=(11, 5.8), layout="constrained")
    panels = figure.subplots(1, len(groups), sharey=True, squeeze=False).ravel()
    found = []
    for axes, (group, networks) in zip(panels, groups.items(), strict=True):
        axes.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1)
        errors = {}
        for name, each in networks.items():
            if each.has_learned:
                bins = pool_ranges(each)
                errors[name] = float(np.mean([run.calibration_error for run in each.runs]))
                label = f"{name}: {errors[name]:.1%}"
                axes.plot(bins["probability"], bins["accuracy"], color=colors[name], zorder=1)
                axes.scatter(
                    bins["probability"], bins["accuracy"], 12 * np.log10(bins["images"]),
                    color=colors[name], label=label,
                )  # fmt: skip
        axes.set(title=group, xlabel="mean probability of the answer", aspect="equal")
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        if errors:
            axes.legend(title="calibration error", loc="upper left")
            found.append(f"{min(errors.values()):.1%} to {max(errors.values()):.1%} {group}")
    panels[0].set_ylabel("accuracy")
    note = (
        "On the dashed line both are equal; above it, a network is right more often than it says. "
        "Expected calibration error over 15 ranges of probability, mean over seeds. "
        f"Points: ranges with at least {FEW_IMAGES} images; larger points have more."
    )
    title = f"Calibration error: {', '.join(found)}" if found else "No network learned"
    add_heading(figure, title, note)
    return figure


def pool_ranges(network: Replicates) -> pd.DataFrame:
    """Return images, mean probability and accuracy of each range, over all seeds."""
    bins = pd.DataFrame([dict(it) for it in chain(*(run.reliability for run in network.runs))])
    weighted = bins[["probability", "accuracy"]].mul(bins["images"], axis=0)
    ranges = np.ceil(bins["probability"] * BINS).clip(1, BINS)
    sums = weighted.assign(images=bins["images"]).groupby(ranges).sum()
    sums[["probability", "accuracy"]] = sums[["probability", "accuracy"]].div(
        sums["images"], axis=0
    )
    return sums[sums["images"] >= FEW_IMAGES]
