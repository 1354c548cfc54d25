"""The stage `plot_studies`: the figures about several seeds, tuning and dropout."""

from pathlib import Path

from convdepth.config.params import read_params
from convdepth.evaluation import results
from convdepth.evaluation.notebook_record import read_notebook
from convdepth.evaluation.result_file import read_result
from convdepth.figures.accuracy import (
    RECIPE,
    RECORDED,
    TUNED,
    Measured,
    Network,
    draw_groups,
    measure_seeds,
)
from convdepth.figures.accuracy_by_cost import Priced, draw_accuracy_by_cost
from convdepth.figures.calibration import draw_calibration
from convdepth.figures.collapse import draw_collapse
from convdepth.figures.palette import assign_colors
from convdepth.figures.style import write_figure


def main(
    replicates: Path,
    tuned: Path,
    collapse: Path,
    notebook: Path,
    figures: Path,
    params: Path = Path("params.yaml"),
) -> None:
    """Draw the networks of the parameters into `figures`."""
    architectures = read_params(params).architectures
    again, colors = results.STUDIES, assign_colors(architectures)
    recipe = {
        name: read_result(replicates / f"{name}.json", results.Replicates, again)
        for name in architectures
    }
    known = read_result(tuned / "summary.json", results.TunedNetworks, again).networks
    after = {name: known[name] for name in architectures if name in known}
    studies = {
        name: read_result(collapse / f"{name}.json", results.Collapse, again)
        for name in architectures
    }
    records = read_notebook(notebook)
    networks, priced = {}, []
    for name, architecture in architectures.items():
        cost = {"parameters": architecture.num_parameters, "flop": architecture.flop, "images": 0}
        groups, color = {RECIPE: measure_seeds(recipe[name])}, colors[name]
        priced.append(Priced(name, color, False, recipe[name], results.Cost(**cost)))
        if name in after:
            groups[TUNED] = measure_seeds(after[name])
            priced.append(Priced(name, color, True, after[name], after[name].cost))
        if name in records:
            groups[RECORDED] = Measured(*[records[name].test_accuracy] * 3)
        networks[name] = Network(len(architecture.blocks), color, groups)
    note = "Points: one seed each. Lines: mean with its 95% interval over seeds and test images."
    calibration = {RECIPE: recipe, TUNED: after} if after else {RECIPE: recipe}
    drawn = {
        "accuracy_by_seed": draw_groups(networks, note),
        "accuracy_by_cost": draw_accuracy_by_cost(priced),
        "calibration": draw_calibration(calibration, colors),
        "collapse": draw_collapse(studies, colors),
    }
    for name, figure in drawn.items():
        write_figure(figures / f"{name}.png", figure)
        print(f"plot_studies: {figures / name}.png", flush=True)
