"""The corruptions of the test images."""

import numpy as np
import pytest

from convdepth.data.corruptions import CORRUPTIONS, corrupt


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Forty equal bars, off the centre."""
    bars = np.zeros((40, 28, 28), np.float32)
    bars[:, 6:22, 12:15] = 1
    return bars


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_changes_each_image_and_is_the_same_again(
    name: str, images: np.ndarray
) -> None:
    first = corrupt(name, images)
    assert (first.shape, first.dtype) == (images.shape, np.uint8)
    np.testing.assert_array_equal(first, corrupt(name, images))
    changes = np.abs(first / 255 - images)
    assert changes.max(axis=(1, 2)).min() > 0.2
    if name not in ("blur", "stripe"):
        assert len(np.unique(first, axis=0)) > len(images) / 2  # each image in its own way


@pytest.mark.parametrize("name", ["rotate", "scale", "shear", "translate", "blur", "motion_blur"])
def test_a_moved_bar_keeps_its_ink(name: str, images: np.ndarray) -> None:
    ink = (corrupt(name, images) / 255).sum(axis=(1, 2)) / images[0].sum()
    low, high = (0.15, 0.55) if name == "scale" else (0.9, 1.1)
    assert low < ink.min() <= ink.max() < high
