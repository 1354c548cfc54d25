"""The figures: their content, legible words, and fixed bytes."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from convdepth.core.errors import MachineError
from convdepth.evaluation.notebook_record import Record
from convdepth.figures.accuracy import draw_accuracy
from convdepth.figures.confusion import draw_confusion
from convdepth.figures.errors import draw_errors, draw_shared_errors, find_shared_errors
from convdepth.figures.inputs import Inputs, NetworkResult
from convdepth.figures.learning_curves import draw_learning_curves
from convdepth.figures.palette import COLORS
from convdepth.figures.plot import FIGURES
from convdepth.figures.style import grid_shape, style, write_figure
from convdepth.figures.weights import draw_notebook_weights, draw_weights

NUM_IMAGES = 500
LABELS = np.arange(NUM_IMAGES) % 10
IMAGES = np.random.default_rng(0).random((NUM_IMAGES, 28, 28, 1), np.float32)
GUESSES = np.random.default_rng(0).integers(0, 10, NUM_IMAGES)


def inputs(*networks: NetworkResult, validation_name: str = "test") -> Inputs:
    return Inputs(networks, IMAGES, validation_name)


def make_history(num_epochs: int, scale: float = 1) -> pd.DataFrame:
    epochs = np.arange(1, num_epochs + 1)
    loss = scale * 0.3 / epochs
    values = {"loss": loss, "accuracy": 1 - loss / 3}
    values |= {f"val_{name}": 0.9 * column for name, column in values.items()}
    return pd.DataFrame({"epoch": epochs} | values)


def record(accuracy: float, claimed: float) -> Record:
    values = {"test_accuracy": accuracy, "claimed_accuracy": claimed, "parameters": 1}
    epochs = make_history(12, 0.9).to_dict("records")
    return Record.model_validate(values | {"test_loss": 0.1, "claimed_loss": 0.1, "epochs": epochs})


def make_result(
    place: int = 0, num_epochs: int = 12, wrong: Sequence[int] = (3, 4, 5)
) -> NetworkResult:
    random = np.random.default_rng(place)
    predicted = LABELS.copy()
    predicted[list(wrong)] = (predicted[list(wrong)] + 3) % 10
    table = {"label": LABELS, "predicted": predicted, "second": 0, "loss": 0.3}
    accuracy, num_blocks = 1 - len(wrong) / NUM_IMAGES, min(2 * place + 1, 7)
    layers = [f"block{block}_conv{conv}" for block in range(1, num_blocks + 1) for conv in (1, 2)]
    return NetworkResult(
        name=f"cnn{2 * place + 1}",
        num_blocks=num_blocks,
        color=COLORS[place],
        history=make_history(num_epochs),
        predictions=pd.DataFrame(table | {"probability": random.uniform(0.5, 1, NUM_IMAGES)}),
        kernels={
            name: random.normal(0, 0.1, (3, 3, 2, 16)).astype(np.float32)
            for name in [*layers, "head_dense", "softmax"]
        },
        record=record(accuracy - 0.001, min(1, accuracy + 0.0005)) if place < 4 else None,
    )


def fail(result: NetworkResult, predicted: object = 1) -> NetworkResult:
    """Give the network a constant answer, or other bad answers."""
    predictions = result.predictions.assign(predicted=predicted, probability=0.1124)
    return replace(result, predictions=predictions, record=record(0.1135, 0.5656))


def make_results(num_networks: int, num_epochs: int = 12) -> Inputs:
    """As many networks; the fourth has collapsed."""
    results = [
        make_result(place, num_epochs, wrong=range(2, 6 + 3 * place))
        for place in range(num_networks)
    ]
    return inputs(*(fail(each) if place == 3 else each for place, each in enumerate(results)))


CASES = {
    "one": make_results(1),
    "one, right everywhere, one epoch": inputs(make_result(num_epochs=1, wrong=())),
    "one, collapsed": inputs(fail(make_result(0))),
    "four": make_results(4),
    "four, two near chance": inputs(
        make_result(0), fail(make_result(1), GUESSES), fail(make_result(2), GUESSES), make_result(3)
    ),
    "eight": make_results(8),
}
TWO = make_results(2)


def draw_texts(figure: Figure) -> list[Text]:
    """Draw a figure; give the texts that were really drawn, which ticks out of sight are not."""
    drawn: dict[Text, None] = {}
    draw = Text.draw

    def note(text: Text, renderer: object) -> None:
        if text.get_text() and text.get_visible():
            drawn[text] = None
        draw(text, renderer)

    with style(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", note)
        FigureCanvasAgg(figure).draw()
    return list(drawn)


def legible_texts(figure: Figure) -> list[Text]:
    """Give the drawn texts; fail if a text lies on another or leaves the picture."""
    texts = draw_texts(figure)
    with style():
        boxes = np.array([text.get_window_extent().extents for text in texts])
    left, bottom, right, top = boxes.T
    width, height = figure.canvas.get_width_height()
    outside = (left < -1) | (bottom < -1) | (right > width + 1) | (top > height + 1)
    assert [text.get_text() for text, out in zip(texts, outside, strict=True) if out] == []
    horizontal = np.minimum.outer(right, right) - np.maximum.outer(left, left)
    vertical = np.minimum.outer(top, top) - np.maximum.outer(bottom, bottom)
    pairs = np.argwhere(np.triu((horizontal > 1) & (vertical > 2), k=1))
    assert [(texts[a].get_text(), texts[b].get_text()) for a, b in pairs] == []
    return texts


def words(figure: Figure) -> str:
    return " ".join(" | ".join(text.get_text() for text in draw_texts(figure)).split())


def panel(figure: Figure, title: str) -> Axes:
    return next(axes for axes in figure.axes if title in axes.get_title())


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize("case", CASES)
def test_each_network_is_named_and_no_word_lies_on_another_or_leaves_the_picture(
    figure: str, case: str
) -> None:
    drawn = FIGURES[figure](CASES[case])
    texts = legible_texts(drawn)
    assert len(drawn.get_suptitle()) > 20
    written = " ".join(" ".join(text.get_text() for text in texts).split())
    for network in CASES[case].networks:
        assert network.name in written or "no network learned" in written
        assert network.trouble in written


def test_a_grid_leaves_few_cells_empty() -> None:
    assert [grid_shape(panels) for panels in (1, 4, 5, 8)] == [(1, 1), (1, 4), (2, 3), (2, 4)]


def test_learning_curves_show_the_history_before_the_notebook() -> None:
    result = make_result()
    figure = draw_learning_curves(inputs(result, validation_name="validation"))
    loss, accuracy = figure.axes
    notebook, ours = make_history(12, 0.9), result.history
    shown = [line.get_ydata().tolist() for line in loss.lines]
    expected = [notebook["loss"], notebook["val_loss"], ours["loss"], ours["val_loss"]]
    assert shown == [list(values) for values in expected]
    assert list(accuracy.lines[-1].get_ydata()) == list(100 * ours["val_accuracy"])
    assert {line.get_color() for line in loss.lines[2:]} == {result.color}
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["validation", "training", "notebook, test", "notebook, training"]
    loss, _ = draw_learning_curves(inputs(replace(result, record=None))).axes
    assert len(loss.lines) == 2


def test_a_collapsed_network_has_a_scale_of_its_own_and_a_perfect_one_is_on_the_scale() -> None:
    flat = make_history(12).assign(loss=2.3013, val_loss=2.3011, accuracy=0.112)
    collapsed = replace(fail(make_result(3)), history=flat, record=None)
    perfect = make_history(3).assign(accuracy=1.0, val_accuracy=1.0)
    results = [make_result(0), collapsed, replace(make_result(1), history=perfect)]
    figure = draw_learning_curves(inputs(*results))
    panels = [panel(figure, result.name) for result in results]
    limits = [axes.get_ylim() for axes in panels]
    assert limits[0] == limits[2]
    assert 2.3 < limits[1][0] < limits[1][1] < 2.302
    below = figure.axes[figure.axes.index(panels[2]) + len(results)]
    assert np.isfinite(below.transData.transform([(1, 100), (1, 50)])).all()


def test_accuracies_are_in_the_order_of_depth_within_five_points_of_the_best() -> None:
    weak = replace(make_result(1, wrong=range(150)), record=None)
    figure = draw_accuracy(inputs(make_result(2), fail(make_result(3)), weak, make_result(0)))
    (axes,) = figure.axes
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["cnn1\n1 block", "cnn3\n3 blocks", "cnn5\n5 blocks", "cnn7\n7 blocks"]
    assert axes.get_ylim()[0] > 90
    assert "one run: 70.00% ↓" in words(figure)
    assert "notebook, claimed: 56.56%" in words(figure)  # too far below, as well
    assert "no network learned" in words(draw_accuracy(CASES["one, collapsed"]))
    result = replace(make_result(wrong=()), record=None)
    (axes,) = draw_accuracy(inputs(result)).axes
    _, _, (bars,) = axes.containers[0]
    expected = [100 * result.score.accuracy_low, 100 * result.score.accuracy_high]
    assert bars.get_segments()[0][:, 1] == pytest.approx(expected)
    low, high = axes.get_ylim()
    assert low < expected[0] < expected[1] < high


def test_the_notebook_view_has_the_true_names_and_names_the_mistake() -> None:
    figure = draw_notebook_weights(inputs(make_result(0), make_result(1)))
    assert [axes.get_xlabel() for axes in figure.axes] == [
        *("block1_conv1", "block1_conv2", "head_dense"),
        *("block1_conv1", "block1_conv2", "block2_conv1"),
    ]
    note = " ".join(figure.get_supxlabel().split())
    assert "(head_dense in cnn1, block2_conv1 in cnn3)" in note
    kernels = dict(make_result().kernels)
    del kernels["block1_conv2"]  # the third kernel is that of the output layer
    figure = draw_notebook_weights(inputs(replace(make_result(), kernels=kernels)))
    assert "wrong" not in figure.get_supxlabel()


def test_the_notebook_view_has_one_scale_that_holds_every_weight() -> None:
    small = make_result(1).kernels | {"block1_conv2": np.full((3, 3, 2, 16), -0.9, np.float32)}
    figure = draw_notebook_weights(inputs(make_result(0), replace(make_result(1), kernels=small)))
    ((low, high),) = {axes.get_ylim() for axes in figure.axes}
    assert low < -0.9 < 0.9 < high


def test_every_kernel_has_a_violin_that_spans_all_weights_and_has_their_quartiles() -> None:
    result = make_result()
    kernel = result.kernels["head_dense"]
    one = {"block1_conv1": kernel}
    (axes,) = draw_weights(inputs(replace(result, kernels=one))).axes
    (body,) = axes.collections
    ends = body.get_paths()[0].get_extents()
    assert (ends.x0, ends.x1) == pytest.approx((kernel.min(), kernel.max()))
    quartiles = [line.get_xdata()[0] for line in axes.lines]
    assert quartiles == pytest.approx(list(np.quantile(kernel, [0.25, 0.5, 0.75])))
    for shape in ((1, 1, 1, 1), (3, 3, 1, 8)):
        kernels = make_result(1).kernels | {"block1_conv1": np.zeros(shape, np.float32)}
        axes = draw_weights(inputs(replace(make_result(1), kernels=kernels))).axes[0]
        assert [label.get_text() for label in axes.get_yticklabels()] == list(kernels)
        heights = [axes.transData.transform((0, place))[1] for place in axes.get_yticks()]
        assert all(upper > lower for upper, lower in pairwise(heights))


def test_confusion_writes_each_count_into_its_cell() -> None:
    figure = draw_confusion(inputs(make_result(wrong=(3, 13, 4)), fail(make_result(1))))
    assert "cnn1 answers 6 to 2 images of a 3" in " ".join(figure.get_suptitle().split())
    axes = panel(figure, "3 errors in 500 images")
    counts = {text.get_position(): text.get_text() for text in axes.texts}
    # The middle of a cell, in columns and rows.
    assert (counts[6.5, 3.5], counts[7.5, 4.5], counts[3.5, 3.5]) == ("2", "1", "48")
    assert (0.5, 3.5) not in counts


def test_errors_are_in_the_order_of_confidence() -> None:
    result = make_result(wrong=range(20))
    figure = draw_errors(inputs(result))
    errors = result.errors.sort_values("probability", ascending=False).head(10)
    shown = [image.get_array() for image in figure.axes[0].images]
    np.testing.assert_array_equal(shown, IMAGES[errors.index, :, :, 0])
    label, predicted, probability = errors.iloc[0][["label", "predicted", "probability"]]
    assert f"{label:.0f} → {predicted:.0f}, {100 * probability:.1f}%" in words(figure)
    figure = draw_errors(inputs(make_result(wrong=())))
    assert "no errors" in words(figure)
    assert len(figure.axes[0].images) == 0


def test_shared_errors_are_those_of_all_networks_that_learned_and_at_most_forty_are_shown() -> None:
    first, second = make_result(0, wrong=(1, 2, 3, 4)), make_result(1, wrong=(2, 3, 4, 5))
    confidence = first.predictions["probability"] + second.predictions["probability"]
    found = find_shared_errors(inputs(first, second))
    assert set(found) == {2, 3, 4}
    assert found[0] == confidence[[2, 3, 4]].idxmax()
    assert find_shared_errors(inputs(fail(first))) == []
    disjoint = inputs(make_result(wrong=(1,)), make_result(1, wrong=(2,)))
    assert "no such image" in words(draw_shared_errors(disjoint))
    # A collapsed network answers rightly to the ones, which the others get wrong.
    figure = draw_shared_errors(inputs(make_result(0, wrong=range(60)), fail(make_result(1))))
    assert len(figure.axes[0].images) == 40
    assert "cnn1 gets wrong: 60" in figure.get_suptitle()
    assert "Shown: the 40" in words(figure)


def test_drawing_leaves_the_settings_of_the_process_alone(tmp_path: Path) -> None:
    with mpl.rc_context({"font.size": 33, "axes.grid": False}):
        before = dict(mpl.rcParams)
        write_figure(tmp_path / "x.png", draw_accuracy(CASES["one"]))
        assert dict(mpl.rcParams) == before
    with Image.open(tmp_path / "x.png") as picture:
        assert set(picture.info) == {"dpi"}  # and not Matplotlib's version
        assert picture.size[0] > 1000
    assert (tmp_path / "x.png").stat().st_size < 250_000
    with pytest.raises(MachineError, match=r"x\.png/y\.png"):
        write_figure(tmp_path / "x.png" / "y.png", Figure())


SCRIPT = """
import sys
from pathlib import Path
from test_figures import FIGURES, TWO, write_figure
for name, draw in FIGURES.items():
    write_figure(Path(sys.argv[1]) / f"{name}.png", draw(TWO))
"""


def test_equal_results_give_equal_bytes_whatever_the_users_settings(tmp_path: Path) -> None:
    settings = tmp_path / "matplotlibrc"
    settings.write_text("axes.labelsize: 20\nsavefig.dpi: 50\nbackend: svg\n")
    changed = {"PYTHONHASHSEED": "2", "TZ": "Asia/Tokyo", "MATPLOTLIBRC": str(settings)}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    subprocess.run(command, env=os.environ | changed, cwd=Path(__file__).parent, check=True)
    for name, draw in FIGURES.items():
        write_figure(tmp_path / "own.png", draw(TWO))
        assert (tmp_path / f"{name}.png").read_bytes() == (tmp_path / "own.png").read_bytes()
