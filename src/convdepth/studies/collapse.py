"""The stage `collapse`: how much dropout keeps a network from learning, and why.

All dropout rates of a network are scaled from none to more than the recipe's. For each scale and
seed, the signal and the gradients of a fresh network are measured. The network is then trained
until the held-out loss is below the class-prior loss, or the epochs are over.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from convdepth.config.architecture import Architecture, dropout_rates, may_scale
from convdepth.config.collapse import Collapse as Study
from convdepth.config.recipe import Train, read_section, read_training
from convdepth.core.files import write_json
from convdepth.data.arrays import read_split
from convdepth.evaluation.class_prior import prior_loss
from convdepth.evaluation.collapse_trials import Collapse, Point, Signal, Trial
from convdepth.models.backend import configure, keras
from convdepth.models.build import build_network
from convdepth.models.dropout import SixteenBitDropout
from convdepth.studies.signal_flow import gradients, signal_shares
from convdepth.training.checkpoints import Checkpoints
from convdepth.training.data import TrainingData, held_out, read_training_data
from convdepth.training.loop import Progress, ProgressMaker
from convdepth.training.train import checkpoints_of, fit


@dataclass(frozen=True)
class Training:
    """One training with scaled dropouts, before it starts."""

    title: str
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
    """Train the network ``name`` with scaled dropouts; write `Collapse`.

    `code` is the digest of the code that trains; checkpoints of other code are not used.

    Raises:
        ParameterError: A parameter is wrong, or there is no such network.
        DataError: The arrays are missing or damaged.
        TrainingError: The loss is not a finite number; nothing is written.
        MachineError: A file cannot be written, or the memory is not enough.
    """
    architecture, recipe = read_training(name, params)
    study = read_section(studies, ("collapse",), Study)
    configure(recipe.threads)
    _, labels = read_split(normalized, "train")
    images = held_out(study.validation_share, len(labels))
    recipe = recipe.model_copy(update={"epochs": study.epochs, "validation_images": images})
    points, kept = [], []
    for scaled in scaled_architectures(architecture, study):
        trainings = []
        for seed in range(recipe.seed, recipe.seed + study.seeds):
            seeded = recipe.model_copy(update={"seed": seed})
            folder = checkpoints / f"scale-{scaled.dropout_scale:g}" / f"seed-{seed}"
            own = checkpoints_of(scaled, seeded, normalized, folder, code)
            title = f"{name} scale {scaled.dropout_scale:g} seed {seed}"
            data = read_training_data(normalized, seeded)
            trainings.append(Training(title, scaled, seeded, data, own, progress))
            kept.append(own)
        points.append(_run_point(scaled, trainings, study))
    result = Collapse(points=points, learned=study.learned, epochs=study.epochs)
    write_json(summary, result.model_dump())
    for own in kept:
        own.clear()


def scaled_architectures(architecture: Architecture, study: Study) -> list[Architecture]:
    """Return the network with each scale of the study that leaves all dropout rates below 1."""
    return [
        architecture.model_copy(update={"dropout_scale": scale})
        for scale in sorted(study.scales)
        if may_scale(architecture, scale)
    ]


def _run_point(architecture: Architecture, trainings: Sequence[Training], study: Study) -> Point:
    scale = architecture.dropout_scale
    runs = []
    for training in trainings:
        runs.append(_run_trial(training, _measure_signal(training, study), study))
        keras.backend.clear_session()  # else the graphs of all trainings stay in memory
    return Point(
        scale=scale,
        keep_share=_rounded(math.prod(1 - scale * rate for rate in dropout_rates(architecture))),
        learned=sum(run.epochs_to_learn is not None for run in runs),
        runs=runs,
        signal={
            place: _rounded(statistics.median(run.signal[place] for run in runs))
            for place in runs[0].signal
        },
    )


def _measure_signal(training: Training, study: Study) -> Signal:
    recipe, subset = training.recipe, training.data.training
    rows = subset.rows[: study.signal_images]
    images, labels = subset.images[rows], subset.labels[rows]
    network = build_network(training.architecture, "float32", recipe.seed, SixteenBitDropout)
    signal = signal_shares(network, images, study.masks)
    backward = gradients(network, images, labels, recipe.batch_size, study.masks)
    return Signal(
        signal={place: _rounded(share) for place, share in signal.items()},
        gradient_norm={block: _rounded(each.norm) for block, each in backward.items()},
        agreement={block: _rounded(each.agreement) for block, each in backward.items()},
    )


def _run_trial(training: Training, signal: Signal, study: Study) -> Trial:
    data = training.data
    prior = prior_loss(*(subset.labels[subset.rows] for subset in (data.training, data.validation)))
    limit = study.learned * prior
    _, epochs = fit(
        training.title,
        training.architecture,
        training.recipe,
        data,
        training.kept,
        training.progress,
        is_enough=lambda epoch: epoch["val_loss"] < limit,
    )
    has_learned = epochs[-1]["val_loss"] < limit
    return Trial(
        **dict(signal),
        seed=training.recipe.seed,
        prior_loss=prior,
        loss=[round(epoch["val_loss"], 6) for epoch in epochs],
        accuracy=[round(epoch["val_accuracy"], 6) for epoch in epochs],
        epochs_to_learn=len(epochs) if has_learned else None,
    )


def _rounded(value: float) -> float:
    """Keep three significant digits: random masks limit the accuracy of the measurement."""
    return float(f"{value:.3g}")
