"""The stage `confirm`: train the tuned networks with several seeds, and look at the test set once.

Their settings stand in the studies' parameters, and were chosen by held-out training images. These
are trained on, too, now that nothing is left to choose. The seeds are those of the replicates, so
that the same seed with and without the settings can be set side by side.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convdepth.architecture import Architecture
from convdepth.checkpoints import Checkpoints
from convdepth.dropout_rates import require_scale
from convdepth.files import write_csv, write_json
from convdepth.images import read_split
from convdepth.params import Params, Train, find_architecture, read_params
from convdepth.replicates import Run, summarize, tabulate_answers
from convdepth.runtime import configure
from convdepth.seeds import train_seeds
from convdepth.study_params import Settings, StudyParams, read_study_params
from convdepth.tuned import SUMMARY
from convdepth.tuning import apply


@dataclass(frozen=True)
class Plan:
    """What is trained, and how."""

    name: str
    settings: Settings
    architecture: Architecture
    recipe: Train
    seeds: range


def main(
    normalized: Path,
    tuned: Path,
    checkpoints: Path,
    params: Path = Path("params.yaml"),
    studies: Path = Path("studies/params.yaml"),
) -> None:
    """Train each network that has settings; write what comes out.

    Args:
        normalized: The folder of the normalized arrays.
        tuned: The folder to write: ``summary.json`` with ``networks``, for each its settings, what
            it costs, and all of `replicates.summarize`; and for each ``<name>.csv``, see
            `replicates.tabulate_answers`.
        checkpoints: The folder for what an interrupted stage goes on from.
        params: The parameters.
        studies: Those of the studies.

    Raises:
        ParameterError: A parameter is wrong, or there are settings for a network that is none.
        DataError: The arrays are missing or damaged.
        TrainingError: The loss is not a finite number; nothing is written then.
        MachineError: A file cannot be written, or the memory is not enough.
    """
    parameters = read_params(params)
    plans = _plan(parameters, read_study_params(studies), params, studies)
    configure(parameters.train.threads)
    trained = [(plan, _train(plan, normalized, checkpoints)) for plan in plans]
    networks = {}
    for plan, each in trained:
        runs = [run for run, _ in each]
        networks[plan.name] = _describe(plan, runs, normalized)
        write_csv(tuned / f"{plan.name}.csv", tabulate_answers(runs))
        print(_tell(plan.name, networks[plan.name]), flush=True)
    write_json(tuned / SUMMARY, {"networks": networks})
    for _, each in trained:
        for _, kept in each:
            kept.clear()


def _plan(parameters: Params, study: StudyParams, params: Path, studies: Path) -> list[Plan]:
    tuned, seed = study.tuned, parameters.train.seed
    common = {"epochs": tuned.epochs, "precision": tuned.precision, "validation_images": 0}
    plans = []
    for name, settings in tuned.settings.items():
        architecture = find_architecture(name, parameters, params)
        key = f"{studies}: tuned.settings.{name}.dropout_scale"
        require_scale(key, name, architecture, settings.dropout_scale)
        recipe = parameters.train.model_copy(update=common)
        changed = apply(settings, architecture, recipe)
        plans.append(Plan(name, settings, *changed, range(seed, seed + study.replicates.seeds)))
    return plans


def _train(plan: Plan, normalized: Path, folder: Path) -> list[tuple[Run, Checkpoints]]:
    title, own = f"{plan.name} tuned", folder / plan.name
    return list(train_seeds(title, plan.architecture, plan.recipe, plan.seeds, normalized, own))


def _describe(plan: Plan, runs: list[Run], normalized: Path) -> dict[str, Any]:
    _, labels = read_split(normalized, "train")
    return {
        "settings": plan.settings.model_dump(),
        "cost": {
            "parameters": plan.architecture.num_parameters,
            "flop": plan.architecture.flop,
            "images": plan.recipe.epochs * len(labels),
        },
        **summarize(runs),
    }


def _tell(name: str, found: dict[str, Any]) -> str:
    accuracy = found["accuracy"]
    return (
        f"{name} tuned, {found['count']} seeds: test accuracy {accuracy['mean']:.4f} "
        f"({accuracy['low']:.4f} to {accuracy['high']:.4f})"
    )
