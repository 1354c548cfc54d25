"""The stage `collapse`: by how much dropout a network is kept from learning anything, and why.

All dropout rates of a network are scaled from none to more than it has. For each scale, fresh
networks with several seeds are measured, how much of the image gets through and how much of the
error comes back, and then trained until they do better than who knows the frequencies of the digits
alone, or until time is up. What tells that are training images that were held out.
"""

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convdepth.architecture import Architecture
from convdepth.checkpoints import Checkpoints
from convdepth.dropout import SixteenBitDropout
from convdepth.dropout_rates import dropout_rates, may_scale
from convdepth.files import write_json
from convdepth.images import read_split
from convdepth.network import build_network
from convdepth.numeric_class import describe_numeric_class
from convdepth.params import Train, find_architecture, read_params
from convdepth.runtime import configure, keras
from convdepth.scores import prior_loss
from convdepth.signal_flow import gradients, signal_shares
from convdepth.study_params import Collapse, held_out, read_study_params
from convdepth.train import checkpoints_of, fit
from convdepth.training_data import Subset, TrainingData, read_training_data


@dataclass(frozen=True)
class Trial:
    """One training with scaled dropouts."""

    name: str
    architecture: Architecture
    recipe: Train
    data: TrainingData
    kept: Checkpoints


def main(
    name: str,
    normalized: Path,
    summary: Path,
    checkpoints: Path,
    params: Path = Path("params.yaml"),
    studies: Path = Path("studies/params.yaml"),
) -> None:
    """Scale the dropouts of the architecture ``name``, and write what becomes of it.

    Args:
        name: A key of ``architectures`` in the parameters.
        normalized: The folder of the normalized arrays.
        summary: The JSON file to write: ``learned`` and ``epochs`` of the study, and ``points``:
            for each scale the share that all dropouts together keep, how many of its runs
            learned, the runs, and the medians of their signals.
        checkpoints: The folder for what an interrupted stage goes on from.
        params: The parameters.
        studies: Those of the studies.

    Raises:
        ParameterError: A parameter is wrong, or there is no such architecture.
        DataError: The arrays are missing or damaged.
        TrainingError: The loss is not a finite number; nothing is written then.
        MachineError: A file cannot be written, or the memory is not enough.
    """
    parameters, study = read_params(params), read_study_params(studies).collapse
    architecture = find_architecture(name, parameters, params)
    configure(parameters.train.threads)
    kept: list[Checkpoints] = []
    points = [
        _measure_scale(name, scaled, parameters.train, study, normalized, checkpoints, kept)
        for scaled in _scale(architecture, study)
    ]
    write_json(summary, {"points": points, "learned": study.learned, "epochs": study.epochs})
    for each in kept:
        each.clear()


def _scale(architecture: Architecture, study: Collapse) -> Iterator[Architecture]:
    """Give the network with each scale that leaves all rates below 1."""
    for scale in sorted(study.scales):
        if may_scale(architecture, scale):
            yield architecture.model_copy(update={"dropout_scale": scale})


def _measure_scale(
    name: str,
    architecture: Architecture,
    recipe: Train,
    study: Collapse,
    normalized: Path,
    folder: Path,
    kept: list[Checkpoints],
) -> dict[str, Any]:
    scale = architecture.dropout_scale
    _, labels = read_split(normalized, "train")
    runs = []
    for number in range(study.seeds):
        seeded = recipe.model_copy(
            update={
                "seed": recipe.seed + number,
                "epochs": study.epochs,
                "validation_images": held_out(study.validation_share, len(labels)),
            }
        )
        data = read_training_data(normalized, seeded)
        numeric_class = describe_numeric_class(seeded.threads, seeded.precision)
        own = folder / f"scale-{scale:g}" / f"seed-{seeded.seed}"
        checkpoints = checkpoints_of(architecture, seeded, normalized, numeric_class, own)
        kept.append(checkpoints)
        title = f"{name} scale {scale:g} seed {seeded.seed}"
        trial = Trial(title, architecture, seeded, data, checkpoints)
        runs.append(_flow(trial, study) | _learn(trial, study))
        keras.backend.clear_session()  # else the graphs of all trials stay in memory
    return {
        "scale": scale,
        "keep_share": _rounded(math.prod(1 - scale * rate for rate in dropout_rates(architecture))),
        "learned": sum(run["epochs_to_learn"] is not None for run in runs),
        "runs": runs,
        "signal": {
            place: _rounded(statistics.median(run["signal"][place] for run in runs))
            for place in runs[0]["signal"]
        },
    }


def _flow(trial: Trial, study: Collapse) -> dict[str, Any]:
    """Measure a fresh network."""
    recipe, subset = trial.recipe, trial.data.training
    rows = subset.rows[: study.signal_images]
    images, labels = subset.images[rows], subset.labels[rows]
    network = build_network(trial.architecture, "float32", recipe.seed, SixteenBitDropout)
    signal = signal_shares(network, images, study.masks)
    backward = gradients(network, images, labels, recipe.batch_size, study.masks)
    return {
        "signal": {place: _rounded(share) for place, share in signal.items()},
        "gradient_norm": {block: _rounded(each.norm) for block, each in backward.items()},
        "agreement": {block: _rounded(each.agreement) for block, each in backward.items()},
    }


def _learn(trial: Trial, study: Collapse) -> dict[str, Any]:
    """Train until the network has learned something, or time is up."""
    prior = prior_loss(_labels(trial.data.training), _labels(trial.data.validation))
    limit = study.learned * prior
    _, history = fit(
        trial.name,
        trial.architecture,
        trial.recipe,
        trial.data,
        trial.kept,
        is_enough=lambda epoch: epoch["val_loss"] < limit,
    )
    has_learned = history["val_loss"].iloc[-1] < limit
    return {
        "seed": trial.recipe.seed,
        "prior_loss": prior,
        "loss": history["val_loss"].round(6).tolist(),
        "accuracy": history["val_accuracy"].round(6).tolist(),
        "epochs_to_learn": len(history) if has_learned else None,
    }


def _labels(subset: Subset) -> Any:
    return subset.labels[subset.rows]


def _rounded(value: float) -> float:
    """Keep three digits that count: these are measured with random masks."""
    return float(f"{value:.3g}")
