"""The stage `evaluate`: the answers of a trained network to the test set, and its metrics."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from convdepth.config.architecture import Architecture
from convdepth.config.params import find_architecture, read_params
from convdepth.core.errors import DataError
from convdepth.core.files import write_csv, write_json
from convdepth.data.arrays import read_split
from convdepth.evaluation.answers import predict
from convdepth.evaluation.class_prior import prior_loss
from convdepth.evaluation.metrics import class_scores, score
from convdepth.evaluation.notebook_record import Record, read_notebook
from convdepth.models.archive import load_weights
from convdepth.models.backend import configure
from convdepth.models.build import build_network

CAUSES = {
    "near chance": "labels that do not belong to their images, or a training far too short",
    "collapsed": "dropout that lets hardly any signal through, or a learning rate far too high",
}
"""Usual causes of a status other than ``ok``."""


def main(
    name: str,
    normalized: Path,
    model: Path,
    history: Path,
    notebook: Path,
    metrics: Path,
    predictions: Path,
    params: Path = Path("params.yaml"),
) -> None:
    """Evaluate the network ``name`` on the test set; write its metrics and its predictions.

    Raises:
        ParameterError: A parameter is wrong, or there is no such architecture.
        DataError: The arrays, the history or the notebook's records are missing or damaged.
        IntegrityError: The model is missing, damaged, or of another architecture.
        MachineError: A file cannot be written.
    """
    parameters = read_params(params)
    architecture, recipe = find_architecture(name, parameters, params), parameters.train
    images, labels = read_split(normalized, "test")
    _, training_labels = read_split(normalized, "train")
    configure(recipe.threads)
    network = build_network(architecture, recipe.precision)
    load_weights(network, model)
    table = predict(network, images, labels)
    summary = summarize(table, architecture, prior_loss(training_labels, labels))
    summary |= validation(history, recipe.validation_images)
    summary |= compare(summary["accuracy"], read_notebook(notebook).get(name))
    write_csv(predictions, table)
    write_json(metrics, summary)
    print(f"{name}: {_describe(summary)}", flush=True)


def summarize(
    predictions: pd.DataFrame, architecture: Architecture, class_prior_loss: float
) -> dict[str, Any]:
    """Return the metrics of one network; ``class_prior_loss`` may be infinite.

    Returns:
        The entries of a `Score`, but its most frequent answer only as ``evidence`` of a status
        other than ``ok``; blocks and parameters; and ``classes``, a list, which `dvc metrics`
        leaves out of its tables.
    """
    total = asdict(score(predictions))
    evidence = {key: total.pop(key) for key in ("answer", "answer_share")}
    evidence["prior_loss"] = class_prior_loss if math.isfinite(class_prior_loss) else None
    return {
        **total,
        "blocks": len(architecture.blocks),
        "parameters": architecture.num_parameters,
        "classes": class_scores(predictions),
    } | ({} if total["status"] == "ok" else {"evidence": evidence})


def validation(history: Path, images: int) -> dict[str, Any]:
    """Return the metrics of the held-out training images after the last epoch of a history.

    Returns:
        ``validation`` with images, accuracy (0 to 1) and loss (nats). Empty if ``images`` is 0: the
        ``val_`` columns are of the test set then, and nothing may be selected by it.

    Raises:
        DataError: The file is missing or no history.
    """
    if images == 0:
        return {}
    try:
        last = pd.read_csv(history).iloc[-1]
        found = {name: round(float(last[f"val_{name}"]), 6) for name in ("accuracy", "loss")}
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise DataError(
            f"{history}: is no history of a training: {error}. Run `dvc repro` to write it again."
        ) from error
    return {"validation": {"images": images, **found}}


def compare(accuracy: float, recorded: Record | None) -> dict[str, float | None]:
    """Return notebook_accuracy, and notebook_difference (``accuracy`` minus the notebook's).

    Both are None for a network that the notebook does not have.
    """
    if recorded is None:
        return {"notebook_accuracy": None, "notebook_difference": None}
    theirs = recorded.test_accuracy
    return {"notebook_accuracy": theirs, "notebook_difference": round(accuracy - theirs, 6)}


def _describe(summary: dict[str, Any]) -> str:
    text = (
        f"test accuracy {summary['accuracy']:.4f} "
        f"({summary['accuracy_low']:.4f} to {summary['accuracy_high']:.4f}), "
        f"loss {summary['loss']:.4f}: {summary['status']}"
    )
    if summary["status"] == "ok":
        return text
    evidence = summary["evidence"]
    prior = math.inf if evidence["prior_loss"] is None else evidence["prior_loss"]
    return (
        f'{text}. It answers "{evidence["answer"]}" to {evidence["answer_share"]:.2%} of '
        f"{summary['images']:,} images. The class prior has a loss of {prior:.4f}. Usual causes: "
        f"{CAUSES[summary['status']]}."
    )
