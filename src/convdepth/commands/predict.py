"""What the trained networks say to images of the user's own."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from convdepth.config.architecture import Architecture
from convdepth.config.dataset import IMAGE_SHAPE
from convdepth.core.errors import DataError
from convdepth.data.arrays import Pixels, normalize
from convdepth.models.archive import load_weights
from convdepth.models.backend import configure
from convdepth.models.build import build_network


@dataclass(frozen=True)
class Prediction:
    """The answer to one image.

    Attributes:
        source: The file, with the number of the image where the file has several.
        digit: The most probable digit, 0 to 9.
        probabilities: ``(10,)``, float32, one for each digit, summing to 1.
    """

    source: str
    digit: int
    probabilities: NDArray[np.float32]


def predict_files(
    paths: list[Path], architecture: Architecture, model: Path, precision: str
) -> Iterator[Prediction]:
    """Ask a trained network for its answers.

    Args:
        paths: Image files, see `read_pixels`.
        architecture: What the network was built from.
        model: The ``.keras`` file with its weights.
        precision: What to compute in; `evaluate` takes that of the recipe.

    Yields:
        One answer per image, in the order given.

    Raises:
        DataError: A file is missing or holds no such image.
        IntegrityError: The model is missing, damaged, or of another architecture.
    """
    pixels = {path: read_pixels(path) for path in paths}
    configure(threads=1)
    network = build_network(architecture, precision)
    load_weights(network, model)
    for path, images in pixels.items():
        probabilities = network.predict(normalize(images), verbose=0)
        for number, row in enumerate(probabilities):
            source = f"{path}" if len(images) == 1 else f"{path}[{number}]"
            yield Prediction(source, int(row.argmax()), row)


def read_pixels(path: Path) -> Pixels:
    """Read images in the form that MNIST has: light ink on a dark ground, 28 x 28.

    Args:
        path: A ``.npy`` file of uint8 in the shape ``(28, 28)`` or ``(n, 28, 28)``, taken as it
            is; or a picture that Pillow can read. A picture is made grey, inverted where its
            border is light, and scaled to 28 x 28.

    Returns:
        ``(n, 28, 28)``, uint8, 0 (ground) to 255 (ink).

    Raises:
        DataError: The file is missing, or holds nothing of the kind.
    """
    try:
        pixels = _read_array(path) if path.suffix == ".npy" else _read_picture(path)
    except (OSError, ValueError, EOFError, Image.DecompressionBombError) as error:
        reason = "no picture" if isinstance(error, UnidentifiedImageError) else str(error)
        raise DataError(
            f"{path}: cannot be read: {reason}. Expected a picture, or a .npy file of uint8 in "
            f"the shape (28, 28) or (n, 28, 28)."
        ) from error
    return pixels


def _read_array(path: Path) -> Pixels:
    array: Pixels = np.load(path, allow_pickle=False)
    height, width, _ = IMAGE_SHAPE
    fits = array.shape[-2:] == (height, width) and array.ndim <= 3 and array.size > 0
    if array.dtype != np.uint8 or not fits:
        raise ValueError(f"it holds {array.dtype} of shape {array.shape}")
    return array.reshape(-1, height, width)


def _read_picture(path: Path) -> Pixels:
    height, width, _ = IMAGE_SHAPE
    with Image.open(path) as picture:
        # Transparent ground would become black ink without a white sheet below it.
        sheet = Image.new("RGBA", picture.size, "white")
        sheet.alpha_composite(picture.convert("RGBA"))
    grey = sheet.convert("L")
    if _border(np.asarray(grey)).mean() > 127:
        grey = ImageOps.invert(grey)
    return np.asarray(grey.resize((width, height), Image.Resampling.LANCZOS))[np.newaxis]


def _border(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
