"""Parameters and results of small studies."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

from conftest import PROJECT
from convdepth.core.files import write_csv, write_json
from convdepth.evaluation.metrics import score_training

SETTINGS = {
    "learning_rate": 0.01,
    "schedule": "one_cycle",
    "weight_decay": 0.01,
    "label_smoothing": 0.1,
    "shift": 0.1,
    "rotation": 0.02,
    "zoom": 0.05,
    "dropout_scale": 0.5,
    "batch_normalization": True,
}

TUNED = {
    "epochs": 1,
    "precision": "mixed_bfloat16",
    "seeds": [1, 2],
    "settings": {"tiny": SETTINGS},
}


def write_studies(folder: Path, **changes: object) -> Path:
    """Write ``studies.yaml`` with two seeds, and the section `TUNED` with changes."""
    entries = YAML(typ="safe").load(PROJECT / "studies" / "params.yaml")
    path = folder / "studies.yaml"
    YAML().dump(entries | {"replicates": {"seeds": [2]}, "tuned": TUNED | changes}, path)
    return path


def edit(path: Path, changes: dict[str, Any]) -> None:
    """Set values in a YAML file by dotted key."""
    entries = YAML(typ="safe").load(path)
    for dotted, value in changes.items():
        *above, key = dotted.split(".")
        section = entries
        for part in above:
            section = section[part]
        section[key] = value
    YAML().dump(entries, path)


LABELS = np.tile(np.arange(10), 20)

ACCURACIES = [0.7, 0.9]


def tables(labels: np.ndarray, predicted: np.ndarray) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a history of two epochs, and predictions."""
    history = {"loss": 0.3, "accuracy": 0.8, "val_loss": 0.2, "val_accuracy": ACCURACIES}
    predictions = {
        "index": np.arange(len(labels)),
        "label": labels,
        "predicted": predicted,
        "second": (predicted + 1) % 10,
        "probability": 0.9,
        "loss": 0.5,
    }
    return pd.DataFrame({"epoch": [1, 2], **history}), pd.DataFrame(predictions)


def write_run(folder: Path, seed: int, labels: np.ndarray, predicted: np.ndarray) -> None:
    """Write the three files of one training of a study."""
    history, predictions = tables(labels, predicted)
    write_csv(folder / f"{seed}.csv", history)
    write_csv(folder / f"{seed}.answers.csv", predictions[["label", "predicted"]])
    write_json(folder / f"{seed}.scores.json", score_training(predictions).model_dump())


def wrong_from(first: int, labels: np.ndarray = LABELS) -> np.ndarray:
    """Return answers that are right for the images before the first wrong one."""
    return np.where(np.arange(len(labels)) < first, labels, (labels + 1) % 10)
