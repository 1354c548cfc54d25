"""The stage `evaluate`: the answers of a trained network to the test set, and its metrics."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from convdepth.config.architecture import Architecture
from convdepth.config.recipe import read_training
from convdepth.core.errors import DataError
from convdepth.core.files import write_csv, write_json
from convdepth.data.arrays import read_split
from convdepth.evaluation.answers import predict
from convdepth.evaluation.class_prior import prior_loss
from convdepth.evaluation.metrics import class_scores, score
from convdepth.evaluation.notebook_record import read_notebook
from convdepth.models.archive import load_network
from convdepth.models.backend import configure

COMPARED = ("accuracy", "loss", "status", "validation")
"""What `dvc metrics diff` and `dvc exp show` compare: no bounds, evidence or constants."""

CAUSES = {
    "near chance": "labels that do not belong to their images, or a training far too short",
    "collapsed": "dropout that lets hardly any signal through, a learning rate far too high, or "
    "too few steps",
}


def main(
    name: str,
    normalized: Path,
    model: Path,
    history: Path,
    notebook: Path,
    metrics: Path,
    scores: Path,
    predictions: Path,
    params: Path = Path("params.yaml"),
) -> None:
    """Evaluate the network ``name`` on the test set; write its metrics and its predictions.

    `scores` gets those of the metrics that are `COMPARED`.
    """
    architecture, recipe = read_training(name, params)
    images, labels = read_split(normalized, "test")
    _, training_labels = read_split(normalized, "train")
    configure(recipe.threads, portable=recipe.portable)
    network = load_network(architecture, model, recipe.precision)
    table = predict(network, images, labels)
    summary = summarize(table, architecture, prior_loss(training_labels, labels))
    summary |= validation(history, recipe.validation_images)
    record = read_notebook(notebook).get(name)
    theirs = record.test_accuracy if record else None
    difference = None if theirs is None else round(summary["accuracy"] - theirs, 6)
    summary |= {"notebook_accuracy": theirs, "notebook_difference": difference}
    write_csv(predictions, table)
    write_json(metrics, summary)
    write_json(scores, {key: summary[key] for key in COMPARED if key in summary})
    print(f"{name}: {_describe(summary)}", flush=True)


def summarize(
    predictions: pd.DataFrame, architecture: Architecture, class_prior_loss: float
) -> dict[str, Any]:
    """Return a `Score`, blocks, parameters, and ``classes``.

    The most frequent answer is only in ``evidence``, for a status other than ``ok``.
    """
    total = asdict(score(predictions))
    evidence = {key: total.pop(key) for key in ("answer", "answer_share")}
    evidence["prior_loss"] = class_prior_loss
    return {
        **total,
        "blocks": len(architecture.blocks),
        "parameters": architecture.num_parameters,
        "classes": class_scores(predictions),
    } | ({} if total["status"] == "ok" else {"evidence": evidence})


def validation(history: Path, images: int) -> dict[str, Any]:
    """Return ``validation``: accuracy and loss of the held-out images after the last epoch.

    Empty if ``images`` is 0: the ``val_`` columns are of the test set then, and nothing may be
    selected by it.
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


def _describe(summary: dict[str, Any]) -> str:
    text = (
        f"test accuracy {summary['accuracy']:.4f} "
        f"({summary['accuracy_low']:.4f} to {summary['accuracy_high']:.4f}), "
        f"loss {summary['loss']:.4f}: {summary['status']}"
    )
    if evidence := summary.get("evidence"):
        text += (
            f'. It answers "{evidence["answer"]}" to {evidence["answer_share"]:.2%} of '
            f"{summary['images']:,} images. The class prior has a loss of "
            f"{evidence['prior_loss']:.4f}. Usual causes: {CAUSES[summary['status']]}."
        )
    return text
