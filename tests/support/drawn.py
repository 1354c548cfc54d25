"""A set of drawn digits in the place of MNIST, so that no test needs the network.

It has MNIST's shape in every respect that a data rule looks at: 60,000 and 10,000 images, the
same number of each digit, about the same amount of ink, no image twice. Only what the images
show is easier: ten glyphs, moved, scaled and covered with noise.
"""

from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from convdepth.data import idx

CLASS_COUNTS = {
    "train": (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    "test": (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
}
MEAN_INK = 0.1307 * 255


@cache
def draw_split(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Draw one split: pixels ``(n, 28, 28)`` uint8, and labels ``(n,)`` uint8, shuffled."""
    random = np.random.default_rng(["train", "test"].index(split))
    labels = np.repeat(np.arange(10, dtype=np.uint8), CLASS_COUNTS[split])
    labels = random.permutation(labels)
    variants = list(product((18, 21, 24), (11, 14, 17), (12, 14, 16)))
    drawn = [[_draw(digit, *variant) for variant in variants] for digit in range(10)]
    ink = np.array(drawn, np.float32)[labels, random.integers(len(variants), size=len(labels))]
    strength = random.uniform(0.7, 1.0, size=(len(labels), 1, 1))
    specks = random.random(ink.shape, dtype=np.float32) * 20
    pixels = np.where(ink > 0, ink * strength + specks, 0)
    factor = 1.0
    for _ in range(20):  # clipping takes some ink away, so the factor is found in a few steps
        factor *= MEAN_INK / np.clip(pixels[:5000] * factor, 0, 255).mean()
    return np.clip(pixels * factor, 0, 255).astype(np.uint8), labels


def write(folder: Path) -> None:
    """Write the four canonical IDX files, as the stage `download` would."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in CLASS_COUNTS:
        write_split(folder, split, *draw_split(split))


def write_split(folder: Path, split: str, pixels: np.ndarray, labels: np.ndarray) -> None:
    """Write the two IDX files of one split."""
    (folder / idx.FILE_NAMES[split, "images"]).write_bytes(idx.encode(pixels))
    (folder / idx.FILE_NAMES[split, "labels"]).write_bytes(idx.encode(labels))


def _draw(digit: int, size: int, x: int, y: int) -> np.ndarray:
    image = Image.new("L", (28, 28))
    font = ImageFont.load_default(size)
    ImageDraw.Draw(image).text((x, y), str(digit), fill=255, font=font, anchor="mm", stroke_width=1)
    return np.asarray(image, np.float32)
