"""Whole trainings by the stage itself, several at once; none is done twice."""

import csv
import os
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

COLUMNS = ("training", "accuracies", "cpu_seconds")


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
        """The network and all changes, in one line."""
        settings = " ".join(f"{key}={value}" for key, value in sorted(self.changes.items()))
        return f"{self.name} {settings}"


@dataclass(frozen=True)
class Trained:
    """The validation accuracy after each epoch, 0 to 1, and the CPU seconds of the process."""

    accuracies: Sequence[float]
    cpu_seconds: float | None


def run_trainings(trainings: Iterable[Training], store: Path) -> dict[str, Trained]:
    """Run the trainings that the store (CSV) lacks, add each when it ends; return all by key."""
    known = read_store(store)
    waiting = {each.key: each for each in trainings if each.key not in known}.values()
    with ThreadPoolExecutor(fill_cores(PROJECT)) as pool:
        running = {pool.submit(_run, training): training.key for training in waiting}
        for done in as_completed(running):
            known[running[done]] = done.result()
            _write_store(store, known)
            print(f"{running[done]}: {done.result().accuracies[-1]:.4f}", flush=True)
    return known


def read_store(store: Path) -> dict[str, Trained]:
    """Read what `run_trainings` has kept."""
    if not store.exists():
        return {}
    with store.open(encoding="utf-8", newline="") as file:
        return {
            row["training"]: Trained(
                [float(each) for each in row["accuracies"].split()],
                float(row["cpu_seconds"]) if row["cpu_seconds"] else None,
            )
            for row in csv.DictReader(file)
        }


def _write_store(store: Path, known: Mapping[str, Trained]) -> None:
    with store.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for key, trained in sorted(known.items()):
            rows.writerow([key, " ".join(map(str, trained.accuracies)), trained.cpu_seconds])


def _run(training: Training) -> Trained:
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryFile("w+") as errors:
        folder = Path(name)
        process = subprocess.Popen(prepare(training, folder), stdout=errors, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            raise SystemExit(f"{training.key}: {errors.read()}")
        with (folder / HISTORY).open() as file:
            accuracies = [round(float(row["val_accuracy"]), 6) for row in csv.DictReader(file)]
        return Trained(accuracies, round(usage.ru_utime + usage.ru_stime, 1))


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
    entries["train"] |= {"portable": False, **training.changes}
    path = folder / "params.yaml"
    YAML(typ="safe").dump(entries, path)
    return path
