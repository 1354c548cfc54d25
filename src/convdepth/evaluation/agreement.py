"""What several networks answer to the same images, image by image."""

import itertools
from collections.abc import Mapping
from typing import Any

import pandas as pd

Tables = Mapping[str, pd.DataFrame]
"""Predictions by network: one row per test image, the same ones in the same order."""


def agreement(tables: Tables) -> dict[str, float]:
    """Give the share of images to which two networks give the same answer, right or wrong.

    Args:
        tables: With predicted (0 to 9).

    Returns:
        For each pair, called such as ``cnn1 / cnn3``, 0 to 1, six digits.
    """
    return {
        f"{first} / {second}": round(
            float((tables[first]["predicted"] == tables[second]["predicted"]).mean()), 6
        )
        for first, second in itertools.combinations(tables, 2)
    }


def count_failures(tables: Tables) -> pd.DataFrame:
    """Count for each image how many networks get it wrong.

    Args:
        tables: With index, label, predicted (0 to 9) and loss (nats); at least one.

    Returns:
        One row per image: index, label, failing (how many), loss (the mean over the networks).
    """
    first = next(iter(tables.values()))
    wrong = pd.DataFrame(
        {name: table["predicted"] != table["label"] for name, table in tables.items()}
    )
    losses = pd.DataFrame({name: table["loss"] for name, table in tables.items()})
    return pd.DataFrame(
        {
            "index": first["index"],
            "label": first["label"],
            "failing": wrong.sum(axis=1),
            "loss": losses.mean(axis=1).round(6),
        }
    )


def find_hardest(tables: Tables, count: int) -> list[dict[str, Any]]:
    """Find the images that the most networks get wrong, and of these the costliest ones.

    Args:
        tables: As in `count_failures`.
        count: How many.

    Returns:
        The hardest first: index and label of the image, ``answers`` (by network), how many are
        ``failing``, and the mean ``loss`` (nats). None that all networks get right.
    """
    counted = count_failures(tables)
    order = ["failing", "loss"]
    hardest = counted[counted["failing"] > 0].sort_values(order, ascending=False, kind="stable")
    shown = hardest.head(count)
    answers = pd.DataFrame({name: table["predicted"] for name, table in tables.items()})
    return [
        {str(key): value for key, value in row.items()} | {"answers": answered}
        for row, answered in zip(
            shown.to_dict("records"), answers.loc[shown.index].to_dict("records"), strict=True
        )
    ]
