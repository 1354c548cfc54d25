"""Images of the user's own: what is read, and what is answered."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from drawn import draw_split
from PIL import Image, ImageOps

from convdepth.commands.predict import predict_files, read_pixels
from convdepth.config.params import read_architecture
from convdepth.core.errors import DataError
from convdepth.data.arrays import normalize
from convdepth.evaluation.answers import predict
from convdepth.models.archive import load_weights, save_network
from convdepth.models.build import build_network

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def digit() -> np.ndarray:
    return draw_split("test")[0][0]


def as_ink_on_transparent_paper(digit: np.ndarray) -> Image.Image:
    black = np.zeros((28, 28), np.uint8)
    return Image.fromarray(np.dstack([black, black, black, digit]), "RGBA")


@pytest.mark.parametrize(
    ("draw", "mean", "largest"),
    [
        (Image.fromarray, 0, 0),
        (lambda digit: ImageOps.invert(Image.fromarray(digit)), 0, 0),
        (as_ink_on_transparent_paper, 1, 1),
        (lambda digit: Image.fromarray(digit).resize((280, 280)).convert("RGB"), 12, 255),
    ],
)
def test_a_picture_is_read_in_mnists_form(
    tmp_path: Path,
    digit: np.ndarray,
    draw: Callable[[np.ndarray], Image.Image],
    mean: float,
    largest: float,
) -> None:
    draw(digit).save(tmp_path / "digit.png")
    (pixels,) = read_pixels(tmp_path / "digit.png")
    assert pixels.shape == (28, 28)
    differences = np.abs(pixels.astype(int) - digit)
    assert differences.mean() <= mean
    assert differences.max() <= largest


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("nowhere.png", None),
        ("text.png", b"no picture"),
        ("cut.npy", b"\x93NUMPY"),
        ("float.npy", np.zeros((28, 28))),
        ("shape.npy", np.zeros((28, 27), np.uint8)),
        ("four.npy", np.zeros((1, 1, 28, 28), np.uint8)),
        ("none.npy", np.zeros((0, 28, 28), np.uint8)),
        ("pickle.npy", np.array([{}])),
    ],
)
def test_what_is_no_image_is_refused(tmp_path: Path, name: str, content: object) -> None:
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    elif content is not None:
        np.save(tmp_path / name, content, allow_pickle=True)
    with pytest.raises(DataError, match=rf"{name}: "):
        read_pixels(tmp_path / name)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_the_answers_are_those_that_an_evaluation_records(
    tmp_path: Path, tiny_params: Path, digit: np.ndarray, precision: str
) -> None:
    architecture, model = read_architecture("tiny", tiny_params), tmp_path / "tiny.keras"
    save_network(build_network(architecture, precision, seed=3), model)
    pixels, labels = (each[:3] for each in draw_split("test"))
    network = build_network(architecture, precision)
    load_weights(network, model)
    recorded = predict(network, normalize(pixels), labels)
    Image.fromarray(digit).save(tmp_path / "digit.png")
    np.save(tmp_path / "digit.npy", digit)
    np.save(tmp_path / "digits.npy", pixels)
    paths = [tmp_path / name for name in ("digit.png", "digit.npy", "digits.npy")]
    picture, array, *answers = predict_files(paths, model)
    sources = [Path(answer.source).name for answer in (picture, array, *answers)]
    assert sources == ["digit.png", "digit.npy", *(f"digits.npy[{place}]" for place in range(3))]
    for alone in (picture, array):
        np.testing.assert_allclose(alone.probabilities, answers[0].probabilities, atol=1e-6)
    assert [answer.digit for answer in answers] == recorded["predicted"].tolist()
    highest = [round(float(answer.probabilities.max()), 6) for answer in answers]
    assert highest == recorded["probability"].tolist()
