"""Whole trainings by the stage itself, several at once; none is done twice."""

import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from networks import NORMALIZED, PARAMS, PROJECT
from ruamel.yaml import YAML

from pipelines.execution.concurrency import fill_cores

HISTORY = "history.csv"


@dataclass(frozen=True)
class Training:
    """One training.

    Attributes:
        name: The network.
        changes: What is changed in the section ``train`` of the parameters.
    """

    name: str
    changes: Mapping[str, Any]

    @property
    def key(self) -> str:
        """All that distinguishes it, in one line."""
        settings = " ".join(f"{key}={value}" for key, value in sorted(self.changes.items()))
        return f"{self.name} {settings}"


def run_trainings(trainings: Iterable[Training], store: Path) -> dict[str, list[float]]:
    """Run those trainings that are not in the store yet, and keep each in it when it has ended.

    Returns:
        For each key, the validation accuracy after each epoch, 0 to 1.
    """
    known: dict[str, list[float]] = json.loads(store.read_text()) if store.exists() else {}
    waiting = [training for training in trainings if training.key not in known]
    with ThreadPoolExecutor(fill_cores(PROJECT)) as pool:
        running = {pool.submit(_run, training): training for training in waiting}
        for done in as_completed(running):
            training, accuracies = running[done], done.result()
            known[training.key] = accuracies
            store.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
            print(f"{training.key}: {' '.join(f'{each:.4f}' for each in accuracies)}", flush=True)
    return known


def _run(training: Training) -> list[float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = prepare(training, folder)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{training.key}: {done.stderr}")
        with (folder / HISTORY).open() as file:
            return [round(float(row["val_accuracy"]), 6) for row in csv.DictReader(file)]


def prepare(training: Training, folder: Path) -> Sequence[str | Path]:
    """Write the parameters of a training into a folder, and give the command that does it there."""
    return [
        *(Path(sys.executable).with_name("convdepth"), "train", training.name),
        *("--params", _write_params(training, folder), "--normalized", NORMALIZED),
        *("--model", folder / "model.keras", "--history", folder / HISTORY),
        *("--checkpoints", folder / "checkpoints"),
    ]


def _write_params(training: Training, folder: Path) -> Path:
    entries = YAML(typ="safe").load(PARAMS)
    entries["train"] |= dict(training.changes)
    path = folder / "params.yaml"
    YAML(typ="safe").dump(entries, path)
    return path
