"""The user's own images: what is read, how it comes to MNIST's form, and what is refused."""

import io
import resource
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from archives import npy, zipped
from drawn import draw_split
from PIL import Image, ImageDraw, ImageOps
from scipy import ndimage

from convdepth.core.errors import DataError
from convdepth.data import bounded
from convdepth.data.mnist_form import to_mnist_form
from convdepth.data.pictures import decode_picture, read_pixels, read_usable


@pytest.fixture
def digit() -> np.ndarray:
    return draw_split("test")[0][0]


def draw_seven(width: int = 400, height: int = 300) -> Image.Image:
    """Draw a 7 in black on white, beside the middle: a bar above and a stem to the lower left."""
    sheet = Image.new("L", (width, height), 255)
    ImageDraw.Draw(sheet).line([(60, 40), (180, 40), (100, 240)], fill=0, width=18)
    return sheet


def file_of(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


def form_of(content: bytes) -> np.ndarray:
    return to_mnist_form(decode_picture(content)).centred.astype(int)


def as_ink_on_transparent_paper(digit: np.ndarray) -> Image.Image:
    black = np.zeros((28, 28), np.uint8)
    return Image.fromarray(np.dstack([black, black, black, digit]), "RGBA")


@pytest.mark.parametrize(
    ("draw", "largest"),
    [
        (Image.fromarray, 0),
        (lambda digit: ImageOps.invert(Image.fromarray(digit)), 0),
        (as_ink_on_transparent_paper, 1),
    ],
)
def test_a_picture_in_mnists_form_is_not_changed(
    tmp_path: Path, digit: np.ndarray, draw: Callable[[np.ndarray], Image.Image], largest: int
) -> None:
    draw(digit).save(tmp_path / "digit.png")
    (pixels,) = read_pixels(tmp_path / "digit.png")
    assert np.abs(pixels.astype(int) - digit).max() <= largest


def test_ink_fills_a_box_of_20_with_its_mass_in_the_middle() -> None:
    form = form_of(file_of(draw_seven()))
    rows, columns = (np.flatnonzero((form > 127).any(axis)) for axis in (1, 0))
    assert 19 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 20
    assert np.ptp(columns) < np.ptp(rows)  # the aspect ratio is kept
    assert ndimage.center_of_mass(form) == pytest.approx((14, 14), abs=0.5)
    assert form.max() == 255


def sixteen_bit(sheet: Image.Image) -> bytes:
    return file_of(Image.fromarray(np.asarray(sheet).astype(np.uint16) * 16))


def on_grey(sheet: Image.Image) -> bytes:
    return file_of(Image.eval(sheet, lambda level: 110 * level // 255))


def in_bad_light(sheet: Image.Image) -> bytes:
    light = np.linspace(0.35, 0.9, sheet.width) + np.random.default_rng(0).normal(
        0, 0.02, (sheet.height, sheet.width)
    )
    pixels = light * (0.4 + 0.6 / 255 * np.asarray(sheet)) * 255
    return file_of(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)), "JPEG")


def on_a_hole(sheet: Image.Image, ink: int) -> bytes:
    picture = Image.new("LA", sheet.size, (ink, 0))
    picture.putalpha(ImageOps.invert(sheet))
    return file_of(picture)


def turned_by_exif(sheet: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    return file_of(sheet.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif, quality=95)


@pytest.mark.parametrize(
    "write",
    [
        sixteen_bit,
        lambda sheet: file_of(Image.fromarray(np.asarray(sheet).astype(np.int32)), "TIFF"),
        lambda sheet: file_of(Image.fromarray(np.asarray(sheet, np.float32) / 255), "TIFF"),
        lambda sheet: file_of(ImageOps.invert(sheet)),
        lambda sheet: file_of(sheet.resize((4000, 3000)).convert("CMYK"), "JPEG"),
        lambda sheet: file_of(sheet.convert("P")),
        lambda sheet: file_of(sheet, "GIF"),
        lambda sheet: file_of(ImageOps.expand(sheet, (200, 0, 300, 0), 255), "WEBP"),
        on_grey,
        in_bad_light,
        turned_by_exif,
        lambda sheet: on_a_hole(sheet, 0),
        lambda sheet: on_a_hole(sheet, 255),
    ],
)
def test_the_same_ink_gives_the_same_form(write: Callable[[Image.Image], bytes]) -> None:
    sheet = draw_seven()
    difference = np.abs(form_of(write(sheet)) - form_of(file_of(sheet)))
    assert difference.mean() < 6


@pytest.mark.parametrize("width", [2, 60])
def test_a_thin_stroke_does_not_fade_and_a_speck_is_not_ink(width: int) -> None:
    sheet = Image.new("L", (900, 900), 255)
    pen = ImageDraw.Draw(sheet)
    pen.line([(300, 200), (300, 700)], fill=0, width=width)
    pen.ellipse((700, 700, 703, 703), fill=0)
    form = form_of(file_of(sheet))
    columns = np.flatnonzero((form > 60).any(axis=0))
    assert 13 <= columns.min() <= columns.max() <= 15
    assert form[14, 14] > 200


def header_of(shape: str, descr: str = "'|u1'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


FRAMES = [Image.new("L", (30, 30), level) for level in (0, 255)]

UNUSABLE = {
    "text": b"no picture",
    "nothing": b"",
    "cut array": b"\x93NUMPY",
    "broken header": b"\x93NUMPY\x01\x00\x05\x00{'a'((",
    "unbalanced header": header_of("(28, 28"),
    "huge shape": header_of("(1000000000000, 28, 28)"),
    "negative shape": header_of("(-1, -28, 28)"),
    "short": header_of("(2, 28, 28)") + bytes(28 * 28),
    "no images": npy(np.zeros((0, 28, 28), np.uint8)),
    "floats": npy(np.zeros((28, 28))),
    "another shape": npy(np.zeros((28, 27), np.uint8)),
    "four axes": npy(np.zeros((1, 1, 28, 28), np.uint8)),
    "pickle": npy([{}]),
    "archive": zipped({"arr_0.npy": npy(np.zeros((28, 28), np.uint8))}),
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
    "half a picture": file_of(draw_seven())[:700],
    "animation": file_of(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:]),
    "blank": file_of(Image.new("L", (300, 200), 200)),
    "blank in MNIST's form": file_of(Image.new("L", (28, 28))),
    "noise": file_of(
        Image.fromarray(np.random.default_rng(0).normal(128, 8, (300, 300)).astype(np.uint8))
    ),
    "transparent": file_of(Image.new("LA", (30, 30), (255, 0))),
    "not finite": file_of(Image.fromarray(np.full((30, 30), np.nan, np.float32)), "TIFF"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_cannot_be_used_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "input.npy"
    path.write_bytes(UNUSABLE[name])
    with pytest.raises(DataError, match=r"input\.npy: "):
        read_pixels(path)


def test_the_content_decides_and_the_usable_files_are_read(
    tmp_path: Path, digit: np.ndarray
) -> None:
    (tmp_path / "DIGITS.NPY").write_bytes(npy(np.asfortranarray([digit, digit])))
    (tmp_path / "picture.npy").write_bytes(file_of(Image.fromarray(digit)))
    paths = [tmp_path / name for name in ("DIGITS.NPY", "nowhere.png", "picture.npy", "")]
    pixels, refused = read_usable(paths)
    assert [len(each) for each in pixels.values()] == [2, 1]
    assert all((each == digit).all() for images in pixels.values() for each in images)
    assert len(refused) == 2
    assert "nowhere.png" in refused[0]


def test_a_large_picture_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    Image.new("1", (13_300, 13_300)).save(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match=r"huge\.png"):
        read_pixels(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


def test_a_large_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "digit.png"
    draw_seven().save(path)
    monkeypatch.setattr(bounded, "LARGEST", 100)
    with pytest.raises(DataError, match="100 bytes"):
        read_pixels(path)
