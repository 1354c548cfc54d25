"""From a picture of a digit to MNIST's form, in the steps that MNIST's authors describe.

They scaled black and white digits to a box of 20 x 20 pixels, with their aspect ratio and with
anti-aliasing, and put the centre of mass into the middle of 28 x 28 pixels (LeCun et al. 1998, "The
MNIST database of handwritten digits"). Pictures first need their ink told from the ground.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from convdepth.config.dataset import IMAGE_SHAPE
from convdepth.core.errors import DataError
from convdepth.data.arrays import Pixels

Grey = NDArray[np.float32]  # grey levels ``(height, width)`` from 0 to 1
SIDE, _, _ = IMAGE_SHAPE
BOX = 20
CENTRE = 14  # row and column of the centre of mass: the mean over MNIST's images is 14.0
WORKING_SIDE = 256  # pixels on the longer side while ink is told from ground
FAINTEST = 0.05  # least contrast of ink, as a share of black to white
EVEN = 0.3  # share of the rim at nearly the same level from which on the ground is one level
SPECK = 0.05  # parts with less than this share of the largest part's area are not ink
STROKE = 2.0  # least width of a stroke in pixels of the box; the median in MNIST is 1.9


class Steps(NamedTuple):
    """A picture on its way to MNIST's form; ink is 1 in all but ``grey``."""

    grey: Grey
    ink: Grey
    box: Grey
    centred: Pixels  # ``(28, 28)``, 0 (ground) to 255 (ink)


def to_mnist_form(grey: Grey) -> Steps:
    """Bring a picture of one digit to MNIST's form; unchanged, up to inversion, if it has that.

    A picture without ink is a `DataError`.
    """
    if (ground := _mnist_ground(grey)) is not None:
        ink = np.abs(grey - np.float32(ground))
        return Steps(grey, ink, ink, np.rint(ink * 255).astype(np.uint8))
    ink = _find_ink(_resize(grey, WORKING_SIDE))
    box = _fit_box(ink)
    return Steps(grey, ink, box, _centre(box))


def _mnist_ground(grey: Grey) -> float | None:
    """Return the level of the ground if a picture has MNIST's form: 28 x 28 with a plain rim."""
    rim = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    plain = grey.shape == (SIDE, SIDE) and rim.min() == rim.max() and rim[0] in (0, 1)
    return float(rim[0]) if plain and np.ptp(grey) > FAINTEST else None


def _resize(levels: Grey, longer_side: int) -> Grey:
    height, width = levels.shape
    factor = longer_side / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    resized = Image.fromarray(levels).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(resized, np.float32).clip(0, 1)


def _find_ink(grey: Grey) -> Grey:
    """Subtract the ground, which is lit unevenly in photographs, and drop noise and specks."""
    ground, noise = _fit_ground(grey)
    difference = ndimage.gaussian_filter(grey - ground, 1)
    ink = np.maximum(difference * np.sign((difference**3).sum()), 0)
    threshold = _otsu(ink)
    if threshold < max(FAINTEST, noise):
        raise DataError("no digit stands out from the ground")
    parts, number = ndimage.label(ink > threshold, np.ones((3, 3)))
    areas = np.bincount(parts.ravel(), minlength=number + 1)
    areas[0] = 0
    kept = np.isin(parts, np.flatnonzero(areas >= SPECK * areas.max()))
    levels = np.clip(ink / threshold - 0.5, 0, 1)
    return np.where(ndimage.binary_dilation(kept, iterations=3), levels, 0).astype(np.float32)


def _fit_ground(grey: Grey) -> tuple[Grey, float]:
    """Fit a quadratic surface, or one level, to the ground; return it and the spread around it."""
    height, width = grey.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    few, levels = terms[::4, ::4], grey[::4, ::4]  # enough for six numbers
    near = np.abs(few[..., 1:3]).max(axis=-1) > 0.85  # begin with the rim
    counts, edges = np.histogram(levels[near], 64, (0, 1))
    if counts.max() > EVEN * counts.sum():  # ink that covers most of a picture is no outlier
        few, terms = few[..., :1], terms[..., :1]
        near = np.abs(levels - edges[counts.argmax()]) <= 1 / 32
    for _ in range(5):  # ink is an outlier
        factors = np.linalg.lstsq(few[near], levels[near], rcond=None)[0]
        distance = np.abs(levels - few @ factors)
        spread = 1.4826 * float(np.median(distance[near]))
        near = distance <= max(2.5 * spread, 1 / 255)
    return terms @ factors, spread


def _otsu(levels: Grey) -> float:
    """Return the threshold with the largest variance between the levels below and above (1979)."""
    counts, edges = np.histogram(levels, 256)
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = levels.size - below
    sums = np.cumsum(counts * middles)
    gap = sums[:-1] / np.maximum(below, 1) - (sums[-1] - sums[:-1]) / np.maximum(above, 1)
    return float(edges[1:-1][np.argmax(below * above * gap**2)])


def _fit_box(ink: Grey) -> Grey:
    """Cut out the ink and scale it to a box of 20 x 20, with strokes that do not fade there."""
    solid = ink > 0.5
    rows, columns = (np.flatnonzero(solid.any(axis)) for axis in (1, 0))
    longest = max(np.ptp(rows), np.ptp(columns)) + 1
    outline = solid.sum() - ndimage.binary_erosion(solid).sum()
    width = 2 * solid.sum() / outline * BOX / longest
    missing = max(0, round((STROKE - width) / 2 * longest / BOX))  # on each side of the stroke
    thick = ndimage.grey_dilation(np.pad(ink, missing), size=2 * missing + 1)
    cut = thick[rows[0] : rows[-1] + 2 * missing + 1, columns[0] : columns[-1] + 2 * missing + 1]
    return _resize(cut, BOX)


def _centre(box: Grey) -> Pixels:
    """Put the centre of mass of a box into the middle of 28 x 28 pixels."""
    corner = [
        int(np.clip(round(CENTRE - middle), 0, SIDE - length))
        for middle, length in zip(ndimage.center_of_mass(box), box.shape, strict=True)
    ]
    centred = np.zeros((SIDE, SIDE), np.float32)
    centred[corner[0] : corner[0] + box.shape[0], corner[1] : corner[1] + box.shape[1]] = box
    pixels: Pixels = np.rint(centred / centred.max() * 255).astype(np.uint8)
    return pixels
