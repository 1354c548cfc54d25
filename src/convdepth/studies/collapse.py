"""The stage `collapse`: by how much dropout a network is kept from learning anything, and why.

All dropout rates of a network are scaled from none to more than it has. For each scale and seed a
fresh network is measured: how much of the image gets through, and how much of the error comes back.
Then it is trained until its loss on held-out training images is below the class-prior loss, or
until time is up.
"""

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convdepth.config.architecture import Architecture, dropout_rates, may_scale
from convdepth.config.collapse import Collapse
from convdepth.config.recipe import Train, read_section, read_training
from convdepth.core.files import write_json
from convdepth.data.arrays import read_split
from convdepth.evaluation.class_prior import prior_loss
from convdepth.models.backend import configure, keras
from convdepth.models.build import build_network
from convdepth.models.dropout import SixteenBitDropout
from convdepth.studies.signal_flow import gradients, signal_shares
from convdepth.training.checkpoints import Checkpoints
from convdepth.training.data import Subset, TrainingData, held_out, read_training_data
from convdepth.training.loop import Progress, ProgressMaker
from convdepth.training.train import checkpoints_of, fit


@dataclass(frozen=True)
class Trial:
    """One training with scaled dropouts."""

    name: str
    architecture: Architecture
    recipe: Train
    data: TrainingData
    kept: Checkpoints
    progress: ProgressMaker


def main(
    name: str,
    normalized: Path,
    summary: Path,
    checkpoints: Path,
    code: str,
    params: Path = Path("params.yaml"),
    studies: Path = Path("studies/params.yaml"),
    progress: ProgressMaker = Progress,
) -> None:
    """Scale the dropouts of the architecture ``name``, and write what becomes of it.

    Args:
        name: A key of ``architectures`` in the parameters.
        normalized: The folder of the normalized arrays.
        summary: The JSON file to write: ``learned`` and ``epochs`` of the study, and ``points``:
            for each scale the share that all dropouts together keep, how many of its runs
            learned, the runs, and the medians of their signals.
        checkpoints: The folder for the checkpoints of this network.
        code: Digest of the code that trains; a checkpoint of other code does not serve.
        params: The parameters.
        studies: Those of the studies.
        progress: Shows the trainings.

    Raises:
        ParameterError: A parameter is wrong, or there is no such architecture.
        DataError: The arrays are missing or damaged.
        TrainingError: The loss is not a finite number; nothing is written then.
        MachineError: A file cannot be written, or the memory is not enough.
    """
    architecture, recipe = read_training(name, params)
    study = read_section(studies, ("collapse",), Collapse)
    configure(recipe.threads)
    _, labels = read_split(normalized, "train")
    recipe = recipe.model_copy(
        update={
            "epochs": study.epochs,
            "validation_images": held_out(study.validation_share, len(labels)),
        }
    )
    points, kept = [], []
    for scaled in _scale(architecture, study):
        trials = []
        for seed in range(recipe.seed, recipe.seed + study.seeds):
            seeded = recipe.model_copy(update={"seed": seed})
            folder = checkpoints / f"scale-{scaled.dropout_scale:g}" / f"seed-{seed}"
            own = checkpoints_of(scaled, seeded, normalized, folder, code)
            title = f"{name} scale {scaled.dropout_scale:g} seed {seed}"
            data = read_training_data(normalized, seeded)
            trials.append(Trial(title, scaled, seeded, data, own, progress))
        points.append(_measure_scale(scaled, trials, study))
        kept += [trial.kept for trial in trials]
    write_json(summary, {"points": points, "learned": study.learned, "epochs": study.epochs})
    for own in kept:
        own.clear()


def _scale(architecture: Architecture, study: Collapse) -> Iterator[Architecture]:
    """Give the network with each scale that leaves all rates below 1."""
    for scale in sorted(study.scales):
        if may_scale(architecture, scale):
            yield architecture.model_copy(update={"dropout_scale": scale})


def _measure_scale(
    architecture: Architecture, trials: Sequence[Trial], study: Collapse
) -> dict[str, Any]:
    scale = architecture.dropout_scale
    runs = []
    for trial in trials:
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
    _, epochs = fit(
        trial.name,
        trial.architecture,
        trial.recipe,
        trial.data,
        trial.kept,
        trial.progress,
        is_enough=lambda epoch: epoch["val_loss"] < limit,
    )
    has_learned = epochs[-1]["val_loss"] < limit
    return {
        "seed": trial.recipe.seed,
        "prior_loss": prior,
        "loss": [round(epoch["val_loss"], 6) for epoch in epochs],
        "accuracy": [round(epoch["val_accuracy"], 6) for epoch in epochs],
        "epochs_to_learn": len(epochs) if has_learned else None,
    }


def _labels(subset: Subset) -> Any:
    return subset.labels[subset.rows]


def _rounded(value: float) -> float:
    """Keep three digits that count: these are measured with random masks."""
    return float(f"{value:.3g}")
