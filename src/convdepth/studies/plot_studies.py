"""The stage `plot_studies`: the figures about several seeds, tuning and dropout."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

from matplotlib.figure import Figure

from convdepth.figures.accuracy import draw_accuracy_by_seed
from convdepth.figures.accuracy_by_cost import draw_accuracy_by_cost
from convdepth.figures.calibration import draw_calibration
from convdepth.figures.collapse import draw_collapse
from convdepth.figures.study_results import StudyResult, read_study_results
from convdepth.figures.style import write_figure

FIGURES: dict[str, Callable[[Sequence[StudyResult]], Figure]] = {
    "accuracy_by_seed": draw_accuracy_by_seed,
    "accuracy_by_cost": draw_accuracy_by_cost,
    "calibration": draw_calibration,
    "collapse": draw_collapse,
}
"""By file name, without the suffix."""


def main(
    answers: Path,
    recipe: Path,
    tuned: Path,
    collapse: Path,
    notebook: Path,
    figures: Path,
    params: Path = Path("params.yaml"),
) -> None:
    """Draw `FIGURES` of the networks in the parameters into `figures`."""
    networks = read_study_results(SimpleNamespace(**locals()))
    for name, draw in FIGURES.items():
        write_figure(figures / f"{name}.png", draw(networks))
        print(f"plot_studies: {figures / name}.png", flush=True)
