"""The stage `plot`: every figure, and the tables that `dvc plots` draws."""

from itertools import cycle
from pathlib import Path
from typing import Any

import pandas as pd

from convdepth.config.architecture import Architecture
from convdepth.config.dataset import NUM_CLASSES
from convdepth.config.params import Params, read_params
from convdepth.core.errors import DataError
from convdepth.core.files import write_csv
from convdepth.data.arrays import Images, read_split
from convdepth.evaluation.metrics import confusion_matrix, score
from convdepth.evaluation.notebook_record import Record, read_notebook
from convdepth.evaluation.results import read_history, read_predictions
from convdepth.figures.answers import draw_confusion, draw_errors, draw_shared_errors
from convdepth.figures.curves import draw_learning_curves
from convdepth.figures.depth import draw_accuracy_by_depth
from convdepth.figures.style import COLORS, Recorded, Result, write_figure
from convdepth.figures.weights import Kernel, draw_notebook_weights, draw_weights
from convdepth.models.archive import load_weights
from convdepth.models.backend import configure, keras
from convdepth.models.build import build_network


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
    """Draw all figures and write the tables, for the networks in the parameters.

    Args:
        normalized: The folder of the normalized arrays.
        models: The folder of the trained networks, ``<name>.keras``.
        histories: The folder of the histories, ``<name>.csv``.
        predictions: The folder of the predictions for the test set, ``<name>.csv``.
        notebook: The JSON file of what the notebook recorded.
        figures: The folder to write the pictures to, as PNG.
        tables: The folder to write ``curves.csv`` and ``confusion.csv`` to.
        params: The parameters.

    Raises:
        ParameterError: A parameter is wrong.
        DataError: A file is missing, damaged, or does not belong to the test images.
        IntegrityError: A model is damaged, or of another architecture.
        MachineError: A file cannot be written.
    """
    parameters = read_params(params)
    names = parameters.architectures
    images, labels = read_split(normalized, "test")
    results = gather_results(
        parameters,
        answers={name: read_predictions(predictions, name, labels) for name in names},
        curves={name: read_history(histories, name) for name in names},
        records=read_notebook(notebook),
        kernels=read_all_kernels(models, parameters),
    )
    write_tables(tables, results)
    draw_all(figures, results, images, parameters)


def read_all_kernels(folder: Path, parameters: Params) -> dict[str, dict[str, Kernel]]:
    """Read the kernels of each trained network; biases are left out.

    Args:
        folder: With ``<name>.keras`` for each network.
        parameters: Give the names and the architectures.

    Returns:
        By name and layer name, from the input to the softmax: the kernel, float32.

    Raises:
        DataError: A file is missing.
        IntegrityError: A file is damaged, or of another architecture.
    """
    paths = {name: folder / f"{name}.keras" for name in parameters.architectures}
    for name, path in paths.items():
        _require_file(path, f"dvc repro train@{name}")
    configure(threads=1)  # nothing is computed
    return {
        name: _read_kernels(architecture, paths[name])
        for name, architecture in parameters.architectures.items()
    }


def gather_results(
    parameters: Params,
    answers: dict[str, pd.DataFrame],
    curves: dict[str, pd.DataFrame],
    records: dict[str, Record],
    kernels: dict[str, dict[str, Kernel]],
) -> list[Result]:
    """Put together what the figures show of each network.

    Args:
        parameters: Give the networks, and their order, which gives the colours.
        answers: Predictions by name, see `recorded.read_predictions`.
        curves: Histories by name, see `recorded.read_history`.
        records: What the notebook recorded, by name; a network may be missing.
        kernels: Kernels by name and layer, see `read_all_kernels`.

    Returns:
        One result per network.
    """
    return [
        Result(
            name=name,
            num_blocks=len(architecture.blocks),
            color=color,
            history=curves[name],
            predictions=answers[name],
            kernels=kernels[name],
            recorded=_recorded(records.get(name)),
            **judge(answers[name]),
        )
        for (name, architecture), color in zip(
            parameters.architectures.items(), cycle(COLORS), strict=False
        )
    ]


def judge(predictions: pd.DataFrame) -> dict[str, Any]:
    """Say how good predictions are, in the terms of the figures.

    Args:
        predictions: One row per image with label and predicted (0 to 9), and loss (nats).

    Returns:
        ``trouble``, ``accuracy`` and ``interval`` of a `Result`.
    """
    total = score(predictions)
    trouble: str = "" if total.status == "ok" else total.status
    if total.status == "collapsed":
        trouble += f": {'always' if total.answer_share == 1 else 'mostly'} answers {total.answer}"
    return {
        "trouble": trouble,
        "accuracy": total.accuracy,
        "interval": (total.accuracy_low, total.accuracy_high),
    }


def write_tables(folder: Path, results: list[Result]) -> None:
    """Write what `dvc plots` draws.

    Args:
        folder: Gets ``curves.csv`` (network and the columns of a history, one row per network and
            epoch) and ``confusion.csv`` (network, label, predicted, count: all pairs of digits).
        results: Histories and predictions of the networks.

    Raises:
        MachineError: A file cannot be written.
    """
    curves = pd.concat([_with_network(result, result.history) for result in results])
    counts = pd.concat([_with_network(result, _count_pairs(result)) for result in results])
    for name, table in (("curves", curves), ("confusion", counts)):
        write_csv(folder / f"{name}.csv", table)


def draw_all(folder: Path, results: list[Result], images: Images, parameters: Params) -> None:
    """Draw and write every figure.

    Args:
        folder: Gets the PNG files.
        results: What to draw.
        images: ``(n, 28, 28, 1)``, float32, 0.0 to 1.0: the test images.
        parameters: Say what the ``val_`` columns were computed on.

    Raises:
        MachineError: A file cannot be written.
    """
    validation_name = "validation" if parameters.train.validation_images else "test"
    figures = {
        "learning_curves": draw_learning_curves(results, validation_name),
        "accuracy_by_depth": draw_accuracy_by_depth(results),
        "confusion": draw_confusion(results),
        "weights": draw_weights(results),
        "weights_notebook_view": draw_notebook_weights(results),
        "errors": draw_errors(results, images),
        "errors_shared": draw_shared_errors(results, images),
    }
    for name, figure in figures.items():
        path = folder / f"{name}.png"
        write_figure(path, figure)
        print(f"plot: {path}", flush=True)


def _require_file(path: Path, command: str) -> None:
    if not path.is_file():
        raise DataError(f"{path}: there is no such file. Run `{command}`.")


def _read_kernels(architecture: Architecture, path: Path) -> dict[str, Kernel]:
    network = build_network(architecture)
    load_weights(network, path)
    return {layer.name: layer.get_weights()[0] for layer in network.layers if _has_kernel(layer)}


def _has_kernel(layer: keras.Layer) -> bool:
    return hasattr(layer, "kernel")  # a normalization has weights, too


def _recorded(record: Record | None) -> Recorded | None:
    if record is None:
        return None
    return Recorded(
        test_accuracy=record.test_accuracy,
        claimed_accuracy=record.claimed_accuracy,
        history=pd.DataFrame([epoch.model_dump() for epoch in record.epochs]),
    )


def _with_network(result: Result, table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(network=result.name)[["network", *table.columns]]


def _count_pairs(result: Result) -> pd.DataFrame:
    pairs = pd.MultiIndex.from_product([range(NUM_CLASSES)] * 2, names=["label", "predicted"])
    counts = confusion_matrix(result.predictions).ravel()
    return pd.DataFrame({"count": counts}, index=pairs).reset_index()
