"""The command `tune`: search for settings with a higher accuracy on held-out images.

After the notebook's own settings and the settings given in the parameters, Optuna's
tree-structured Parzen estimator (Bergstra et al. 2011) proposes. A trial below the median of the
others at the same epoch ends early. The test set is never read.

The proposals depend only on the earlier trials. An interrupted search therefore starts over, and
reads the result of each finished trial instead of training it again.
"""

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from convdepth.config.architecture import Architecture, require_scale
from convdepth.config.recipe import Train, read_training
from convdepth.config.studies import Range, Space, Tuning, read_study_params
from convdepth.config.tuned_settings import AUGMENTATION, RECIPE, Settings, apply
from convdepth.core.files import write_json
from convdepth.data.arrays import read_split
from convdepth.models.backend import configure, keras
from convdepth.training.data import held_out, read_training_data
from convdepth.training.loop import Epoch, Progress, ProgressMaker
from convdepth.training.train import checkpoints_of, fit

GRACE = 2
"""The first epoch after which a trial may end early."""


@dataclass(frozen=True)
class Search:
    """The common part of all trials."""

    name: str
    architecture: Architecture
    recipe: Train
    tuning: Tuning
    normalized: Path
    folder: Path
    code: str
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
    """Tune the network ``name``; write all trials, and which one is best."""
    architecture, recipe = read_training(name, params)
    tuning = read_study_params(studies).tuning
    key = f"{studies}: tuning.space.dropout_scale.high"
    require_scale(key, name, architecture, tuning.space.dropout_scale.high)
    _, labels = read_split(normalized, "train")
    held = held_out(tuning.validation_share, len(labels))
    recipe = recipe.with_precision(tuning.precision).model_copy(
        update={"epochs": tuning.epochs, "validation_images": held}
    )
    configure(recipe.threads, portable=recipe.portable)
    search = Search(name, architecture, recipe, tuning, normalized, checkpoints, code, progress)
    trials = _search(search)
    finished = [each for each in trials if not each["ended_early"]]
    best, notebook = max(finished, key=lambda each: float(each["accuracy"])), trials[0]
    write_json(summary, {"trials": trials, "best": best, "notebook": notebook})
    shutil.rmtree(checkpoints, ignore_errors=True)
    print(
        f"{name}: held-out accuracy {best['accuracy']:.4f} in trial {best['trial']}, "
        f"{notebook['accuracy']:.4f} with the notebook's settings",
        flush=True,
    )


def _search(search: Search) -> list[dict[str, Any]]:
    tuning, trials = search.tuning, []

    def maximized(trial: optuna.trial.Trial) -> float:
        trials.append(_try(search, trial))
        if trials[-1]["ended_early"]:
            raise optuna.TrialPruned
        return float(trials[-1]["accuracy"])

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    startup = tuning.startup_trials
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=search.recipe.seed, n_startup_trials=startup),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=startup, n_warmup_steps=GRACE),
    )
    for settings in (settings_of(search.architecture, search.recipe), *tuning.first):
        study.enqueue_trial(expressible(settings, tuning.space))
    study.optimize(maximized, n_trials=tuning.trials)
    return trials


def _try(search: Search, trial: optuna.trial.Trial) -> dict[str, Any]:
    space = search.tuning.space
    if trial.number == 0:  # the notebook's settings; the space may lack some of them
        settings = settings_of(search.architecture, search.recipe)
        suggest(trial, space, expressible(settings, space))
    else:
        settings = Settings(**suggest(trial, space, Space.model_fields))
    accuracies = _train(search, trial, settings)
    return {
        "trial": trial.number,
        "settings": settings.model_dump(),
        "accuracies": accuracies,
        "accuracy": accuracies[-1],
        "ended_early": len(accuracies) < search.tuning.epochs,
    }


def _train(search: Search, trial: optuna.trial.Trial, settings: Settings) -> list[float]:
    architecture, recipe = apply(settings, search.architecture, search.recipe)
    own = search.folder / f"trial-{trial.number}"
    kept = checkpoints_of(architecture, recipe, search.normalized, own, search.code)
    finished = own / f"{kept.folder.name}.json"  # named by the digest of all that determines it
    if finished.is_file():
        known = [float(each) for each in json.loads(finished.read_bytes())["accuracies"]]
        for number, accuracy in enumerate(known, start=1):
            trial.report(accuracy, number)
        return known

    def is_hopeless(epoch: Epoch) -> bool:
        number = int(epoch["epoch"])
        trial.report(round(epoch["val_accuracy"], 6), number)
        return number < recipe.epochs and trial.should_prune()

    # Whether a trial ends early depends on all of its epochs, so no checkpoint is reused.
    kept.clear()
    title = f"{search.name} trial {trial.number}"
    print(f"{title}  {json.dumps(settings.model_dump())}", flush=True)
    data = read_training_data(search.normalized, recipe)
    _, epochs = fit(title, architecture, recipe, data, kept, search.progress, is_hopeless)
    keras.backend.clear_session()  # else the graphs of all trials stay in memory
    accuracies = [round(epoch["val_accuracy"], 6) for epoch in epochs]
    write_json(finished, {"accuracies": accuracies})
    kept.clear()
    return accuracies


def suggest(trial: optuna.trial.Trial, space: Space, keys: Iterable[str]) -> dict[str, Any]:
    """Let a trial choose values of some settings; numbers have four significant digits."""
    settings: dict[str, Any] = {}
    for key in keys:
        choices = getattr(space, key)
        if isinstance(choices, Range):
            value = trial.suggest_float(key, choices.low, choices.high, log=choices.log)
            settings[key] = float(f"{value:.4g}")
        elif len(choices) == 1:  # draws nothing, so a new setting changes no draw of the others
            settings[key] = choices[0]
        else:
            settings[key] = trial.suggest_categorical(key, choices)
    return settings


def expressible(settings: Settings, space: Space) -> dict[str, Any]:
    """Return the settings that a space contains, by key."""
    return {key: value for key, value in settings if value in getattr(space, key)}


def settings_of(architecture: Architecture, recipe: Train) -> Settings:
    """Return the current settings of a network; `batch_normalization` is None if blocks differ."""
    normalized = {block.batch_normalization for block in architecture.blocks.values()}
    return Settings(
        **{key: getattr(recipe, key) for key in RECIPE},
        **{key: getattr(recipe.augmentation, key) for key in AUGMENTATION},
        dropout_scale=architecture.dropout_scale,
        batch_normalization=normalized.pop() if len(normalized) == 1 else None,
    )
