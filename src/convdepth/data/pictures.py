"""The user's own images, read with bounds on time and memory, in the form of MNIST."""

import io
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from convdepth.core.errors import DataError
from convdepth.data import bounded
from convdepth.data.arrays import Pixels
from convdepth.data.mnist_form import SIDE, Grey, to_mnist_form

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What Pillow decodes by itself; it would run Ghostscript for a PostScript file."""

LARGEST_PICTURE = 50_000_000  # most pixels of a picture; decoding takes up to 8 bytes for each
LONGEST = 1024  # pixels on the longer side that suffice for one digit; larger pictures are reduced

EXPECTED = (
    "Expected a picture of one digit (PNG, JPEG, GIF, WebP, BMP, TIFF), or an .npy file of uint8 "
    f"with shape ({SIDE}, {SIDE}) or (n, {SIDE}, {SIDE})"
)


def read_usable(paths: Iterable[Path]) -> tuple[dict[str, Pixels], list[str]]:
    """Read the images of all files by name, and say what is wrong with the others."""
    pixels, refused = {}, []
    for path in paths:
        try:
            pixels[f"{path}"] = read_pixels(path)
        except DataError as error:
            refused.append(f"{error}")
    return pixels, refused


def read_pixels(path: Path) -> Pixels:
    """Read images in MNIST's form: ``(n, 28, 28)``, uint8, 0 (ground) to 255 (ink).

    The content decides, not the name. An array is used unchanged; a picture goes through
    `to_mnist_form`.
    """
    try:
        content = bounded.read_file(path)
        if content.startswith(bounded.MAGIC):
            return _require_images(bounded.read_array(io.BytesIO(content)))
        return to_mnist_form(decode_picture(content)).centred[np.newaxis]
    except DataError as error:
        raise DataError(f"{path}: {error}. {EXPECTED}.") from error


def _require_images(array: np.ndarray) -> Pixels:
    fits = array.shape[-2:] == (SIDE, SIDE) and array.ndim <= 3 and array.size > 0
    if array.dtype != np.uint8 or not fits:
        raise DataError(f"it holds {array.dtype} of shape {array.shape}")
    return array.reshape(-1, SIDE, SIDE)


def decode_picture(content: bytes) -> Grey:
    """Decode a picture to grey levels from 0 (black) to 1 (white), upright, on opaque ground."""
    if content.startswith(b"PK"):
        raise DataError("it is an archive, such as .npz")
    try:
        with (
            warnings.catch_warnings(action="ignore"),  # of damaged metadata
            Image.open(io.BytesIO(content), formats=FORMATS) as picture,
        ):
            if picture.width * picture.height > LARGEST_PICTURE:
                raise ValueError(f"{picture.width} x {picture.height} pixels are too many")
            if getattr(picture, "is_animated", False) and picture.format != "MPO":
                raise ValueError("it holds several pictures; save one of them as a PNG file")
            picture.draft("L", (LONGEST, LONGEST))  # a JPEG is decoded at a fraction of its size
            return _to_grey(ImageOps.exif_transpose(picture))
    except Exception as error:  # Pillow raises errors of many types for a damaged file
        reason = "no picture" if isinstance(error, UnidentifiedImageError) else error
        raise DataError(f"cannot be decoded: {reason}") from error


def _to_grey(picture: Image.Image) -> Grey:
    if picture.mode.startswith(("I", "F")):  # 16 or 32 bits; what is white differs
        values = np.asarray(picture, np.float64)
        if not np.isfinite(values).all():
            raise ValueError("not all pixels are finite")
        span = np.ptp(values) or 1
        picture = Image.fromarray(((values - values.min()) / span * 255).astype(np.uint8))
    picture = picture.convert("RGBA").convert("LA")
    picture = picture.reduce(max(1, max(picture.size) // LONGEST))
    grey, alpha = np.moveaxis(np.asarray(picture, np.float32) / np.float32(255), 2, 0)
    opaque: Grey = grey * alpha + _ground(grey, alpha) * (1 - alpha)
    return opaque


def _ground(grey: Grey, alpha: NDArray[np.float32]) -> float:
    """Choose what is below transparent pixels: paper like the opaque ones, or ink's opposite."""
    opaque = grey[alpha > 0.5]
    if not opaque.size:
        raise ValueError("it is transparent everywhere")
    if alpha.mean() > 0.5 and np.ptp(opaque) > 0.25:
        return float(np.median(opaque))
    return float(opaque.mean() < 0.5)
