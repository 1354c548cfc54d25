"""The figure of all trainings: one point each, and none for a network that has not learned."""

import pytest
from matplotlib.figure import Figure

from convdepth.figures.accuracy_by_seed import draw_accuracy_by_seed

RECIPE = {"shallow": [0.99, 0.992], "deep": [0.1, 0.12]}
TUNED = {"deep": [0.991, 0.995]}


def points(figure: Figure) -> list[tuple[float, float]]:
    lines = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    return [point for line in lines for point in zip(*line.get_data(), strict=True)]


def test_each_training_that_learned_is_a_point_beside_its_network_and_in_view() -> None:
    figure = draw_accuracy_by_seed(RECIPE, TUNED)
    found = points(figure)
    assert sorted(y for _, y in found) == pytest.approx([99.0, 99.1, 99.2, 99.5])
    assert [round(x) for x, y in sorted(found)] == [0, 0, 1, 1]
    low, high = figure.axes[0].get_ylim()
    assert low < 99.0
    assert high > 99.5


def test_a_network_that_has_not_learned_is_named_with_its_mean() -> None:
    texts = [text.get_text() for text in draw_accuracy_by_seed(RECIPE, TUNED).axes[0].texts]
    assert [text for text in texts if "11.00%" in text]


@pytest.mark.parametrize("count", [1, 8])
def test_any_number_of_networks_has_a_place_without_tuned_ones(count: int) -> None:
    recipe = {f"cnn{place}": [0.99] for place in range(count)}
    figure = draw_accuracy_by_seed(recipe, {})
    assert len(points(figure)) == count
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == list(recipe)
