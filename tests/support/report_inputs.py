"""Made-up results of any networks, in the files that the stage `report` reads."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from convdepth.config.architecture import Architecture
from convdepth.config.dataset import NUM_CLASSES
from convdepth.config.params import read_params
from convdepth.core.files import write_bytes, write_json
from convdepth.data.arrays import Labels, read_split
from convdepth.evaluation.agreement import agreement, count_failures, find_hardest
from convdepth.evaluation.calibration import calibration_error, reliability
from convdepth.evaluation.metrics import score
from convdepth.studies.contrast import contrast, gains
from convdepth.studies.replicates import Run, describe, summarize, tabulate_answers

PRIOR = 2.301
SETTINGS = {
    "optimizer": "muon",
    "learning_rate": 0.004,
    "schedule": "one_cycle",
    "weight_decay": 0.01,
    "label_smoothing": 0.05,
    "shift": 0.08,
    "rotation": 0.0,
    "zoom": 0.1,
    "dropout_scale": 0.5,
    "batch_normalization": True,
}
VALIDATION = {
    "images": {"raw": 70_000, "normalized": 2_000},
    "num_rules": 2,
    "success": True,
    "rules": [
        {"rule": "there are 70,000 images", "table": "raw_images", "observed": 70_000},
        {"rule": "each image has a label", "table": "raw_images", "num_broken": 0},
    ],
}


@dataclass(frozen=True)
class Training:
    """A made-up training.

    Attributes:
        run: What the stage `replicates` keeps of it.
        predictions: One row per test image, as from `evaluate.predict`.
    """

    run: Run
    predictions: pd.DataFrame


@dataclass(frozen=True)
class Inputs:
    """Where everything lies below one folder."""

    folder: Path
    normalized: Path
    params: Path

    def arguments(self) -> dict[str, Path]:
        """Give the arguments of `report.main`."""
        below = {
            "validation": "validation.json",
            "histories": "histories",
            "models": "models",
            "predictions": "predictions",
            "figures": "figures",
            "notebook": "notebook.json",
            "replicates": "replicates",
            "tuned": "tuned",
            "contrasts": "contrasts.json",
            "collapse": "collapse",
            "reading": "reading.json",
            "pictures": "pictures",
            "page": "report/index.html",
        }
        paths = {name: self.folder / place for name, place in below.items()}
        return paths | {"normalized": self.normalized, "params": self.params}


def write_inputs(
    folder: Path,
    normalized: Path,
    params: Path,
    errors: Mapping[str, float | None],
    seeds: int = 3,
    epochs: int = 4,
    records: Mapping[str, tuple[float, float]] | None = None,
    tuned: Mapping[str, float | None] | None = None,
) -> Inputs:
    """Write made-up results.

    Args:
        folder: Where to write.
        normalized: The arrays.
        params: The parameters.
        errors: For each network the share of images that it gets wrong; None has collapsed.
        seeds: How many there are of each.
        epochs: Of each training.
        records: What the notebook recorded and claims, by network.
        tuned: As `errors`, for the networks that were tuned.
    """
    inputs = Inputs(folder, normalized, params)
    paths = inputs.arguments()
    architectures = read_params(params).architectures
    _, labels = read_split(normalized, "test")
    trainings = {
        name: [train(labels, errors[name], seed, epochs) for seed in range(1, seeds + 1)]
        for name in architectures
    }
    for name, architecture in architectures.items():
        write_network(paths, name, architecture, trainings[name], learns=errors[name] is not None)
    settled = {
        name: [
            replace(train(labels, error, seed + 50, epochs).run, seed=seed)
            for seed in range(1, seeds + 1)
        ]
        for name, error in (tuned or {}).items()
    }
    write_shared(paths, architectures, trainings, records or {})
    runs = {name: [each.run for each in found] for name, found in trainings.items()}
    write_tuned(paths, architectures, runs, settled)
    return inputs


def train(labels: Labels, error: float | None, seed: int, epochs: int) -> Training:
    generator = np.random.default_rng(seed if error is None else round(1e6 * error) + seed)
    digits = labels.astype(np.int64)
    predicted = digits
    probability = np.clip(1 - generator.exponential(0.01, len(labels)), 0.2, 1)
    if error is None:
        predicted, probability = np.ones_like(digits), np.full(len(labels), 0.1124)
        second = np.full_like(digits, 7)
    else:
        # The last images are hard for all of them, the rest is each one's own.
        shared = np.arange(len(labels)) >= len(labels) * (1 - error / 2)
        wrong = shared | (generator.random(len(labels)) < error * generator.uniform(0.4, 0.6))
        predicted = np.where(wrong, (digits + 1) % NUM_CLASSES, digits)
        # Of every second wrong answer, the label is the second most probable digit.
        is_near = wrong & (np.arange(len(labels)) % 2 == 0)
        second = np.where(is_near, digits, (predicted + 1) % NUM_CLASSES)
        probability = np.where(wrong, generator.uniform(0.4, 1, len(labels)), probability)
    loss = PRIOR if error is None else np.where(predicted == labels, 0.01, 2.5)
    table = {
        "index": np.arange(len(labels)),
        "label": labels,
        "predicted": predicted,
        "second": second,
        "probability": probability.round(6),
        "loss": loss,
    }
    predictions = pd.DataFrame(table)
    history = make_history(predictions, error, epochs, generator)
    answers = predictions[["label", "predicted"]]
    return Training(Run(seed, history, answers, describe(predictions)), predictions)


def make_history(
    predictions: pd.DataFrame, error: float | None, epochs: int, generator: np.random.Generator
) -> pd.DataFrame:
    accuracy = float((predictions["label"] == predictions["predicted"]).mean())
    loss = float(predictions["loss"].mean())
    rows = []
    for epoch in range(1, epochs + 1):
        left = 0.0 if error is None else 4 ** (1 - epoch / epochs) - 1
        shake = 0.0 if error is None or epoch == epochs else generator.uniform(0, 0.1)
        rest = (1 - accuracy) * (1 + left + shake)
        rows.append(
            [epoch, 2 * loss * (1 + left), 1 - min(0.9, 2 * rest), loss * (1 + left), 1 - rest]
        )
    names = ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
    return pd.DataFrame(rows, columns=names).round(6)


def write_network(
    paths: Mapping[str, Path],
    name: str,
    architecture: Architecture,
    trainings: list[Training],
    *,
    learns: bool,
) -> None:
    first = trainings[0]
    write_table(paths["histories"] / f"{name}.csv", first.run.history)
    write_table(paths["predictions"] / f"{name}.csv", first.predictions)
    write_json(paths["replicates"] / f"{name}.json", summarize([each.run for each in trainings]))
    write_json(paths["collapse"] / f"{name}.json", make_collapse(architecture, learns=learns))
    write_bytes(paths["models"] / f"{name}.keras", name.encode())


def write_shared(
    paths: Mapping[str, Path],
    architectures: Mapping[str, Architecture],
    trainings: Mapping[str, list[Training]],
    records: Mapping[str, tuple[float, float]],
) -> None:
    tables = {name: each[0].predictions for name, each in trainings.items()}
    write_json(paths["reading"], make_reading(tables))
    write_json(paths["validation"], VALIDATION)
    write_json(
        paths["notebook"],
        {
            name: make_record(architectures[name].num_parameters, *both)
            for name, both in records.items()
        },
    )
    for folder, name in (
        ("figures", "confusion"),
        ("pictures", "kernels"),
        ("pictures", "grad_cam"),
    ):
        write_picture(paths[folder] / f"{name}.png")


def write_tuned(
    paths: Mapping[str, Path],
    architectures: Mapping[str, Architecture],
    runs: Mapping[str, list[Run]],
    tuned: Mapping[str, list[Run]],
) -> None:
    networks = {
        name: {
            "settings": SETTINGS,
            "precision": "float32",
            "cost": {
                "parameters": architectures[name].num_parameters,
                "flop": architectures[name].flop,
                "images": 24_000,
            },
            **summarize(each),
        }
        for name, each in tuned.items()
    }
    write_json(paths["tuned"] / "summary.json", {"networks": networks})
    before, after = (
        {name: tabulate_answers(each) for name, each in found.items()} for found in (runs, tuned)
    )
    write_json(
        paths["contrasts"],
        contrast(before) | {"tuned": contrast(after), "gains": gains(before, after)},
    )


def make_reading(tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    learned = {name: table for name, table in tables.items() if score(table).status == "ok"}
    failing = count_failures(learned)["failing"] if learned else pd.Series([], dtype=int)
    return {
        "networks": {
            name: {
                "calibration_error": calibration_error(table),
                "reliability": reliability(table),
                "status": score(table).status,
                "layers": make_layers(alive=score(table).status == "ok"),
            }
            for name, table in tables.items()
        },
        "agreement": agreement(tables),
        "hardest": find_hardest(learned, 16) if learned else [],
        "all_fail": {"images": int((failing == len(learned)).sum()), "networks": list(learned)},
    }


def make_layers(*, alive: bool) -> list[dict[str, Any]]:
    return [
        {"layer": "block1_conv1", "channels": 32, "active": 31},
        {"layer": "head_dense", "channels": 128, "active": 128 if alive else 0},
    ]


def make_record(parameters: int, recorded: float, claimed: float) -> dict[str, Any]:
    epoch = {"epoch": 1, "loss": 0.4, "accuracy": 0.9, "val_loss": 0.2, "val_accuracy": 0.95}
    return {
        "parameters": parameters,
        "test_accuracy": recorded,
        "test_loss": 0.03,
        "claimed_accuracy": claimed,
        "claimed_loss": 0.02,
        "epochs": [epoch],
    }


def make_collapse(architecture: Architecture, *, learns: bool) -> dict[str, Any]:
    """Give a study in which a network that does not learn does so from scale 0.75 on."""
    blocks = list(architecture.blocks)
    points = []
    for scale in (0.0, 0.5, 0.75, 1.0):
        learned = learns or scale < 0.75
        share = 0.5**scale if learned else 0.001
        runs = [
            {
                "seed": seed,
                "prior_loss": PRIOR,
                "loss": [1.2] if learned else [2.302, PRIOR, PRIOR + 0.0001 * seed],
                "accuracy": [0.7] if learned else [0.11] * 3,
                "epochs_to_learn": 1 if learned else None,
                "signal": {
                    place: share ** (1 + 0.1 * number)
                    for number, place in enumerate([*blocks, "head_dense"])
                },
                "gradient_norm": {block: 0.3 / (1 + number) for number, block in enumerate(blocks)},
                "agreement": dict.fromkeys(blocks, 0.2 * share),
            }
            for seed in (1, 2)
        ]
        points.append(
            {
                "scale": scale,
                "keep_share": round(0.5**scale, 6),
                "learned": 2 if learned else 0,
                "runs": runs,
                "signal": runs[0]["signal"],
            }
        )
    return {"points": points, "learned": 0.9, "epochs": 3}


def write_table(path: Path, table: pd.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, float_format="%.6f")


def write_picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    Image.new("RGB", (600, 200), "lightgray").save(content, "PNG")
    path.write_bytes(content.getvalue())
