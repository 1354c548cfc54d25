"""The stage `plot`: every figure, and the tables that `dvc plots` draws.

To add a figure, write a module with a function from `Inputs` to a `Figure`, decorated with
`@style()`, and add it to `FIGURES`. The tests require that it names each network, shows the
`trouble` of one that has not learned, and fits one to eight networks.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
from matplotlib.figure import Figure

from convdepth.config.dataset import NUM_CLASSES
from convdepth.core.files import write_csv
from convdepth.evaluation.metrics import confusion_matrix
from convdepth.figures.accuracy import draw_accuracy
from convdepth.figures.confusion import draw_confusion
from convdepth.figures.errors import draw_errors, draw_shared_errors
from convdepth.figures.inputs import Inputs, NetworkResult, read_inputs
from convdepth.figures.learning_curves import draw_learning_curves
from convdepth.figures.style import write_figure
from convdepth.figures.weights import draw_notebook_weights, draw_weights

FIGURES: dict[str, Callable[[Inputs], Figure]] = {
    "learning_curves": draw_learning_curves,
    "accuracy": draw_accuracy,
    "confusion": draw_confusion,
    "weights": draw_weights,
    "weights_notebook_view": draw_notebook_weights,
    "errors": draw_errors,
    "errors_shared": draw_shared_errors,
}
"""By file name, without the suffix."""


def main(
    normalized: Path,
    models: Path,
    histories: Path,
    predictions: Path,
    notebook: Path,
    figures: Path,
    tables: Path,
    params: Path = Path("params.yaml"),
) -> None:
    """Draw `FIGURES` into `figures`; write curves, confusions, scores and digests into `tables`."""
    inputs = read_inputs(SimpleNamespace(**locals()))
    write_csv(tables / "curves.csv", _stack(inputs.networks, partial(_tabulate_curves, inputs)))
    write_csv(tables / "confusion.csv", _stack(inputs.networks, _count_pairs))
    write_csv(
        tables / "scores.csv",
        _stack(inputs.networks, lambda network: pd.DataFrame([asdict(network.score)])),
    )
    digests = [
        (network.name, hashlib.sha256((models / f"{network.name}.keras").read_bytes()).hexdigest())
        for network in inputs.networks
    ]
    write_csv(tables / "models.csv", pd.DataFrame(digests, columns=["network", "sha256"]))
    for name, draw in FIGURES.items():
        write_figure(figures / f"{name}.png", draw(inputs))
        print(f"plot: {figures / name}.png", flush=True)


def _stack(
    networks: Sequence[NetworkResult], tabulate: Callable[[NetworkResult], pd.DataFrame]
) -> pd.DataFrame:
    tables = {network.name: tabulate(network) for network in networks}
    return pd.concat(tables, names=["network"]).reset_index("network")


def _tabulate_curves(inputs: Inputs, network: NetworkResult) -> pd.DataFrame:
    """Return the history, with the images of its ``val_`` columns and the network's color."""
    images = f"{inputs.validation_name} images"
    return network.history.assign(evaluated_on=images, color=network.color)


def _count_pairs(network: NetworkResult) -> pd.DataFrame:
    pairs = pd.MultiIndex.from_product([range(NUM_CLASSES)] * 2, names=["label", "predicted"])
    counts = confusion_matrix(network.predictions).ravel()
    return pd.DataFrame({"count": counts}, index=pairs).reset_index()
