"""The pictures: what they show, that their words are readable, and that their bytes are fixed."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from convdepth.figures.answers import (
    draw_confusion,
    draw_errors,
    draw_shared_errors,
    find_shared_errors,
)
from convdepth.figures.curves import draw_learning_curves
from convdepth.figures.depth import draw_accuracy_by_depth
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from convdepth.core.errors import MachineError
from convdepth.figures.style import COLORS, Recorded, Result, grid_shape, style, write_figure
from convdepth.figures.weights import draw_notebook_weights, draw_weights

NUM_IMAGES = 500
LABELS = np.arange(NUM_IMAGES) % 10
IMAGES = np.random.default_rng(0).random((NUM_IMAGES, 28, 28, 1), np.float32)

DRAWINGS: dict[str, Callable[[Sequence[Result]], Figure]] = {
    "learning_curves": lambda results: draw_learning_curves(results, "test"),
    "accuracy_by_depth": draw_accuracy_by_depth,
    "weights": draw_weights,
    "weights_notebook_view": draw_notebook_weights,
    "confusion": draw_confusion,
    "errors": lambda results: draw_errors(results, IMAGES),
    "errors_shared": lambda results: draw_shared_errors(results, IMAGES),
}


def make_predictions(wrong: Sequence[int], seed: int = 0) -> pd.DataFrame:
    probability = np.random.default_rng(seed).uniform(0.5, 1, NUM_IMAGES).round(6)
    predicted = LABELS.copy()
    predicted[list(wrong)] = (predicted[list(wrong)] + 3) % 10
    return pd.DataFrame({"label": LABELS, "predicted": predicted, "probability": probability})


def make_history(num_epochs: int, scale: float = 1) -> pd.DataFrame:
    epochs = np.arange(1, num_epochs + 1)
    loss = scale * 0.3 / epochs
    accuracy = 1 - loss / 3
    values = {"loss": loss, "accuracy": accuracy}
    values |= {f"val_{name}": 0.9 * column for name, column in values.items()}
    return pd.DataFrame({"epoch": epochs} | values)


def make_kernels(num_blocks: int, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    names = [f"block{block}_conv{conv}" for block in range(1, num_blocks + 1) for conv in (1, 2)]
    names += ["head_dense", "softmax"]
    return {name: random.normal(0, 0.1, (3, 3, 2, 16)).astype(np.float32) for name in names}


def make_result(place: int = 0, num_epochs: int = 12, wrong: Sequence[int] = (3, 4, 5)) -> Result:
    num_blocks = 2 * place + 1
    accuracy = 1 - len(wrong) / NUM_IMAGES
    recorded = Recorded(accuracy - 0.001, accuracy + 0.0005, make_history(12, 0.9))
    return Result(
        name=f"cnn{num_blocks}",
        num_blocks=min(num_blocks, 7),
        color=COLORS[place],
        trouble="",
        accuracy=accuracy,
        interval=(accuracy - 0.006, min(1, accuracy + 0.004)),
        history=make_history(num_epochs),
        predictions=make_predictions(wrong, place),
        kernels=make_kernels(min(num_blocks, 7), place),
        recorded=recorded if place < 4 else None,
    )


def collapse(result: Result, trouble: str = "collapsed: always answers 1") -> Result:
    predictions = result.predictions.assign(predicted=1, probability=0.1124)
    recorded = Recorded(0.1135, 0.5656, make_history(12))
    return replace(
        result,
        trouble=trouble,
        accuracy=0.1,
        interval=(0.08, 0.13),
        predictions=predictions,
        recorded=recorded,
    )


def make_results(num_networks: int, num_epochs: int = 12) -> list[Result]:
    """As many networks; the fourth has collapsed."""
    results = [
        make_result(place, num_epochs, wrong=range(2, 6 + 3 * place))
        for place in range(num_networks)
    ]
    return [collapse(result) if place == 3 else result for place, result in enumerate(results)]


CASES = {
    "one": make_results(1),
    "one, right everywhere, one epoch": [make_result(num_epochs=1, wrong=())],
    "one, collapsed": [collapse(make_result(0))],
    "four": make_results(4),
    "four, one epoch": make_results(4, num_epochs=1),
    "four, two near chance": [
        make_result(0),
        collapse(make_result(1), "near chance"),
        collapse(make_result(2), "near chance"),
        make_result(3),
    ],
    "six": make_results(6),
    "eight": make_results(8),
}


def draw_texts(figure: Figure, monkeypatch: pytest.MonkeyPatch) -> list[Text]:
    """Draw a figure; give the texts that were really drawn, which ticks out of sight are not."""
    drawn: dict[Text, None] = {}
    draw = Text.draw

    def record(text: Text, renderer: object) -> None:
        if text.get_text() and text.get_visible():
            drawn[text] = None
        draw(text, renderer)

    with style(), monkeypatch.context() as patch:
        patch.setattr(Text, "draw", record)
        FigureCanvasAgg(figure).draw()
    return list(drawn)


def words(figure: Figure, monkeypatch: pytest.MonkeyPatch) -> str:
    texts = [text.get_text() for text in draw_texts(figure, monkeypatch)]
    return " ".join(" | ".join(texts).split())


def panel(figure: Figure, title: str) -> Axes:
    return next(axes for axes in figure.axes if title in axes.get_title())


@pytest.mark.parametrize("drawing", DRAWINGS)
@pytest.mark.parametrize("case", CASES)
def test_no_word_lies_on_another_or_leaves_the_picture(
    drawing: str, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = DRAWINGS[drawing](CASES[case])
    texts = draw_texts(figure, monkeypatch)
    assert len(texts) > 2
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


@pytest.mark.parametrize("drawing", DRAWINGS)
def test_every_picture_names_the_networks_and_marks_the_collapsed_one(
    drawing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = words(DRAWINGS[drawing](CASES["four"]), monkeypatch)
    for result in CASES["four"]:
        assert result.name in text
    assert "collapsed: always answers 1" in text


@pytest.mark.parametrize("drawing", DRAWINGS)
def test_every_picture_has_a_title(drawing: str) -> None:
    assert len(DRAWINGS[drawing](CASES["four"]).get_suptitle()) > 20


def test_each_network_has_a_colour_of_its_own() -> None:
    assert len(set(COLORS)) == len(COLORS) == 8


@pytest.mark.parametrize(("panels", "shape"), [(1, (1, 1)), (4, (1, 4)), (5, (2, 3)), (8, (2, 4))])
def test_a_grid_leaves_few_places_empty(panels: int, shape: tuple[int, int]) -> None:
    assert grid_shape(panels) == shape


def test_learning_curves_show_the_history_before_the_notebook() -> None:
    result = make_result()
    loss, accuracy = draw_learning_curves([result], "test").axes
    assert result.recorded is not None
    notebook, ours = result.recorded.history, result.history
    shown = [line.get_ydata().tolist() for line in loss.lines]
    expected = [notebook["loss"], notebook["val_loss"], ours["loss"], ours["val_loss"]]
    assert shown == [list(values) for values in expected]
    assert list(accuracy.lines[-1].get_ydata()) == list(100 * ours["val_accuracy"])
    assert {line.get_color() for line in loss.lines[2:]} == {result.color}


@pytest.mark.parametrize("name", ["test", "validation"])
def test_learning_curves_say_what_they_were_computed_on(name: str) -> None:
    figure = draw_learning_curves([make_result()], name)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == [name, "training", "notebook, test", "notebook, training"]


def test_learning_curves_without_a_record_of_the_notebook() -> None:
    loss, _ = draw_learning_curves([replace(make_result(), recorded=None)], "test").axes
    assert len(loss.lines) == 2


def test_a_collapsed_network_has_a_scale_of_its_own() -> None:
    first, second, collapsed = make_result(0), make_result(1), collapse(make_result(3))
    flat = collapsed.history.assign(loss=2.3013, val_loss=2.3011, accuracy=0.112)
    results = [first, replace(collapsed, history=flat, recorded=None), second]
    figure = draw_learning_curves(results, "test")
    limits = [panel(figure, result.name).get_ylim() for result in results]
    assert limits[0] == limits[2]
    assert limits[1][0] > 2.3
    assert limits[1][1] < 2.302


def test_a_perfect_accuracy_has_a_place_on_the_scale() -> None:
    perfect = make_history(3).assign(accuracy=1.0, val_accuracy=1.0)
    figure = draw_learning_curves([replace(make_result(), history=perfect)], "test")
    low, high = figure.axes[1].transData.transform([(1, 100), (1, 50)])[:, 1]
    assert np.isfinite([low, high]).all()


def test_depth_orders_by_blocks_and_zooms_on_the_best() -> None:
    deep, shallow = make_result(2), make_result(0)
    figure = draw_accuracy_by_depth([deep, collapse(make_result(3)), shallow])
    zoom, whole = figure.axes
    assert [label.get_text() for label in whole.get_xticklabels()] == [
        "cnn1\n1 block",
        "cnn5\n5 blocks",
        "cnn7\n7 blocks",
    ]
    assert zoom.get_ylim()[0] > 95
    assert whole.get_ylim()[0] == 0


def test_depth_shows_the_interval() -> None:
    result = make_result()
    zoom = draw_accuracy_by_depth([result]).axes[0]
    _, _, (bars,) = zoom.containers[0]
    ends = bars.get_segments()[0][:, 1]
    assert ends == pytest.approx([100 * bound for bound in result.interval])


def test_depth_shows_the_whole_interval_even_if_it_is_wide() -> None:
    certain = replace(make_result(), accuracy=1, interval=(0.72, 1), recorded=None)
    low, high = draw_accuracy_by_depth([certain]).axes[0].get_ylim()
    assert low < 72
    assert high > 100


def test_depth_marks_a_network_far_below_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    weak = replace(make_result(1), accuracy=0.7, interval=(0.68, 0.72))
    assert "70.00 % ↓" in words(draw_accuracy_by_depth([make_result(0), weak]), monkeypatch)


def test_depth_without_any_network_that_learned_has_only_the_whole_scale() -> None:
    figure = draw_accuracy_by_depth([collapse(make_result(0))])
    assert len(figure.axes) == 1
    assert "no network learned" in figure.get_suptitle()


def test_weights_name_every_kernel_from_input_to_output() -> None:
    result = make_result(1)
    axes = draw_weights([result]).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(result.kernels)
    heights = [axes.transData.transform((0, place))[1] for place in axes.get_yticks()]
    assert all(upper > lower for upper, lower in pairwise(heights))


def test_the_notebook_view_has_the_true_names_and_says_what_was_wrong() -> None:
    figure = draw_notebook_weights([make_result(0), make_result(1)])
    assert [axes.get_xlabel() for axes in figure.axes] == [
        *("block1_conv1", "block1_conv2", "head_dense"),
        *("block1_conv1", "block1_conv2", "block2_conv1"),
    ]
    note = " ".join(figure.get_supxlabel().split())
    assert 'calls the last "Output Layer"' in note
    assert "kernel of a hidden layer (head_dense in cnn1, block2_conv1 in cnn3)" in note


def test_the_notebook_view_finds_no_fault_where_the_third_kernel_is_the_output() -> None:
    kernels = make_kernels(1, 0)
    del kernels["block1_conv2"]
    figure = draw_notebook_weights([replace(make_result(), kernels=kernels)])
    assert "wrong" not in figure.get_supxlabel()


def test_a_violin_spans_all_weights_and_has_their_quartiles() -> None:
    kernel = np.random.default_rng(1).normal(0, 0.1, (3, 3, 16, 16)).astype(np.float32)
    result = replace(make_result(), kernels={"block1_conv1": kernel})
    (axes,) = draw_weights([result]).axes
    (body,) = axes.collections
    ends = body.get_paths()[0].get_extents()
    assert (ends.x0, ends.x1) == pytest.approx((kernel.min(), kernel.max()))
    quartiles = [line.get_xdata()[0] for line in axes.lines]
    assert quartiles == pytest.approx(list(np.quantile(kernel, [0.25, 0.5, 0.75])))


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 3, 1, 8)])
def test_equal_weights_have_a_violin(shape: tuple[int, ...]) -> None:
    kernels = make_kernels(1, 0) | {"block1_conv1": np.zeros(shape, np.float32)}
    figure = draw_weights([replace(make_result(), kernels=kernels)])
    assert len(figure.axes[0].get_yticklabels()) == len(kernels)


def test_confusion_writes_each_count_at_its_place() -> None:
    axes = panel(draw_confusion([make_result(wrong=(3, 13, 4))]), "3 errors in 500 images")
    counts = {text.get_position(): text.get_text() for text in axes.texts}
    # The middle of a cell, in columns and rows.
    assert counts[6.5, 3.5] == "2"
    assert counts[7.5, 4.5] == "1"
    assert counts[3.5, 3.5] == "48"
    assert (0.5, 3.5) not in counts


def test_errors_stand_in_the_order_of_confidence(monkeypatch: pytest.MonkeyPatch) -> None:
    result = make_result(wrong=range(20))
    figure = draw_errors([result], IMAGES)
    errors = result.errors.sort_values("probability", ascending=False).head(10)
    shown = [image.get_array() for image in figure.axes[0].images]
    assert len(shown) == 10
    for image, index in zip(shown, errors.index, strict=True):
        np.testing.assert_array_equal(image, IMAGES[index, :, :, 0])
    label, predicted, probability = errors.iloc[0][["label", "predicted", "probability"]]
    best = f"{label:.0f} → {predicted:.0f}, {100 * probability:.1f} %"
    assert best in words(figure, monkeypatch)


def test_no_errors_are_said_to_be_none(monkeypatch: pytest.MonkeyPatch) -> None:
    figure = draw_errors([make_result(wrong=())], IMAGES)
    assert "no errors" in words(figure, monkeypatch)
    assert len(figure.axes[0].images) == 0


def test_shared_errors_are_those_of_all_networks() -> None:
    results = [make_result(0, wrong=(1, 2, 3, 4)), make_result(1, wrong=(2, 3, 4, 5))]
    confidence = sum(result.predictions["probability"] for result in results)
    assert set(find_shared_errors(results)) == {2, 3, 4}
    assert find_shared_errors(results)[0] == confidence[[2, 3, 4]].idxmax()
    assert find_shared_errors([]) == []


def test_shared_errors_leave_out_what_did_not_learn() -> None:
    # The collapsed network answers rightly to the ones, which the others get wrong.
    results = [make_result(0, wrong=(1, 11)), collapse(make_result(1))]
    figure = draw_shared_errors(results, IMAGES)
    assert len(figure.axes[0].images) == 2
    title = " ".join(figure.get_suptitle().split())
    assert title == (
        "Test images that cnn1 gets wrong: 2; left out: cnn3 (collapsed: always answers 1)"
    )


def test_shared_errors_show_at_most_forty_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    figure = draw_shared_errors([make_result(0, wrong=range(60))], IMAGES)
    assert len(figure.axes[0].images) == 40
    assert "gets wrong: 60" in figure.get_suptitle()
    assert "Shown: the 40 with" in words(figure, monkeypatch)


@pytest.mark.parametrize(
    "results", [CASES["one, collapsed"], [make_result(0, wrong=(1,)), make_result(1, wrong=(2,))]]
)
def test_no_shared_error(results: list[Result], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no such image" in words(draw_shared_errors(results, IMAGES), monkeypatch)


def test_drawing_leaves_the_settings_of_the_process_alone(tmp_path: Path) -> None:
    with mpl.rc_context({"font.size": 33, "axes.grid": False}):
        before = dict(mpl.rcParams)
        write_figure(tmp_path / "x.png", draw_accuracy_by_depth(CASES["one"]))
        assert dict(mpl.rcParams) == before


def test_a_png_holds_no_name_of_a_program(tmp_path: Path) -> None:
    write_figure(tmp_path / "x.png", draw_accuracy_by_depth(CASES["one"]))
    with Image.open(tmp_path / "x.png") as picture:
        assert set(picture.info) == {"dpi"}
        assert picture.size[0] > 1000
    assert (tmp_path / "x.png").stat().st_size < 250_000


def test_a_picture_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MachineError, match=r"file/x\.png"):
        write_figure(tmp_path / "file" / "x.png", Figure())


SCRIPT = """
import sys
from pathlib import Path
from test_figures import CASES, DRAWINGS, write_figure
for name, draw in DRAWINGS.items():
    write_figure(Path(sys.argv[1]) / f"{name}.png", draw(CASES["four"]))
"""


def test_equal_results_give_equal_bytes_whatever_the_users_settings(tmp_path: Path) -> None:
    settings = tmp_path / "matplotlibrc"
    settings.write_text("axes.labelsize: 20\nsavefig.dpi: 50\nbackend: svg\n")
    surroundings = {
        "first": {"PYTHONHASHSEED": "1", "TZ": "UTC"},
        "second": {"PYTHONHASHSEED": "2", "TZ": "Asia/Tokyo", "MATPLOTLIBRC": str(settings)},
    }
    pictures = {}
    for name, environment in surroundings.items():
        subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tmp_path / name)],
            env=os.environ | environment,
            cwd=Path(__file__).parent,
            check=True,
        )
        files = sorted((tmp_path / name).iterdir())
        pictures[name] = {file.name: file.read_bytes() for file in files}
    assert pictures["first"] == pictures["second"]
    assert len(pictures["first"]) == len(DRAWINGS)
