"""The data as tables that a rule can look at: one row per image, and one row per class.

A rule never looks at pixels, only at these few numbers about each image. So the rules are quick,
and a broken one can name the image.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from convdepth.config.dataset import NUM_CLASSES, SPLITS
from convdepth.data.arrays import Images, Labels, Pixels, normalize

_CHUNK = 5_000
"""Images looked at together: some 30 MB in float64, whatever the size of the split."""

_DIGEST_BYTES = 8
"""Two of 70,000 different images have the same digest with a probability of 1.3e-10."""


def tabulate_raw(splits: Mapping[str, tuple[Pixels, Labels]]) -> pd.DataFrame:
    """Describe each raw image in one row.

    Args:
        splits: For each split its pixels ``(n, 28, 28)``, uint8, and its labels ``(n,)``.

    Returns:
        The columns ``split``, ``index`` (in the split, from 0), ``label``; ``smallest``,
        ``largest``, ``mean`` and ``mean_square`` of the pixels, 0 to 255 and its square; ``ink``,
        the share of pixels above 0; ``digest`` of the pixels; ``in_both``, whether another split
        has the same image.
    """
    return _join(
        pd.DataFrame(_describe(pixels)).assign(split=split, index=range(len(pixels)), label=labels)
        for split, (pixels, labels) in splits.items()
    )


def tabulate_normalized(
    splits: Mapping[str, tuple[Images, Labels]], raw: Mapping[str, tuple[Pixels, Labels]]
) -> pd.DataFrame:
    """Describe each normalized image in one row, and what it should be.

    Args:
        splits: For each split its images ``(n, 28, 28, 1)``, float32, which may be mapped into
            memory, and its labels ``(n,)``.
        raw: The whole raw data that they were made from, as for `tabulate_raw`.

    Returns:
        The columns of `tabulate_raw`, on the scale from 0 to 1; ``finite``, whether all pixels
        are; ``raw_label`` and ``raw_digest``, the label of the raw image and the digest of its
        normalized pixels, missing where there is no raw image.
    """
    return _join(
        _expect(pd.DataFrame(_describe(images)), *raw[split]).assign(
            split=split, index=range(len(images)), label=labels
        )
        for split, (images, labels) in splits.items()
    )


def count_classes(images: pd.DataFrame) -> pd.DataFrame:
    """Count the images of each class, also where there are none.

    Args:
        images: A table of `tabulate_raw` or `tabulate_normalized`.

    Returns:
        One row for each split and digit: ``split``, ``label`` (0 to 9), ``images`` (their number).
    """
    classes = pd.MultiIndex.from_product([SPLITS, range(NUM_CLASSES)], names=["split", "label"])
    counts = images.groupby(["split", "label"]).size().reindex(classes, fill_value=0)
    return counts.rename("images").reset_index()


def _describe(images: Pixels | Images) -> dict[str, Any]:
    chunks = [_describe_chunk(chunk) for chunk in _chunks(images)]
    return {key: np.concatenate([chunk[key] for chunk in chunks]) for key in chunks[0]}


def _describe_chunk(images: Pixels | Images) -> dict[str, Any]:
    pixels = images.reshape(len(images), math.prod(images.shape[1:])).astype(np.float64)
    # What is not finite is for the rules to report.
    with np.errstate(invalid="ignore"):
        return {
            "smallest": pixels.min(axis=1),
            "largest": pixels.max(axis=1),
            "mean": pixels.mean(axis=1),
            "mean_square": np.square(pixels).mean(axis=1),
            "ink": (pixels > 0).mean(axis=1),
            "finite": np.isfinite(pixels).all(axis=1),
            "digest": _digests(images),
        }


def _expect(table: pd.DataFrame, pixels: Pixels, labels: Labels) -> pd.DataFrame:
    digests = np.concatenate(
        [_digests(normalize(chunk)) for chunk in _chunks(pixels[: len(table)])]
    )
    # A Series lines up by index: a normalized image without a raw one gets a missing value.
    return table.assign(raw_label=pd.Series(labels), raw_digest=pd.Series(digests))


def _join(tables: Iterator[pd.DataFrame]) -> pd.DataFrame:
    table = pd.concat(tables, ignore_index=True)
    splits_with_image = table.groupby("digest")["split"].transform("nunique")
    return table.assign(in_both=splits_with_image > 1)


def _chunks(images: Pixels | Images) -> Iterator[Any]:
    # An empty split has one empty chunk, so that its table is empty and has all columns.
    for start in range(0, max(len(images), 1), _CHUNK):
        yield images[start : start + _CHUNK]


def _digests(images: Pixels | Images) -> np.ndarray:
    contiguous = np.ascontiguousarray(images)
    return np.array(
        [hashlib.blake2b(image, digest_size=_DIGEST_BYTES).hexdigest() for image in contiguous],
        dtype=object,
    )
