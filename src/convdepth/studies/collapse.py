"""The stage `collapse`: how much dropout keeps a network from learning, and why.

All dropout rates of a network are scaled from none to more than the recipe's. For each scale and
seed, the signal and the gradients of a fresh network are measured. The network is then trained
until the held-out loss is below the class-prior loss, or the epochs are over.
"""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from convdepth.config.architecture import Architecture, dropout_rates, may_scale
from convdepth.config.collapse import Collapse as Study
from convdepth.config.recipe import Train, read_section, read_training
from convdepth.core.files import write_json
from convdepth.data.arrays import read_split
from convdepth.evaluation.class_prior import prior_loss
from convdepth.evaluation.collapse_trials import Collapse, Point, Trial
from convdepth.models.backend import configure, keras
from convdepth.models.build import build_network
from convdepth.models.layers import TRAINED
from convdepth.studies.signal_flow import gradients, signal_shares
from convdepth.training.checkpoints import Checkpoints
from convdepth.training.data import TrainingData, held_out, read_training_data
from convdepth.training.loop import Epoch, Progress, ProgressMaker
from convdepth.training.train import checkpoints_of, fit


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
    """Train the network ``name`` with scaled dropouts; write `Collapse`."""
    architecture, recipe = read_training(name, params)
    study = read_section(studies, ("collapse",), Study)
    configure(recipe.threads, portable=recipe.portable)
    _, labels = read_split(normalized, "train")
    images = held_out(study.validation_share, len(labels))
    recipe = recipe.model_copy(update={"epochs": study.epochs, "validation_images": images})
    points, used = [], []
    for scaled in scaled_architectures(architecture, study):
        scale, runs = f"{scaled.dropout_scale:g}", []
        for seed in range(recipe.seed, recipe.seed + study.seeds):
            seeded = recipe.model_copy(update={"seed": seed})
            folder = checkpoints / f"scale-{scale}" / f"seed-{seed}"
            kept = checkpoints_of(scaled, seeded, normalized, folder, code)
            data = read_training_data(normalized, seeded)
            title = f"{name} scale {scale} seed {seed}"
            runs.append(_run_trial(title, scaled, seeded, data, kept, progress, study))
            used.append(kept)
            keras.backend.clear_session()  # else the graphs of all trainings stay in memory
        points.append(_summarize(scaled, runs))
    result = Collapse(points=points, learned=study.learned, epochs=study.epochs)
    write_json(summary, result.model_dump())
    for kept in used:
        kept.clear()


def scaled_architectures(architecture: Architecture, study: Study) -> list[Architecture]:
    """Return the network with each scale of the study that leaves all dropout rates below 1."""
    return [
        architecture.model_copy(update={"dropout_scale": scale})
        for scale in sorted(study.scales)
        if may_scale(architecture, scale)
    ]


def _run_trial(
    title: str,
    architecture: Architecture,
    recipe: Train,
    data: TrainingData,
    kept: Checkpoints,
    progress: ProgressMaker,
    study: Study,
) -> Trial:
    rows = data.training.rows[: study.signal_images]
    images, labels = data.training.images[rows], data.training.labels[rows]
    fresh = build_network(architecture, "float32", recipe.seed, TRAINED)
    signal = signal_shares(fresh, images, study.masks)
    backward = gradients(fresh, images, labels, recipe.batch_size, study.masks)
    prior = prior_loss(*(subset.labels[subset.rows] for subset in data))
    limit = study.learned * prior

    def has_learned(epoch: Epoch) -> bool:
        return epoch["val_loss"] < limit

    _, epochs = fit(title, architecture, recipe, data, kept, progress, has_learned)
    return Trial(
        seed=recipe.seed,
        signal={place: _rounded(share) for place, share in signal.items()},
        gradient_norm={block: _rounded(each.norm) for block, each in backward.items()},
        agreement={block: _rounded(each.agreement) for block, each in backward.items()},
        prior_loss=prior,
        loss=[round(epoch["val_loss"], 6) for epoch in epochs],
        accuracy=[round(epoch["val_accuracy"], 6) for epoch in epochs],
        epochs_to_learn=len(epochs) if has_learned(epochs[-1]) else None,
    )


def _summarize(architecture: Architecture, runs: Sequence[Trial]) -> Point:
    scale = architecture.dropout_scale
    return Point(
        scale=scale,
        keep_share=_rounded(math.prod(1 - scale * rate for rate in dropout_rates(architecture))),
        learned=sum(run.epochs_to_learn is not None for run in runs),
        runs=list(runs),
        signal={
            place: _rounded(statistics.median(run.signal[place] for run in runs))
            for place in runs[0].signal
        },
    )


def _rounded(value: float) -> float:
    """Keep three significant digits: random masks limit the accuracy of the measurement."""
    return float(f"{value:.3g}")
