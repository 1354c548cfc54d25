"""Predictions of a trained network for the user's own images."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from convdepth.config.dataset import IMAGE_SHAPE
from convdepth.core.errors import DataError
from convdepth.data.arrays import Pixels, normalize
from convdepth.models.archive import load_network
from convdepth.models.backend import configure
from convdepth.models.description import describe_archive

HEIGHT, WIDTH, _ = IMAGE_SHAPE


class Prediction(NamedTuple):
    """The prediction for one image: file (and number of several), digit, ten probabilities."""

    source: str
    digit: int
    probabilities: NDArray[np.float32]


def predict_files(paths: list[Path], model: Path) -> Iterator[Prediction]:
    """Yield one prediction per image of `read_pixels`, in the order of the files."""
    pixels = {path: read_pixels(path) for path in paths}
    described = describe_archive(model)
    configure(threads=1, portable=described.is_portable)
    network = load_network(described.architecture, model, described.precision)
    for path, images in pixels.items():
        for number, row in enumerate(network.predict(normalize(images), verbose=0)):
            source = f"{path}" if len(images) == 1 else f"{path}[{number}]"
            yield Prediction(source, int(row.argmax()), row)


def read_pixels(path: Path) -> Pixels:
    """Read images as MNIST has them: ``(n, 28, 28)``, uint8, 0 (ground) to 255 (ink).

    A ``.npy`` file of uint8 in the shape ``(28, 28)`` or ``(n, 28, 28)`` is used unchanged. A
    picture that Pillow can read is converted to grey, inverted if its border is light, and scaled.
    """
    try:
        return _read_array(path) if path.suffix == ".npy" else _read_picture(path)
    except (OSError, ValueError, EOFError, Image.DecompressionBombError) as error:
        reason = "no picture" if isinstance(error, UnidentifiedImageError) else str(error)
        raise DataError(
            f"{path}: cannot be read: {reason}. Expected a picture, or a .npy file of uint8 in "
            f"the shape ({HEIGHT}, {WIDTH}) or (n, {HEIGHT}, {WIDTH})."
        ) from error


def _read_array(path: Path) -> Pixels:
    array: Pixels = np.load(path, allow_pickle=False)
    fits = array.shape[-2:] == (HEIGHT, WIDTH) and array.ndim <= 3 and array.size > 0
    if array.dtype != np.uint8 or not fits:
        raise ValueError(f"it holds {array.dtype} of shape {array.shape}")
    return array.reshape(-1, HEIGHT, WIDTH)


def _read_picture(path: Path) -> Pixels:
    with Image.open(path) as picture:
        # Without white below it, a transparent ground would become black ink.
        sheet = Image.new("RGBA", picture.size, "white")
        sheet.alpha_composite(picture.convert("RGBA"))
    grey = sheet.convert("L")
    pixels = np.asarray(grey)
    if np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]).mean() > 127:
        grey = ImageOps.invert(grey)
    return np.asarray(grey.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS))[np.newaxis]
