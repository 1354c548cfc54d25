"""The data as tables for the rules: one row per image, and one row per class.

A rule looks at a few numbers about each image, not at pixels, so it is fast and can name images.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from convdepth.config.dataset import NUM_CLASSES, SPLITS
from convdepth.data.arrays import Images, Labels, Pixels, normalize

_CHUNK = 5_000  # images described at a time, about 30 MB in float64
_DIGEST_BYTES = 8  # two of 70,000 images collide with a probability of 1.3e-10


def tabulate(
    splits: Mapping[str, tuple[Pixels | Images, Labels]],
    raw: Mapping[str, tuple[Pixels, Labels]] | None = None,
) -> pd.DataFrame:
    """Describe each image of ``splits`` in one row; ``raw`` is what normalized ones were made from.

    The columns are ``split``, ``index`` (in the split, from 0), ``label``; ``smallest``,
    ``largest``, ``mean`` and ``mean_square`` of the pixels; ``ink``, the share of pixels above 0;
    ``finite``, whether all pixels are; ``digest`` of the pixels; ``in_both``, whether the other
    split has the same image. With ``raw`` also ``raw_label`` and ``raw_digest``, the digest of the
    normalized raw image; null if there is no raw image.
    """
    tables = []
    for split, (images, labels) in splits.items():
        table = pd.concat([_describe(chunk) for chunk in _chunks(images)], ignore_index=True)
        table = table.assign(split=split, index=range(len(images)), label=labels)
        if raw:
            pixels, raw_labels = raw[split]
            digests = [_digests(normalize(chunk)) for chunk in _chunks(pixels[: len(images)])]
            # A Series is aligned by index: a row without a raw image gets null.
            table["raw_label"] = pd.Series(raw_labels)
            table["raw_digest"] = pd.concat(digests, ignore_index=True)
        tables.append(table)
    table = pd.concat(tables, ignore_index=True)
    splits_with_image = table.groupby("digest")["split"].transform("nunique")
    return table.assign(in_both=splits_with_image > 1)


def count_classes(images: pd.DataFrame) -> pd.DataFrame:
    """Count the ``images`` of each ``split`` and ``label`` (0 to 9), also if there are none."""
    classes = pd.MultiIndex.from_product([SPLITS, range(NUM_CLASSES)], names=["split", "label"])
    counts = images.groupby(["split", "label"]).size().reindex(classes, fill_value=0)
    return counts.rename("images").reset_index()


def _describe(images: Pixels | Images) -> pd.DataFrame:
    pixels = images.reshape(len(images), math.prod(images.shape[1:])).astype(np.float64)
    with np.errstate(invalid="ignore"):  # the rules report infinite pixels
        columns = {
            "smallest": pixels.min(axis=1),
            "largest": pixels.max(axis=1),
            "mean": pixels.mean(axis=1),
            "mean_square": np.square(pixels).mean(axis=1),
            "ink": (pixels > 0).mean(axis=1),
            "finite": np.isfinite(pixels).all(axis=1),
        }
    return pd.DataFrame(columns | {"digest": _digests(images)})


def _chunks(images: Pixels | Images) -> Iterator[Any]:
    # An empty split has one empty chunk, so that its table has all columns.
    for start in range(0, max(len(images), 1), _CHUNK):
        yield images[start : start + _CHUNK]


def _digests(images: Pixels | Images) -> pd.Series:
    contiguous = np.ascontiguousarray(images)
    hashes = [hashlib.blake2b(image, digest_size=_DIGEST_BYTES) for image in contiguous]
    return pd.Series([digest.hexdigest() for digest in hashes], dtype=object)
