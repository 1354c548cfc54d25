"""Figure: accuracy against the networks' own probability, pooled over seeds."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from convdepth.evaluation.metrics import BINS
from convdepth.evaluation.results import Replicates
from convdepth.figures.study_results import FILLS, StudyResult
from convdepth.figures.style import MUTED, add_heading, point, style

FEW_IMAGES = 10
"""Ranges of probability with fewer images are noise and not drawn."""


@style()
def draw_calibration(networks: Sequence[StudyResult]) -> Figure:
    """Draw a panel by the recipe, and one tuned, with networks that learned with every seed."""
    figure = Figure(figsize=(11, 5.8), layout="constrained")
    panels = figure.subplots(1, len(FILLS), sharey=True)
    found = []
    for axes, settings in zip(panels, FILLS, strict=True):
        axes.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1)
        errors, handles = [], []
        for network in networks:
            for each in (it.found for it in network.trainings if it.settings == settings):
                if each.has_learned:
                    bins, color = pool_ranges(each), network.color
                    axes.plot(bins["probability"], bins["accuracy"], color=color, zorder=1)
                    sizes = 12 * np.log10(bins["images"])
                    axes.scatter(bins["probability"], bins["accuracy"], sizes, color=color)
                    errors.append(each.calibration_error.mean)
                    handles.append(point(f"{network.name}: {errors[-1]:.1%}", color))
        axes.set(title=settings, xlabel="mean probability of the answer", aspect="equal")
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        if errors:
            axes.legend(handles=handles, title="calibration error", loc="upper left")
            found.append(f"{min(errors):.1%} to {max(errors):.1%} {settings}")
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
    bins = pd.DataFrame([dict(each) for run in network.runs for each in run.reliability])
    shares = ["probability", "accuracy"]
    sums = bins.assign(**bins[shares].mul(bins["images"], axis=0))
    sums = sums.groupby(np.ceil(bins["probability"] * BINS).clip(1, BINS)).sum()
    pooled = sums.assign(**sums[shares].div(sums["images"], axis=0))
    return pooled[pooled["images"] >= FEW_IMAGES]
