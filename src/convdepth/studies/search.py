"""The search `tune`: for settings with which a network does better on held-out images.

After the notebook's own settings, and those that the parameters give, Optuna's tree-structured
Parzen estimator proposes (Bergstra et al. 2011), and a trial that is worse than the median of the
others was at the same epoch ends early. The test set is not looked at.

What a trial proposes follows from the trials before it, and these from their bytes. So an
interrupted search is simply made again: each trial that had ended is read, and not trained.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from convdepth.config.architecture import Architecture, require_scale
from convdepth.config.params import find_architecture, read_params
from convdepth.config.recipe import Train
from convdepth.config.studies import Tuning, read_study_params
from convdepth.config.tuned_settings import Settings, apply
from convdepth.core.files import write_json
from convdepth.data.arrays import read_split
from convdepth.models.backend import configure, keras
from convdepth.studies.search_space import expressible, settings_of, suggest, suggest_value
from convdepth.training.data import held_out, read_training_data
from convdepth.training.loop import Epoch, Progress, ProgressMaker
from convdepth.training.train import checkpoints_of, fit

GRACE = 2
"""The first epoch after which a trial may be ended."""

RECORD = "finished.json"
"""What became of a trial, in a folder of its own, until the whole search has ended."""


@dataclass(frozen=True)
class Search:
    """What all trials of a search have in common."""

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
    """Tune the architecture ``name``; write all trials, and the best of them.

    Args:
        name: A key of ``architectures`` in the parameters.
        normalized: The folder of the normalized arrays.
        summary: The JSON file to write: ``trials`` in order, each with its settings, the held-out
            accuracy after each epoch, and whether it was ended early; ``notebook``, which is the
            first of them; and ``best``, with its number and settings.
        checkpoints: The folder for what an interrupted search goes on from.
        code: Digest of the code that trains; a trial of other code does not serve.
        params: The parameters.
        studies: Those of the studies.
        progress: Shows the trainings.

    Raises:
        ParameterError: A parameter is wrong, or there is no such architecture.
        DataError: The arrays are missing or damaged.
        TrainingError: The loss is not a finite number; nothing is written then.
        MachineError: A file cannot be written, or the memory is not enough.
    """
    parameters, tuning = read_params(params), read_study_params(studies).tuning
    architecture = find_architecture(name, parameters, params)
    key = f"{studies}: tuning.space.dropout_scale.high"
    require_scale(key, name, architecture, tuning.space.dropout_scale.high)
    _, labels = read_split(normalized, "train")
    recipe = parameters.train.model_copy(
        update={
            "epochs": tuning.epochs,
            "precision": tuning.precision,
            "validation_images": held_out(tuning.validation_share, len(labels)),
        }
    )
    configure(recipe.threads)
    search = Search(name, architecture, recipe, tuning, normalized, checkpoints, code, progress)
    result = _search(search)
    write_json(summary, result)
    shutil.rmtree(checkpoints, ignore_errors=True)
    best = result["best"]
    print(
        f"{name}: {best['accuracy']:.4f} of the held-out images with the settings of trial "
        f"{best['trial']}, {result['notebook']['accuracy']:.4f} with those it had",
        flush=True,
    )


def _search(search: Search) -> dict[str, Any]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    tuning = search.tuning
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(
            seed=search.recipe.seed, n_startup_trials=tuning.startup_trials
        ),
        pruner=optuna.pruners.MedianPruner(
            n_startup_trials=tuning.startup_trials, n_warmup_steps=GRACE
        ),
    )
    for settings in (settings_of(search.architecture, search.recipe), *tuning.first):
        study.enqueue_trial(expressible(settings, tuning.space))
    study.optimize(lambda trial: _try(search, trial), n_trials=tuning.trials)
    trials = [_describe(trial) for trial in study.trials]
    # Of equals the first: max takes it.
    finished = [each for each in trials if not each["ended_early"]]
    best = max(finished, key=lambda each: float(each["accuracy"]))
    return {"trials": trials, "best": best, "notebook": trials[0]}


def _try(search: Search, trial: optuna.trial.Trial) -> float:
    """Train with what is proposed, and tell the search of each epoch."""
    space = search.tuning.space
    if trial.number == 0:  # the network as it is; the space may lack some of its settings
        settings = settings_of(search.architecture, search.recipe)
        for key in expressible(settings, space):
            suggest_value(trial, space, key)
    else:
        settings = suggest(trial, space)
    accuracies = _train(search, trial, settings)
    trial.set_user_attr("settings", settings.model_dump())
    trial.set_user_attr("accuracies", accuracies)
    if len(accuracies) < search.tuning.epochs:
        raise optuna.TrialPruned
    return accuracies[-1]


def _train(search: Search, trial: optuna.trial.Trial, settings: Settings) -> list[float]:
    """Train a trial, or read what became of it before the search was interrupted."""
    architecture, recipe = apply(settings, search.architecture, search.recipe)
    own = search.folder / f"trial-{trial.number}"
    kept = checkpoints_of(architecture, recipe, search.normalized, own, search.code)
    if (known := _read(own / RECORD, kept.fingerprint)) is not None:
        for number, accuracy in enumerate(known, start=1):
            trial.report(accuracy, number)
        return known
    # Whether a trial ends early depends on all of its epochs, so none is taken from before.
    kept.clear()
    title = f"{search.name} trial {trial.number}"
    print(f"{title}  {json.dumps(settings.model_dump())}", flush=True)
    data = read_training_data(search.normalized, recipe)
    is_hopeless = _pruning(trial, recipe.epochs)
    _, epochs = fit(title, architecture, recipe, data, kept, search.progress, is_hopeless)
    keras.backend.clear_session()  # else the graphs of all trials stay in memory
    accuracies = [round(epoch["val_accuracy"], 6) for epoch in epochs]
    write_json(own / RECORD, {"fingerprint": kept.fingerprint, "accuracies": accuracies})
    kept.clear()
    return accuracies


def _pruning(trial: optuna.trial.Trial, epochs: int) -> Callable[[Epoch], bool]:
    def is_hopeless(epoch: Epoch) -> bool:
        number = int(epoch["epoch"])
        trial.report(round(float(epoch["val_accuracy"]), 6), number)
        return number < epochs and trial.should_prune()

    return is_hopeless


def _read(path: Path, fingerprint: Mapping[str, Any]) -> list[float] | None:
    """Read the accuracies of a trial that had ended, if it was the same one."""
    try:
        record = json.loads(path.read_bytes())
        is_same = record["fingerprint"] == fingerprint
        return [float(each) for each in record["accuracies"]] if is_same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _describe(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    accuracies = trial.user_attrs["accuracies"]
    return {
        "trial": trial.number,
        "settings": trial.user_attrs["settings"],
        "accuracies": accuracies,
        "accuracy": accuracies[-1],
        "ended_early": trial.state == optuna.trial.TrialState.PRUNED,
    }
