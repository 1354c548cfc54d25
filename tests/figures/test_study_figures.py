"""The figures of the studies: what they show and leave out, and their stage."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest
from report_inputs import make_architecture, make_collapse, make_network, write_inputs
from test_figures import legible_texts, words

from convdepth.figures.accuracy import draw_accuracy_by_seed
from convdepth.figures.accuracy_by_cost import draw_accuracy_by_cost
from convdepth.figures.calibration import pool_ranges
from convdepth.figures.collapse import draw_collapse
from convdepth.figures.palette import COLORS, assign_colors
from convdepth.figures.study_results import RECIPE, TUNED, StudyResult, Training
from convdepth.report import load
from convdepth.studies import plot_studies

NAMES = [f"cnn{number}" for number in range(1, 9)]


def make_networks(count: int) -> list[load.Network]:
    """Networks of one to seven blocks, tuned; every third has collapsed by the recipe."""
    return [
        make_network(
            name,
            place,
            min(place + 1, 7),
            [0.1135] * 3 if place % 3 == 2 else [0.99 - 0.001 * place, 0.991, 0.992],
            collapsed=place % 3 == 2,
            tuned=0.995,
        )
        for place, name in enumerate(NAMES[:count])
    ]


def studied(networks: Sequence[load.Network]) -> list[StudyResult]:
    return [
        StudyResult(
            name=each.name,
            num_blocks=each.num_blocks,
            color=COLORS[each.look],
            trainings=[
                Training(RECIPE, each.replicates),
                *(Training(TUNED, it) for it in [each.tuned] if it),
            ],
            collapse=each.collapse,
            record=each.record,
        )
        for each in networks
    ]


@pytest.mark.parametrize("count", [1, 4, 8])
def test_each_network_is_named_and_legible(count: int) -> None:
    networks = make_networks(count)
    for draw in plot_studies.FIGURES.values():
        figure = draw(studied(networks))
        texts = legible_texts(figure)
        assert len(figure.get_suptitle()) > 20
        written = " ".join(text.get_text() for text in texts)
        assert all(each.name in written for each in networks)


def test_each_seed_is_a_point_and_a_collapsed_one_is_written() -> None:
    deep = make_network("deep", 1, 3, [0.11, 0.12], collapsed=True, tuned=0.995)
    shallow = make_network("shallow", 0, 1, [0.99, 0.992], record=(0.9905, 0.9))
    lucky = make_network("lucky", 2, 5, [0.12, 0.993])
    figure = draw_accuracy_by_seed(studied([shallow, deep, lucky]))
    (axes,) = figure.axes
    # The means are lines.
    lines = [line for line in axes.lines if line.get_marker() == "o"]
    points = [point for line in lines for point in zip(*line.get_data(), strict=True)]
    assert sorted(y for _, y in points) == pytest.approx([99.0, 99.2, 99.3, 99.5, 99.5])
    assert sorted({round(x) for x, _ in points}) == [0, 1, 2]
    assert "by the recipe: 11.50% 2 of 2 seeds collapsed" in words(figure)
    assert "by the recipe: 55.65%" in words(figure)
    assert "shallow by the recipe (99.10%), deep tuned (99.50%)" in words(figure)


def test_costs_leave_out_networks_that_did_not_learn() -> None:
    figure = draw_accuracy_by_cost(studied(make_networks(3)))
    for axes, kind in zip(figure.axes, ("parameters", "flop"), strict=True):
        found = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
        costs = [getattr(make_networks(3)[place].replicates, kind) for place in (0, 1, 0, 1, 2)]
        assert sorted(found) == sorted(costs)
    assert "Omitted, since not every seed learned: cnn3 by the recipe." in words(figure)


def test_calibration_pools_the_seeds_of_each_range() -> None:
    network = make_network("tiny", 0).replicates
    bins = [{"images": 30, "probability": 0.55, "accuracy": 0.5}]
    bins += [{"images": 5, "probability": 0.9, "accuracy": 1.0}]
    others = [{"images": 10, "probability": 0.59, "accuracy": 0.9}]
    for run, own in zip(network.runs, (bins, others, []), strict=True):
        run.__dict__["reliability"] = [type(run.reliability[0])(**each) for each in own]
    (only,) = pool_ranges(network).to_dict("records")  # 5 images are too few
    assert only == pytest.approx({"images": 40, "probability": 0.56, "accuracy": 0.6})


def test_collapse_shows_which_trainings_learned_and_where_failing_begins() -> None:
    deep, shallow = studied([make_network("deep", 0), make_network("shallow", 1)])
    failing = make_collapse(make_architecture(1), {0: 2, 0.5: 1, 1: 0})
    figure = draw_collapse([replace(deep, collapse=failing), shallow])
    learned, _ = figure.axes
    looks = [(line.get_marker(), line.get_fillstyle()) for line in learned.lines]
    full, partial = ("o", "full"), ("o", "none")
    assert looks == [full, partial, ("x", "full"), full, full, full]
    assert "deep begins to fail at 0.5; shallow always learn" in words(figure)


def test_colors_belong_to_names() -> None:
    four = ["cnn1", "cnn3", "cnn5", "cnn7"]
    colors = assign_colors(four)
    assert len({*colors.values()}) == len(four)
    assert all(assign_colors(order) == colors for order in permutations(four))
    for added in ("cnn2", "cnn4", "other", "tiny"):
        assert assign_colors([added, *four]).items() >= colors.items()
    for removed in four:
        kept = assign_colors(name for name in four if name != removed)
        assert kept == {name: color for name, color in colors.items() if name != removed}
    assert len({*assign_colors(["ab", "ba", "aab", "aba", "baa", "x", "y", "z"]).values()}) == 8


def test_the_stage_draws_the_networks_of_the_parameters(
    tmp_path: Path, tiny_params: Path, normalized: Path
) -> None:
    written = write_inputs(tmp_path, normalized, tiny_params, tiny={"tuned": 0.99})
    names = ("answers", "recipe", "tuned", "collapse", "notebook", "params")
    (tmp_path / "recipe" / "recipe" / "former.json").write_text("left over")
    runs = []
    for number in (1, 2):
        folder = tmp_path / f"figures{number}"
        plot_studies.main(**{name: written[name] for name in names}, figures=folder)
        runs.append({path.name: path.read_bytes() for path in sorted(folder.iterdir())})
    names = ("accuracy_by_cost", "accuracy_by_seed", "calibration", "collapse")
    assert list(runs[0]) == [f"{name}.png" for name in names]
    assert runs[0] == runs[1]
