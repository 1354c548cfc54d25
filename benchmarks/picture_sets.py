"""Pictures of digits that are not of MNIST: handwriting, print, drawn strokes, photographs."""

import io
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.interpolate import make_interp_spline
from sklearn.datasets import load_digits

from convdepth.commands.demo import EXAMPLES

FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSerif"),
    *("DejaVuSerif-BoldItalic", "STIXGeneral", "STIXGeneralItalic", "cmr10", "cmtt10"),
)
"""Fonts that matplotlib ships."""


class Sample(NamedTuple):
    """A picture file and the digit that it shows."""

    group: str
    label: int
    content: bytes


def make_samples() -> Iterator[Sample]:
    """Make the same 440 pictures each time."""
    random = np.random.default_rng(0)
    bunch = load_digits()
    for label in range(10):
        for values in bunch.images[bunch.target == label][:10]:
            sheet = Image.fromarray((255 - values * 255 / 16).astype(np.uint8))
            sheet = sheet.resize((160, 160), Image.Resampling.BICUBIC)
            yield Sample("scikit-learn's digits", label, save(sheet))
    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    for name in FONTS:
        for label in range(10):
            sheet = Image.new("L", (200, 300), 255)
            font = ImageFont.truetype(folder / f"{name}.ttf", 160)
            ImageDraw.Draw(sheet).text((90, 160), f"{label}", fill=0, font=font, anchor="mm")
            yield Sample("ten fonts", label, save(sheet))
    groups: dict[str, Callable[[Image.Image], bytes]] = {
        "strokes": save,
        "on grey, unevenly lit, noisy paper": partial(photograph, random=random),
        "16-bit files": lambda sheet: save(
            Image.fromarray(np.asarray(sheet).astype("uint16") * 257)
        ),
        "white on transparency": write_white,
    }
    for group, write in groups.items():
        for number in range(60):
            yield Sample(group, number % 10, write(draw(number % 10, random)))


def draw(label: int, random: np.random.Generator) -> Image.Image:
    """Draw strokes of a random width, slant, size and place on a sheet of a random shape."""
    width, height = random.integers(280, 561, 2)
    sheet = Image.new("L", (width, height), 255)
    pen = ImageDraw.Draw(sheet)
    side = min(width, height) * random.uniform(0.5, 0.95)
    turn, slant = random.uniform(-0.15, 0.15), random.uniform(-0.25, 0.1)
    matrix = np.array([[np.cos(turn), -np.sin(turn) - slant], [np.sin(turn), np.cos(turn)]])
    corner = random.uniform(0, 1, 2) * (np.array([width, height]) - side) + side / 2
    radius = side * random.uniform(0.008, 0.05)
    for stroke in EXAMPLES[label]:
        points = np.array([pair.split(",") for pair in stroke.split()], float)
        points = (points + random.normal(0, 2, points.shape) - 50) / 100
        spline = make_interp_spline(np.arange(len(points)), points, k=min(3, len(points) - 1))
        for x, y in spline(np.linspace(0, len(points) - 1, 300)) @ matrix.T * side + corner:
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=0)
    return sheet


def photograph(sheet: Image.Image, random: np.random.Generator) -> bytes:
    """Put dark ink on grey paper with a gradient of light and noise, as JPEG."""
    ink = 1 - np.asarray(sheet, np.float32) / 255
    y, x = np.mgrid[0 : 1 : ink.shape[0] * 1j, 0 : 1 : ink.shape[1] * 1j]
    slope = random.uniform(-0.35, 0.35, 2)
    light = random.uniform(100, 220) * (1 + slope[0] * (x - 0.5) + slope[1] * (y - 0.5))
    pixels = light * (1 - ink * random.uniform(0.5, 0.8)) + random.normal(0, 6, ink.shape)
    content = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(content, "JPEG", quality=80)
    return content.getvalue()


def write_white(sheet: Image.Image) -> bytes:
    """Write a sheet as white ink on a transparent ground."""
    white = Image.new("LA", sheet.size, (255, 0))
    white.putalpha(Image.eval(sheet, lambda level: 255 - level))
    return save(white)


def save(picture: Image.Image) -> bytes:
    """Write a picture as PNG."""
    content = io.BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()
