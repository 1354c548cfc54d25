"""The stage `corrupt`: the test images with ten corruptions, in the style of MNIST-C.

After Mu and Gilmer 2019, arXiv:1906.02337; the corruptions are our own, with a fixed seed.
"""

import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, gaussian_filter, shift

from convdepth.config.dataset import IMAGE_SHAPE
from convdepth.data.arrays import normalize, read_split, write_split

SEED = 1

Gray = NDArray[np.float64]
"""Images ``(n, 28, 28)`` from 0 to 1."""

Corruption = Callable[[Gray, np.random.Generator], Gray]

SIDE = IMAGE_SHAPE[0]


def main(normalized: Path, corrupted: Path) -> None:
    """Write the test images once for each of `CORRUPTIONS`, ``<corrupted>/<name>``, as a split."""
    images, labels = read_split(normalized, "test")
    for name in CORRUPTIONS:
        write_split(corrupted / name, "test", normalize(corrupt(name, images[..., 0])), labels)
        print(f"corrupt: {name}: {len(labels):,} images", flush=True)


def corrupt(name: str, images: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return corrupted pixels of images ``(n, 28, 28)``; equal ones for equal images."""
    generator = np.random.default_rng([SEED, zlib.crc32(name.encode())])
    changed = CORRUPTIONS[name](images.astype(np.float64), generator)
    pixels: NDArray[np.uint8] = np.rint(255 * changed.clip(0, 1)).astype(np.uint8)
    return pixels


def _shot_noise(images: Gray, generator: np.random.Generator) -> Gray:
    photons = 5
    return generator.poisson(images * photons) / photons


def _impulse_noise(images: Gray, generator: np.random.Generator) -> Gray:
    is_hit = generator.random(images.shape) < 0.15
    return np.where(is_hit, generator.integers(0, 2, images.shape), images)


def _blur(images: Gray, _generator: np.random.Generator) -> Gray:
    return np.asarray(gaussian_filter(images, (0, 1.5, 1.5)))


def _motion_blur(images: Gray, generator: np.random.Generator) -> Gray:
    """Average nine positions along a line of eight pixels, of another direction in each image."""
    angles = generator.uniform(0, np.pi, len(images))
    directions = np.stack([np.sin(angles), np.cos(angles)], axis=1)
    return np.array(
        [
            np.mean([shift(image, step * way, order=1) for step in range(-4, 5)], axis=0)
            for image, way in zip(images, directions, strict=True)
        ]
    )


def _fog(images: Gray, generator: np.random.Generator) -> Gray:
    clouds = gaussian_filter(generator.random(images.shape), (0, 4, 4), mode="wrap")
    low, high = (f(clouds, axis=(1, 2), keepdims=True) for f in (np.min, np.max))
    foggy: Gray = 0.5 * images + 0.5 * (clouds - low) / (high - low)
    return foggy


def _stripe(images: Gray, _generator: np.random.Generator) -> Gray:
    """Invert a quarter of the image at its left and at its right."""
    changed = images.copy()
    for columns in (slice(SIDE // 4), slice(-SIDE // 4, None)):
        changed[..., columns] = 1 - changed[..., columns]
    return changed


def _rotate(images: Gray, generator: np.random.Generator) -> Gray:
    angles = _either_way(generator, len(images), np.radians(20), np.radians(40))
    sines, cosines = np.sin(angles), np.cos(angles)
    return _transform(images, [[cosines, -sines], [sines, cosines]])


def _scale(images: Gray, generator: np.random.Generator) -> Gray:
    """Shrink to between 45 and 70%."""
    factors = 1 / generator.uniform(0.45, 0.7, len(images))
    none = np.zeros(len(images))
    return _transform(images, [[factors, none], [none, factors]])


def _shear(images: Gray, generator: np.random.Generator) -> Gray:
    slopes = _either_way(generator, len(images), 0.3, 0.6)
    one, none = np.ones(len(images)), np.zeros(len(images))
    return _transform(images, [[one, none], [slopes, one]])


def _translate(images: Gray, generator: np.random.Generator) -> Gray:
    moves = _either_way(generator, 2 * len(images), 2, 4).reshape(-1, 2)
    pairs = zip(images, moves, strict=True)
    return np.array([shift(image, move, order=1) for image, move in pairs])


def _either_way(
    generator: np.random.Generator, count: int, least: float, most: float
) -> NDArray[np.float64]:
    sizes: NDArray[np.float64] = generator.uniform(least, most, count)
    signs: NDArray[np.int64] = generator.choice([-1, 1], count)
    return sizes * signs


def _transform(images: Gray, matrix: list[list[NDArray[np.float64]]]) -> Gray:
    """Map each image about its centre; its matrix leads from the result back to the image."""
    matrices = np.moveaxis(np.array(matrix), -1, 0)
    centre = np.full(2, (SIDE - 1) / 2)
    return np.array(
        [
            affine_transform(image, each, centre - each @ centre, order=1)
            for image, each in zip(images, matrices, strict=True)
        ]
    )


CORRUPTIONS: Mapping[str, Corruption] = {
    "shot_noise": _shot_noise,
    "impulse_noise": _impulse_noise,
    "blur": _blur,
    "motion_blur": _motion_blur,
    "fog": _fog,
    "stripe": _stripe,
    "rotate": _rotate,
    "scale": _scale,
    "shear": _shear,
    "translate": _translate,
}
"""By name, from which the seed follows, too."""
