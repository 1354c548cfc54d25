"""Predictions of a trained network for the user's own images."""

import csv
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from convdepth.commands.tables import make_table, print_table
from convdepth.data.arrays import Pixels, normalize
from convdepth.models.archive import load_network
from convdepth.models.backend import EVALUATION_BATCH_SIZE, configure, keras
from convdepth.models.description import describe_archive

SURE = 0.8  # an answer with a lower probability is unsure; `benchmarks/README.md` has the shares


class Prediction(NamedTuple):
    """The prediction for one image: file (and number of several), ten probabilities."""

    image: str
    probabilities: NDArray[np.float32]

    @property
    def digits(self) -> list[int]:
        """The ten digits, the most probable one first."""
        return [int(digit) for digit in np.argsort(-self.probabilities, kind="stable")]

    @property
    def is_unsure(self) -> bool:
        """Whether no digit has a probability of `SURE`."""
        return bool(self.probabilities.max() < SURE)

    @property
    def rounded(self) -> list[float]:
        """The probabilities with six digits."""
        return [round(float(each), 6) for each in self.probabilities]


def load(*models: Path) -> list[keras.Sequential]:
    """Load the models of a process, which then computes as their trainings did."""
    described = [describe_archive(model) for model in models]
    configure(threads=1, portable=all(each.is_portable for each in described))
    return [
        load_network(each.architecture, model, each.precision)
        for each, model in zip(described, models, strict=True)
    ]


def predict_images(network: keras.Model, images: Mapping[str, Pixels]) -> Iterator[Prediction]:
    """Yield one prediction per image, in the order of the files."""
    for name, pixels in images.items():
        rows = network.predict(normalize(pixels), batch_size=EVALUATION_BATCH_SIZE, verbose=0)
        for number, row in enumerate(rows):
            yield Prediction(name if len(rows) == 1 else f"{name}[{number}]", row)


def print_predictions(predictions: Iterator[Prediction], style: str) -> None:
    """Print predictions as a table for a terminal, as JSON, or as CSV."""
    if style == "json":
        rows = [
            {
                "image": each.image,
                "digit": each.digits[0],
                "unsure": each.is_unsure,
                "probabilities": each.rounded,
            }
            for each in predictions
        ]
        print(json.dumps(rows, indent=2))
    elif style == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(["image", "digit", "unsure", *(f"p{digit}" for digit in range(10))])
        for each in predictions:
            row = [each.image, each.digits[0], int(each.is_unsure)]
            writer.writerow([*row, *each.rounded])
    else:
        _print_table(predictions)


def _print_table(predictions: Iterator[Prediction]) -> None:
    table = make_table()
    table.add_column("image", overflow="fold")
    for header in ("digit", "probability", "second", "third"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for each in predictions:
        first, *others = each.digits[:3]
        cells = [f"{each.probabilities[digit]:.2%}" for digit in (first, *others)]
        shown = [f"{digit}: {cell}" for digit, cell in zip(others, cells[1:], strict=True)]
        note = "unsure" if each.is_unsure else ""
        table.add_row(each.image, f"{first}", cells[0], *shown, note)
    print_table(table, Console(markup=False))
