"""The data as tables for the rules: one row per image, and one row per class.

A rule looks at a few numbers about each image, not at pixels, so it is fast and can name images.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from convdepth.config.dataset import NUM_CLASSES, SPLITS
from convdepth.data.arrays import Images, Labels, Pixels, normalize

_CHUNK = 5_000
"""Images described at a time, about 30 MB in float64."""

_DIGEST_BYTES = 8
"""Two of 70,000 images collide with a probability of 1.3e-10."""


def tabulate_raw(splits: Mapping[str, tuple[Pixels, Labels]]) -> pd.DataFrame:
    """Describe each raw image in one row.

    Args:
        splits: Pixels ``(n, 28, 28)``, uint8, and labels ``(n,)`` of each split.

    Returns:
        The columns ``split``, ``index`` (in the split, from 0), ``label``; ``smallest``,
        ``largest``, ``mean`` and ``mean_square`` of the pixels; ``ink``, the share of pixels above
        0; ``finite``, whether all pixels are; ``digest`` of the pixels; ``in_both``, whether the
        other split has the same image.
    """
    return _join([_tabulate(split, *arrays) for split, arrays in splits.items()])


def tabulate_normalized(
    splits: Mapping[str, tuple[Images, Labels]], raw: Mapping[str, tuple[Pixels, Labels]]
) -> pd.DataFrame:
    """Describe each normalized image in one row, beside its raw image.

    Args:
        splits: Images ``(n, 28, 28, 1)``, float32, and labels ``(n,)`` of each split.
        raw: The raw data, as in `tabulate_raw`.

    Returns:
        The columns of `tabulate_raw`; ``raw_label`` and ``raw_digest``, the label of the raw image
        and the digest of its normalized pixels, null if there is no raw image.
    """
    tables = []
    for split, (images, labels) in splits.items():
        pixels, raw_labels = raw[split]
        digests = pd.Series(_digests(pixels[: len(images)], normalize), dtype=object)
        # A Series is aligned by index: a row without a raw image gets null.
        tables.append(
            _tabulate(split, images, labels).assign(
                raw_label=pd.Series(raw_labels), raw_digest=digests
            )
        )
    return _join(tables)


def count_classes(images: pd.DataFrame) -> pd.DataFrame:
    """Count the images of each class in a table of images.

    Returns:
        One row for each split and digit, also if there are no images: ``split``, ``label`` (0 to
        9), ``images`` (their number).
    """
    classes = pd.MultiIndex.from_product([SPLITS, range(NUM_CLASSES)], names=["split", "label"])
    counts = images.groupby(["split", "label"]).size().reindex(classes, fill_value=0)
    return counts.rename("images").reset_index()


def _tabulate(split: str, images: Pixels | Images, labels: Labels) -> pd.DataFrame:
    table = pd.concat([_describe(chunk) for chunk in _chunks(images)], ignore_index=True)
    return table.assign(
        digest=pd.Series(_digests(images), dtype=object),
        split=split,
        index=range(len(images)),
        label=labels,
    )


def _describe(images: Pixels | Images) -> pd.DataFrame:
    pixels = images.reshape(len(images), math.prod(images.shape[1:])).astype(np.float64)
    with np.errstate(invalid="ignore"):  # the rules report infinite pixels
        return pd.DataFrame(
            {
                "smallest": pixels.min(axis=1),
                "largest": pixels.max(axis=1),
                "mean": pixels.mean(axis=1),
                "mean_square": np.square(pixels).mean(axis=1),
                "ink": (pixels > 0).mean(axis=1),
                "finite": np.isfinite(pixels).all(axis=1),
            }
        )


def _join(tables: list[pd.DataFrame]) -> pd.DataFrame:
    table = pd.concat(tables, ignore_index=True)
    splits_with_image = table.groupby("digest")["split"].transform("nunique")
    return table.assign(in_both=splits_with_image > 1)


def _chunks(images: Pixels | Images) -> Iterator[Any]:
    # An empty split has one empty chunk, so that its table has all columns.
    for start in range(0, max(len(images), 1), _CHUNK):
        yield images[start : start + _CHUNK]


def _digests(images: Any, scale: Callable[[Any], Any] = np.ascontiguousarray) -> list[str]:
    return [
        hashlib.blake2b(image, digest_size=_DIGEST_BYTES).hexdigest()
        for chunk in _chunks(images)
        for image in scale(chunk)
    ]
