"""Made-up results for the report: in memory, and in the files that the stage reads."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from convdepth.config.architecture import Architecture
from convdepth.config.params import read_params
from convdepth.core.files import write_json
from convdepth.data.arrays import read_split
from convdepth.evaluation.metrics import Score
from convdepth.evaluation.notebook_record import Record
from convdepth.evaluation.results import (
    AllContrasts,
    Collapse,
    NetworkReading,
    Reading,
    Replicates,
    TunedNetwork,
    Validation,
)
from convdepth.evaluation.significance import NO_EVIDENCE
from convdepth.report.load import Network, Results

PROJECT = Path(__file__).parents[2]
CURVES = {"loss": [0.5, 0.3, 0.25], "accuracy": [0.8, 0.9, 0.95], "val_loss": [0.3, 0.2, 0.21]}
SETTINGS = {"optimizer": "muon", "learning_rate": 0.004, "batch_normalization": True, "shift": None}
VALIDATION = {
    "images": {"raw": 70_000, "normalized": 2_000},
    "num_rules": 2,
    "success": True,
    "rules": [
        {"rule": "there are 70,000 images", "table": "raw_images", "observed": 70_000},
        {"rule": "each image has a label", "table": "raw_images", "num_broken": 0},
    ],
}


def make_architecture(blocks: int, kernel_size: int = 3) -> Architecture:
    block = {"conv1": {"filters": 2, "kernel_size": kernel_size}, "pool_size": 1}
    numbered = {f"block{number}": block for number in range(1, blocks + 1)}
    return Architecture.model_validate({**numbered, "head": {"units": 4}})


def make_network(
    name: str,
    index: int,
    architecture: int | Architecture = 1,
    accuracies: Sequence[float] = (0.99, 0.992, 0.991),
    *,
    collapsed: bool = False,
    tuned: float | None = None,
    record: tuple[float, float] | None = None,
) -> Network:
    """Make a network.

    Args:
        name: Its name.
        index: Its position in the parameters.
        architecture: The network, or its number of blocks.
        accuracies: One for each seed.
        collapsed: Whether all seeds collapsed.
        tuned: Its mean accuracy when tuned.
        record: The notebook's recorded and claimed accuracy.
    """
    if isinstance(architecture, int):
        architecture = make_architecture(architecture)
    status = "collapsed" if collapsed else "ok"
    cost = {"parameters": architecture.num_parameters, "flop": architecture.flop, "images": 24_000}
    extra = {"settings": SETTINGS, "precision": "float32", "cost": cost}
    learned = {0: 2, 0.5: 2, 1: 0 if collapsed else 2}
    first = accuracies[0]
    active = 0 if collapsed else 128
    layers = [
        {"layer": "block1_conv1", "channels": 32, "active": 24},
        {"layer": "head_dense", "channels": 128, "active": active},
    ]
    return Network(
        name=name,
        index=index,
        architecture=architecture,
        score=Score(
            images=2_000,
            accuracy=first,
            accuracy_low=first - 0.002,
            accuracy_high=first + 0.002,
            top2_accuracy=0.999,
            loss=0.1,
            status=status,
            answer=1,
            answer_share=0.998,
        ),
        replicates=Replicates.model_validate(make_replicates(accuracies, status)),
        tuned=TunedNetwork.model_validate(make_replicates([tuned] * len(accuracies), "ok") | extra)
        if tuned
        else None,
        is_first_seed=True,
        confusion=np.diag([10] * 10),
        collapse=make_collapse(architecture, learned),
        reading=NetworkReading.model_validate(
            {
                "accuracy": first,
                "status": status,
                "parameters": cost["parameters"],
                "flop": cost["flop"],
                "calibration_error": 0.01 + 0.01 * index,
                "reliability": make_reliability(first),
                "layers": layers,
            }
        ),
        record=Record.model_validate(make_record(*record)) if record else None,
        model_md5=f"{index}" * 32,
    )


def make_replicates(accuracies: Sequence[float], status: str) -> dict[str, Any]:
    mean = sum(accuracies) / len(accuracies)
    deviation = 0.001 if len(accuracies) > 1 else None
    runs = [
        {"seed": seed, "accuracy": accuracy, "loss": 0.1, "status": status}
        | {"calibration_error": 0.01, "reliability": make_reliability(accuracy)}
        | {"curves": CURVES | {"val_accuracy": [accuracy / 2, accuracy, accuracy]}}
        for seed, accuracy in enumerate(accuracies, 1)
    ]
    return {
        "runs": runs,
        "count": len(runs),
        "collapsed": len(runs) if status == "collapsed" else 0,
        "near_chance": 0,
        "accuracy": {"mean": mean, "low": mean - 0.001, "high": mean + 0.001}
        | {"standard_deviation": deviation},
        "loss": {"mean": 0.1, "standard_deviation": deviation},
    }


def make_reliability(accuracy: float) -> list[dict[str, float]]:
    return [{"images": 2_000, "probability": 0.98, "accuracy": accuracy}]


def make_record(recorded: float, claimed: float) -> dict[str, Any]:
    epoch = {"epoch": 1, "loss": 0.4, "accuracy": 0.9, "val_loss": 0.2, "val_accuracy": 0.95}
    return {
        "parameters": 1,
        "test_accuracy": recorded,
        "test_loss": 0.03,
        "claimed_accuracy": claimed,
        "claimed_loss": 0.02,
        "epochs": [epoch],
    }


def make_collapse(
    architecture: Architecture,
    learned: Mapping[float, int],
    signal: float = 0.3,
    agreement: float = 0.125,
) -> Collapse:
    """Make a study; a training that fails ends at the class prior, with a tenth of the signal."""
    points = []
    for scale, count in learned.items():
        runs = [
            {
                "seed": seed,
                "prior_loss": 2.3,
                "loss": [1.0] if seed <= count else [2.4, 2.3],
                "accuracy": [0.7] if seed <= count else [0.1, 0.1],
                "epochs_to_learn": 1 if seed <= count else None,
                "signal": dict.fromkeys(architecture.blocks, 0.5)
                | {"head_dense": signal if seed <= count else signal / 10},
                "gradient_norm": {
                    block: 0.3 / number for number, block in enumerate(architecture.blocks, 1)
                },
                "agreement": dict.fromkeys(architecture.blocks, agreement),
            }
            for seed in (1, 2)
        ]
        point = {"scale": scale, "keep_share": 0.5, "learned": count, "runs": runs}
        points.append(point | {"signal": runs[0]["signal"]})
    return Collapse.model_validate({"points": points, "learned": 0.9, "epochs": 2})


def make_difference(winner: str | None) -> dict[str, Any]:
    return {
        "difference": 0.004,
        "low": -0.1,
        "high": 0.1,
        "standard_deviation": 0.001,
        "p": 0.01 if winner else 0.5,
        "corrected_p": 0.03 if winner else 1.0,
        "verdict": f"{winner} is better" if winner else NO_EVIDENCE,
    }


def make_pairs(
    names: Sequence[str],
    winners: Mapping[str, str],
    first_seed: Mapping[str, tuple[int, int, float]],
) -> dict[str, Any]:
    pairs = {}
    for pair in (f"{first} / {second}" for first, second in itertools.combinations(names, 2)):
        only_first, only_second, p = first_seed.get(pair, (5, 5, 1.0))
        counts = {"difference": 0.004, "only_first": only_first, "only_second": only_second}
        test = {"first_seed": counts | {"p": p, "corrected_p": p}}
        pairs[pair] = make_difference(winners.get(pair)) | test
    return pairs


def make_results(
    networks: Sequence[Network],
    winners: Mapping[str, str] | None = None,
    tuned_winners: Mapping[str, str] | None = None,
    gains: Mapping[str, str | None] | None = None,
    first_seed: Mapping[str, tuple[int, int, float]] | None = None,
) -> Results:
    """Make results.

    Args:
        networks: The networks.
        winners: Better network, by pair such as ``a / b``; no evidence in all other pairs.
        tuned_winners: The same of the tuned networks.
        gains: By network, the better of ``tuned`` and ``the recipe``; ``tuned`` by default.
        first_seed: By pair, images only the first and only the second has right, and p.
    """
    names = [each.name for each in networks]
    tuned = [each.name for each in networks if each.tuned]
    able = [each.name for each in networks if each.score.status == "ok"]
    seeds = networks[0].replicates.count
    pairs = make_pairs(names, winners or {}, first_seed or {})
    contrasts = {
        "seeds": seeds,
        "pairs": pairs,
        "tuned": {"seeds": seeds, "pairs": make_pairs(tuned, tuned_winners or {}, {})},
        "gains": {
            "networks": {name: make_difference((gains or {}).get(name, "tuned")) for name in tuned}
        },
    }
    reading = {
        "networks": {each.name: each.reading for each in networks},
        "agreement": {pair: 0.9 - 0.1 * number for number, pair in enumerate(pairs)},
        "hardest": [
            {"index": index, "label": 7, "answers": dict.fromkeys(able, 1), "failing": len(able)}
            | {"loss": 2.5}
            for index in (3, 1)
        ],
        "all_fail": {"images": 12, "networks": able},
    }
    return Results(
        networks=list(networks),
        contrasts=AllContrasts.model_validate(contrasts),
        reading=Reading.model_validate(reading),
        validation=Validation.model_validate(VALIDATION),
        train_images=60_000,
        recipe=read_params(PROJECT / "params.yaml").train,
        hardest=np.zeros((2, 28, 28), np.float32),
        pictures=dict.fromkeys(("confusion", "kernels", "grad_cam"), b""),
    )


@dataclass(frozen=True)
class Inputs:
    """Paths of all files below one folder."""

    folder: Path
    normalized: Path
    params: Path

    def arguments(self) -> dict[str, Path]:
        """Return the arguments of `report.main`."""
        names = ("histories", "models", "predictions", "figures", "replicates", "tuned")
        folders = {name: self.folder / name for name in (*names, "collapse", "pictures")}
        files = ("validation", "notebook", "contrasts", "reading")
        return (
            folders
            | {name: self.folder / f"{name}.json" for name in files}
            | {"normalized": self.normalized, "params": self.params}
            | {"page": self.folder / "report" / "index.html"}
        )


def write_inputs(
    folder: Path, normalized: Path, params: Path, **networks: Mapping[str, Any]
) -> Inputs:
    """Write made-up results of the networks in the parameters; see `make_network`.

    Args:
        folder: Where to write.
        normalized: The arrays.
        params: The parameters.
        networks: Arguments of `make_network` by name.
    """
    inputs = Inputs(folder, normalized, params)
    paths = inputs.arguments()
    results = make_results(
        [
            make_network(name, index, architecture, **networks.get(name, {}))
            for index, (name, architecture) in enumerate(read_params(params).architectures.items())
        ]
    )
    labels = read_split(normalized, "test")[1]
    for each in results.networks:
        write_network(paths, each, labels)
    tuned = {each.name: each.tuned.model_dump() for each in results.networks if each.tuned}
    records = {each.name: each.record.model_dump() for each in results.networks if each.record}
    write_json(paths["tuned"] / "summary.json", {"networks": tuned})
    write_json(paths["notebook"], records)
    for name in ("contrasts", "reading", "validation"):
        write_json(paths[name], getattr(results, name).model_dump())
    for path in ("figures/confusion", "pictures/kernels", "pictures/grad_cam"):
        picture = folder / f"{path}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (600, 200), "lightgray").save(picture, "PNG")
    return inputs


def write_network(paths: Mapping[str, Path], network: Network, labels: Any) -> None:
    name, accuracy = network.name, network.score.accuracy
    is_right = np.arange(len(labels)) < accuracy * len(labels)
    predicted = np.where(is_right, labels, (labels + 1) % 10)
    if network.score.status == "collapsed":
        predicted = np.ones_like(labels)
    columns = {"index": np.arange(len(labels)), "label": labels, "predicted": predicted}
    columns |= {"second": (predicted + 1) % 10, "probability": 0.98, "loss": 0.1}
    curves = network.replicates.runs[0].curves.model_dump()
    history = pd.DataFrame({"epoch": [1, 2, 3]} | curves)
    for kind, table in (("predictions", pd.DataFrame(columns)), ("histories", history)):
        paths[kind].mkdir(parents=True, exist_ok=True)
        table.to_csv(paths[kind] / f"{name}.csv", index=False)
    paths["models"].mkdir(parents=True, exist_ok=True)
    (paths["models"] / f"{name}.keras").write_text(name)
    write_json(paths["replicates"] / f"{name}.json", network.replicates.model_dump())
    write_json(paths["collapse"] / f"{name}.json", network.collapse.model_dump())
