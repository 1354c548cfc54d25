"""The stage `evaluate`: what a trained network answers to each test image, and how good that is."""

import math
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
from convdepth.evaluation.metrics import Score, class_scores, score
from convdepth.evaluation.notebook_record import Record, read_notebook
from convdepth.models.archive import load_weights
from convdepth.models.backend import configure
from convdepth.models.build import build_network


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

    Args:
        name: A key of ``architectures`` in the parameters.
        normalized: The folder of the normalized arrays.
        model: The ``.keras`` file of the trained network.
        history: The CSV file of its training.
        notebook: The JSON file of what the notebook recorded.
        metrics: The JSON file to write.
        predictions: The CSV file to write, see `predict`.
        params: The parameters.

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
    print(
        f"{name}: test accuracy {summary['accuracy']:.4f} "
        f"({summary['accuracy_low']:.4f} to {summary['accuracy_high']:.4f}), "
        f"loss {summary['loss']:.4f}: {summary['status']}{explain(summary)}",
        flush=True,
    )


def summarize(
    predictions: pd.DataFrame, architecture: Architecture, class_prior_loss: float
) -> dict[str, Any]:
    """Put together the metrics of one network.

    Args:
        predictions: What `predict` returned.
        architecture: What the network was built from.
        class_prior_loss: What the loss is when only the frequency of the digits is known.

    Returns:
        What ``metrics/<name>.json`` holds. Figures per class are a list, which `dvc metrics`
        leaves out of its tables.
    """
    total = score(predictions)
    return {
        "accuracy": total.accuracy,
        "accuracy_low": total.accuracy_low,
        "accuracy_high": total.accuracy_high,
        "top2_accuracy": total.top2_accuracy,
        "loss": total.loss,
        "images": total.images,
        "blocks": len(architecture.blocks),
        "parameters": architecture.num_parameters,
        "status": total.status,
        "classes": class_scores(predictions),
    } | _evidence(total, class_prior_loss)


def _evidence(total: Score, class_prior_loss: float) -> dict[str, Any]:
    if total.status == "ok":
        return {}
    return {
        "evidence": {
            "answer": total.answer,
            "answer_share": total.answer_share,
            "prior_loss": class_prior_loss if math.isfinite(class_prior_loss) else None,
        }
    }


def explain(summary: dict[str, Any]) -> str:
    """Say in words what is wrong with a network that has learned nothing.

    Args:
        summary: What `summarize` returned.

    Returns:
        Sentences after a period; nothing where all is well.
    """
    if summary["status"] == "ok":
        return ""
    evidence, images = summary["evidence"], summary["images"]
    answers = f'It answers "{evidence["answer"]}" to {evidence["answer_share"]:.2%} of {images:,}'
    if summary["status"] == "near chance":
        return (
            f". {answers} images, and is right no more often than whoever always says the most "
            f"frequent digit. Labels that do not belong to their images look like this, and so "
            f"does a training that was far too short."
        )
    return (
        f". {answers} images. Knowing nothing but how frequent each digit is gives a loss of "
        f"{_number(evidence['prior_loss'])}, and its own is {summary['loss']:.4f}: what it was "
        f"shown made no difference to it. Dropout that lets hardly any signal through does this, "
        f"and so does a learning rate that is far too high."
    )


def _number(value: float | None) -> str:
    return "infinity" if value is None else f"{value:.4f}"


def validation(history: Path, images: int) -> dict[str, Any]:
    """Take from the history what the trained network made of the held-out training images.

    Args:
        history: The CSV file of the training.
        images: How many were held out. With 0, the history's columns are of the test set.

    Returns:
        ``validation`` with images, accuracy (0 to 1) and loss (nats) after the last epoch; or
        nothing, since whatever chooses by these must not choose by the test set.

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
    """Set an accuracy beside the one that the notebook recorded.

    Args:
        accuracy: Ours, 0 to 1.
        recorded: The notebook's record of this network, None where it has no such network.

    Returns:
        notebook_accuracy, and notebook_difference (ours minus the notebook's); both None for a
        network that the notebook does not have.
    """
    if recorded is None:
        return {"notebook_accuracy": None, "notebook_difference": None}
    theirs = recorded.test_accuracy
    return {"notebook_accuracy": theirs, "notebook_difference": round(accuracy - theirs, 6)}
