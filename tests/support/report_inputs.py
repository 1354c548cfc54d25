"""Made-up results for the report: in memory, and in the files that the stage reads."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from conftest import PROJECT
from convdepth.config.architecture import Architecture
from convdepth.config.params import read_params
from convdepth.core.files import write_csv, write_json
from convdepth.data.arrays import read_split
from convdepth.evaluation import results as schemas
from convdepth.evaluation.metrics import Score, confusion_matrix, score
from convdepth.evaluation.notebook_record import Record
from convdepth.figures.collapse import HEAD
from convdepth.report.load import Network, Results

CURVES = {"loss": [0.5, 0.3, 0.25], "accuracy": [0.8, 0.9, 0.95], "val_loss": [0.3, 0.2, 0.21]}
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
    """Make a network of so many blocks, or of an architecture, with one accuracy per seed.

    `tuned` is its mean accuracy when tuned, `record` the notebook's recorded and claimed accuracy.
    """
    if isinstance(architecture, int):
        architecture = make_architecture(architecture)
    status, first = "collapsed" if collapsed else "ok", accuracies[0]
    size = {"parameters": architecture.num_parameters, "flop": architecture.flop}
    replicates = make_replicates(name, size, accuracies, status, 0.01 + 0.01 * index)
    again = make_replicates(name, size, [tuned or 0] * len(accuracies), "ok")
    dense = {"layer": HEAD, "channels": 128, "active": 0 if collapsed else 128}
    reading = {
        **size,
        "accuracy": first,
        "status": status,
        "calibration_error": 0.01 + 0.01 * index,
        "reliability": replicates["runs"][0]["reliability"],
        "layers": [{"layer": "block1_conv1", "channels": 32, "active": 24}, dense],
    }
    return Network(
        name=name,
        look=index,
        architecture=architecture,
        score=Score(2_000, first, first - 0.002, first + 0.002, 0.999, 0.1, status, 1, 0.998),
        replicates=schemas.Replicates.model_validate(replicates),
        tuned=schemas.Replicates.model_validate(again) if tuned else None,
        confusion=np.diag([10] * 10),
        curves=schemas.Curves.model_validate(replicates["runs"][0]["curves"]),
        collapse=make_collapse(architecture, {0: 2, 0.5: 2, 1: 0 if collapsed else 2}),
        reading=schemas.NetworkReading.model_validate(reading),
        record=Record.model_validate(make_record(*record)) if record else None,
    )


def make_run(
    seed: int, accuracy: float, status: str, calibration_error: float = 0.01
) -> dict[str, Any]:
    """Make one training: its scores and curves."""
    curves = CURVES | {"val_accuracy": [accuracy / 2, accuracy, accuracy]}
    bins = [{"images": 2_000, "probability": 0.98, "accuracy": accuracy}]
    run = {"seed": seed, "accuracy": accuracy, "loss": 0.1, "status": status}
    return run | {"calibration_error": calibration_error, "reliability": bins, "curves": curves}


def make_replicates(
    name: str,
    size: Mapping[str, int],
    accuracies: Sequence[float],
    status: str,
    calibration_error: float = 0.01,
) -> dict[str, Any]:
    mean = sum(accuracies) / len(accuracies)
    deviation = 0.001 if len(accuracies) > 1 else None
    seeds = range(1, 1 + len(accuracies))
    clear = {"mean": 0.99, "standard_deviation": deviation}
    return {
        **{"network": name, **size, "seeds": list(seeds), "by_corruption": {}},
        "runs": [
            make_run(seed, accuracy, status, calibration_error)
            for seed, accuracy in zip(seeds, accuracies, strict=True)
        ],
        "failed": 0 if status == "ok" else len(seeds),
        "accuracy": {"mean": mean, "low": mean - 0.001, "high": mean + 0.001}
        | {"standard_deviation": deviation},
        "loss": {"mean": 0.1, "standard_deviation": deviation},
        "calibration_error": {"mean": calibration_error, "standard_deviation": deviation},
        "over_seeds": {
            "accuracy_without_doubtful": clear,
            "agreement": 0.95 if deviation else None,
            "vote": 0.99,
        },
    }


def make_record(recorded: float, claimed: float) -> dict[str, Any]:
    """Return a record of one epoch with these accuracies."""
    epoch = {"epoch": 1, "loss": 0.4, "accuracy": 0.9, "val_loss": 0.2, "val_accuracy": 0.95}
    record = {"parameters": 1, "test_accuracy": recorded, "test_loss": 0.03, "epochs": [epoch]}
    return record | {"claimed_accuracy": claimed, "claimed_loss": 0.02}


def make_collapse(
    architecture: Architecture,
    learned: Mapping[float, int],
    signal: float = 0.3,
    agreement: float = 0.125,
) -> schemas.Collapse:
    """Make a study; a training that fails ends at the class prior, with a tenth of the signal."""
    blocks = architecture.blocks
    points = []
    for scale, count in learned.items():
        runs = [
            {
                "seed": seed,
                "prior_loss": 2.3,
                "loss": [1.0] if seed <= count else [2.4, 2.3],
                "accuracy": [0.7] if seed <= count else [0.1, 0.1],
                "epochs_to_learn": 1 if seed <= count else None,
                "signal": dict.fromkeys(blocks, 0.5)
                | {HEAD: signal if seed <= count else signal / 10},
                "gradient_norm": {block: 0.3 / number for number, block in enumerate(blocks, 1)},
                "agreement": dict.fromkeys(blocks, agreement),
            }
            for seed in (1, 2)
        ]
        point = {"scale": scale, "keep_share": 0.5, "learned": count, "runs": runs}
        points.append(point | {"signal": runs[0]["signal"]})
    return schemas.Collapse.model_validate({"points": points, "learned": 0.9, "epochs": 2})


def make_difference(winner: str | None) -> dict[str, Any]:
    p, corrected = (0.01, 0.03) if winner else (0.5, 1.0)
    known = {None: schemas.NOT_SETTLED, schemas.EQUIVALENT: schemas.EQUIVALENT}
    verdict = known.get(winner, f"{winner} is better")
    found = {"difference": 0.004, "low": -0.1, "high": 0.1, "error": 0.001}
    found |= {"p": p, "corrected_p": corrected, "corrected_equivalence_p": 1.0}
    return found | {"verdict": verdict}


def make_answer(
    group: str,
    networks: Sequence[schemas.Replicates],
    comparisons: Sequence[dict[str, Any]],
    gains: Mapping[str, Any] | None = None,
) -> schemas.Answer:
    """Make an answer with one group, of which all trainings are there."""
    seeds = max((len(each.seeds) for each in networks), default=1)
    summaries = [each.model_dump(exclude={"runs"}) for each in networks]
    return schemas.Answer.model_validate(
        {
            **{"seeds": seeds, "trained": seeds * len(networks), "planned": seeds * len(networks)},
            "groups": {group: summaries},
            "votes": {group: 0.985 if networks else None},
            "comparisons": [{"group": group} | each for each in comparisons],
            "gains": gains or {},
        }
    )


def make_depth(verdicts: Sequence[str] = ("depth 3 is better", "not settled")) -> dict[str, Any]:
    """Make answers on two groups of one and three blocks; without verdicts, one of two seeds."""
    mean = {"mean": 0.02, "standard_deviation": 0.001}

    def point(blocks: int, accuracy: float) -> dict[str, Any]:
        spread = {"mean": accuracy, "low": accuracy - 0.001, "high": accuracy + 0.001}
        return {
            **{
                "network": str(blocks),
                "parameters": 30_000 * blocks,
                "flop": 9,
                "by_corruption": {},
            },
            "over_seeds": {"accuracy_without_doubtful": mean, "agreement": 0.95, "vote": 0.991},
            **{"seeds": [1, 2] if verdicts else [1], "failed": 0},
            "accuracy": spread | {"standard_deviation": 0.001},
            **{"loss": mean, "calibration_error": mean},
        }

    groups = ("width", "size-normalized")
    found = make_difference(None)
    return {
        **{"seeds": 2, "trained": 8 if verdicts else 4, "planned": 8},
        "groups": {group: [point(1, 0.98), point(3, 0.99)] for group in groups},
        "votes": dict.fromkeys(groups, 0.992),
        "comparisons": [
            found
            | {"group": group, "first": "1", "second": "3", "agreement": 0.9, "verdict": verdict}
            | {"first_seed": None}
            for group, verdict in zip(groups, verdicts, strict=False)
        ],
        "gains": {},
    }


def make_corrupted() -> dict[str, Any]:
    answer = make_depth(())
    for point in answer["groups"]["width"]:
        point |= {"over_seeds": None, "by_corruption": {"shot_noise": 0.9, "fog": 0.7}}
    return answer | {"groups": {"recipe": answer["groups"]["width"]}, "votes": {"recipe": None}}


def make_pairs(
    names: Sequence[str],
    winners: Mapping[str, str],
    first_seed: Mapping[str, tuple[int, int, float]],
) -> list[dict[str, Any]]:
    pairs = []
    for first, second in itertools.combinations(names, 2):
        pair = f"{first} / {second}"
        only_first, only_second, p = first_seed.get(pair, (5, 5, 1.0))
        counts = {"difference": 0.004, "only_first": only_first, "only_second": only_second}
        test = {"first_seed": counts | {"p": p, "corrected_p": p}, "agreement": 0.9}
        named = {"first": first, "second": second}
        pairs.append(make_difference(winners.get(pair)) | test | named)
    return pairs


def make_results(
    networks: Sequence[Network],
    winners: Mapping[str, str] | None = None,
    tuned_winners: Mapping[str, str] | None = None,
    gains: Mapping[str, str | None] | None = None,
    first_seed: Mapping[str, tuple[int, int, float]] | None = None,
) -> Results:
    """Make results; winners, or `EQUIVALENT`, are by pair such as ``a / b``; others are open.

    `gains` is by network ``tuned``, which is the default, ``the recipe`` or None; `first_seed` by
    pair the images that only the first and only the second has right, and p.
    """
    names = [each.name for each in networks]
    tuned = {each.name: each.tuned for each in networks if each.tuned}
    able = [each.name for each in networks if each.score.status == "ok"]
    differences = {name: make_difference((gains or {}).get(name, "tuned")) for name in tuned}
    hard = {"label": 7, "answers": dict.fromkeys(able, 1), "failing": len(able), "loss": 2.5}
    reading = {
        "networks": {each.name: each.reading for each in networks},
        "hardest": [hard | {"index": index} for index in (3, 1)],
        "all_fail": {"images": 12, "networks": able},
    }
    return Results(
        networks=list(networks),
        by_recipe=make_answer(
            "recipe",
            [each.replicates for each in networks],
            make_pairs(names, winners or {}, first_seed or {}),
        ),
        by_tuning=make_answer(
            "tuned",
            list(tuned.values()),
            make_pairs(list(tuned), tuned_winners or {}, {}),
            differences,
        ),
        depth=schemas.Answer.model_validate(make_depth()),
        other_answers={
            "corrupted": schemas.Answer.model_validate(make_corrupted()),
            "images": schemas.Answer.model_validate(make_depth(["3 is better"])),
        },
        reading=schemas.Reading.model_validate(reading),
        validation=schemas.Validation.model_validate(VALIDATION),
        recipe=read_params(PROJECT / "params.yaml").train,
        images=np.zeros((4, 28, 28, 1), np.float32),
        pictures=dict.fromkeys(("confusion", "kernels", "grad_cam"), b""),
    )


def write_inputs(
    folder: Path, normalized: Path, params: Path, **networks: Mapping[str, Any]
) -> dict[str, Path]:
    """Write made-up results of the networks in the parameters; return `report.main`'s arguments.

    `networks` are arguments of `make_network` by name.
    """
    folders = ("figures", "tables", "recipe", "tuned", "collapse", "answers", "pictures")
    paths = {name: folder / name for name in folders}
    files = ("validation", "notebook", "reading")
    paths |= {name: folder / f"{name}.json" for name in files}
    paths |= {"normalized": normalized, "params": params, "page": folder / "report" / "index.html"}
    results = make_results(
        [
            make_network(name, index, architecture, **networks.get(name, {}))
            for index, (name, architecture) in enumerate(read_params(params).architectures.items())
        ]
    )
    for each in results.networks:
        write_runs(paths["recipe"] / "recipe" / each.name, each.replicates)
        if each.tuned:
            write_runs(paths["tuned"] / "tuned" / each.name, each.tuned)
        write_json(paths["collapse"] / f"{each.name}.json", each.collapse.model_dump())
    labels = read_split(normalized, "test")[1]
    predictions = {each.name: make_predictions(each, labels) for each in results.networks}
    write_tables(paths["tables"], results.networks, predictions)
    records = {each.name: each.record.model_dump() for each in results.networks if each.record}
    write_json(paths["notebook"], records)
    for name in ("reading", "validation"):
        write_json(paths[name], getattr(results, name).model_dump())
    answers = {"recipe": results.by_recipe, "tuned": results.by_tuning, "depth": results.depth}
    for question, answer in (answers | results.other_answers).items():
        write_json(paths["answers"] / f"{question}.json", answer.model_dump())
    for picture in ("figures/confusion", "pictures/kernels", "pictures/grad_cam"):
        (folder / picture).parent.mkdir(exist_ok=True)
        Image.new("RGB", (600, 200), "lightgray").save(folder / f"{picture}.png", "PNG")
    return paths


def write_runs(folder: Path, network: schemas.Replicates) -> None:
    """Write the scores and the curves of each training."""
    for run in network.runs:
        scores = run.model_dump(exclude={"seed", "curves"})
        write_json(folder / f"{run.seed}.scores.json", scores)
        curves = pd.DataFrame(run.curves.model_dump())
        write_csv(folder / f"{run.seed}.csv", curves.assign(epoch=range(1, 1 + len(curves))))


def make_predictions(network: Network, labels: np.ndarray) -> pd.DataFrame:
    """Make predictions with the network's accuracy; a collapsed network always answers 1."""
    index = np.arange(len(labels))
    is_right = index < network.score.accuracy * len(labels)
    predicted = np.where(is_right, labels, (labels + 1) % 10)
    if network.score.status == "collapsed":
        predicted = np.ones_like(labels)
    columns = {"index": index, "label": labels, "predicted": predicted}
    columns |= {"second": (predicted + 1) % 10, "probability": 0.98, "loss": 0.1}
    return pd.DataFrame(columns)


def write_tables(
    folder: Path, networks: Sequence[Network], predictions: Mapping[str, pd.DataFrame]
) -> None:
    """Write the tables of the stage `plot`."""

    def stack(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        return pd.concat(tables, names=["network"]).reset_index("network")

    counts = {
        name: pd.DataFrame({"count": confusion_matrix(each).ravel()})
        for name, each in predictions.items()
    }
    scores = {name: pd.DataFrame([asdict(score(each))]) for name, each in predictions.items()}
    curves = {each.name: pd.DataFrame(each.curves.model_dump()) for each in networks}
    write_csv(folder / "confusion.csv", stack(counts))
    write_csv(folder / "scores.csv", stack(scores))
    write_csv(folder / "curves.csv", stack(curves))
