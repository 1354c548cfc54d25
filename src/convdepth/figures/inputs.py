"""The inputs of the figures: all results of each network, read and checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from convdepth.config.architecture import Architecture
from convdepth.config.params import read_params
from convdepth.core.errors import DataError
from convdepth.data.arrays import Images, read_split
from convdepth.evaluation.metrics import Score, score
from convdepth.evaluation.notebook_record import Record, read_notebook
from convdepth.evaluation.results import read_history, read_predictions
from convdepth.figures.palette import assign_colors
from convdepth.models.archive import load_network
from convdepth.models.backend import configure

Kernel = NDArray[np.float32]


@dataclass(frozen=True)
class NetworkResult:
    """The results of one network; the record is None if the notebook lacks it.

    `kernels` are by layer name, from the input to the softmax, without biases.
    """

    name: str
    num_blocks: int
    color: str
    history: pd.DataFrame
    predictions: pd.DataFrame
    kernels: dict[str, Kernel]
    record: Record | None

    @cached_property
    def score(self) -> Score:
        """The score of the predictions."""
        return score(self.predictions)

    @property
    def trouble(self) -> str:
        """Why the network has not learned, in a few words; empty if it has."""
        if self.score.status != "collapsed":
            return "" if self.score.status == "ok" else self.score.status
        how_often = "always" if self.score.answer_share == 1 else "mostly"
        return f"collapsed: {how_often} answers {self.score.answer}"

    @property
    def errors(self) -> pd.DataFrame:
        """The wrong predictions."""
        return self.predictions[self.predictions["label"] != self.predictions["predicted"]]


@dataclass(frozen=True)
class Inputs:
    """The inputs of every figure: one to eight networks, and the test images, one per prediction.

    `validation_name` tells the data of the histories' ``val_`` columns: ``test`` or ``validation``.
    """

    networks: Sequence[NetworkResult]
    images: Images
    validation_name: str = "test"

    @property
    def learned(self) -> list[NetworkResult]:
        """The networks that have learned."""
        return [network for network in self.networks if not network.trouble]

    @property
    def troubles(self) -> str:
        """The networks that have not learned, each with the reason; empty if all have."""
        failed = [each for each in self.networks if each.trouble]
        return ", ".join(f"{each.name} ({each.trouble})" for each in failed)


def read_inputs(paths: SimpleNamespace) -> Inputs:
    """Read the results of the networks in the parameters; `paths` are arguments of `plot.main`."""
    parameters = read_params(paths.params)
    images, labels = read_split(paths.normalized, "test")
    records = read_notebook(paths.notebook)
    configure(threads=1)  # nothing is computed
    colors = assign_colors(parameters.architectures)
    networks = [
        NetworkResult(
            name=name,
            num_blocks=len(architecture.blocks),
            color=colors[name],
            history=read_history(paths.histories, name),
            predictions=read_predictions(paths.predictions, name, labels),
            kernels=_read_kernels(architecture, paths.models / f"{name}.keras"),
            record=records.get(name),
        )
        for name, architecture in parameters.architectures.items()
    ]
    return Inputs(networks, images, "validation" if parameters.train.validation_images else "test")


def _read_kernels(architecture: Architecture, path: Path) -> dict[str, Kernel]:
    if not path.is_file():
        raise DataError(f"{path}: no such file. Run `dvc repro train@{path.stem}`.")
    network = load_network(architecture, path)
    # A normalization has weights, too, but no kernel.
    layers = [layer for layer in network.layers if hasattr(layer, "kernel")]
    return {layer.name: layer.get_weights()[0] for layer in layers}
