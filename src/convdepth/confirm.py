"""The stage `confirm`: train the tuned networks with several seeds, and look at the test set.

Their settings stand in the studies' parameters, and were chosen by held-out training images. These
are trained on, too, now that nothing is left to choose. The seeds are those of the replicates, so
that the same seed with and without the settings can be set side by side. A network of which nothing
has changed since it was last trained here is not trained again because of another one.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from convdepth.architecture import Architecture
from convdepth.checkpoints import Checkpoints
from convdepth.dropout_rates import require_scale
from convdepth.errors import DataError, ParameterError
from convdepth.files import write_csv, write_json
from convdepth.fingerprint import describe_training, source_files
from convdepth.images import array_paths, read_split
from convdepth.numeric_class import describe_numeric_class
from convdepth.params import Params, Train, find_architecture, read_params
from convdepth.replicates import Run, read_answers, summarize, tabulate_answers
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


@dataclass(frozen=True)
class Confirmed:
    """What came out for a network, and the checkpoints of what was trained for it."""

    entry: dict[str, Any]
    answers: pd.DataFrame
    checkpoints: Sequence[Checkpoints] = ()


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
        tuned: The folder to write: ``summary.json`` with ``networks``, for each its settings, its
            precision, what it costs, the fingerprint of all that this depends on, and all of
            `replicates.summarize`; and for each ``<name>.csv``, see `replicates.tabulate_answers`.
            What it holds with the same fingerprint is taken over.
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
    found = {plan.name: _confirm(plan, normalized, tuned, checkpoints) for plan in plans}
    for name, each in found.items():
        write_csv(tuned / f"{name}.csv", each.answers)
        print(_tell(name, each.entry), flush=True)
    write_json(tuned / SUMMARY, {"networks": {name: each.entry for name, each in found.items()}})
    for path in tuned.glob("*.csv"):
        if path.stem not in found:
            path.unlink()
    for each in found.values():
        for kept in each.checkpoints:
            kept.clear()


def _plan(parameters: Params, study: StudyParams, params: Path, studies: Path) -> list[Plan]:
    tuned, seed = study.tuned, parameters.train.seed
    common = {"epochs": tuned.epochs, "precision": tuned.precision, "validation_images": 0}
    plans = []
    for name, settings in tuned.settings.items():
        if name not in parameters.architectures:
            raise ParameterError(
                f"{studies}: tuned.settings.{name}: expected a network of {params}, which has "
                f"{', '.join(parameters.architectures)}. Remove the entry, or name one of these."
            )
        architecture = find_architecture(name, parameters, params)
        key = f"{studies}: tuned.settings.{name}.dropout_scale"
        require_scale(key, name, architecture, settings.dropout_scale)
        recipe = parameters.train.model_copy(update=common)
        changed = apply(settings, architecture, recipe)
        plans.append(Plan(name, settings, *changed, range(seed, seed + study.replicates.seeds)))
    return plans


def _confirm(plan: Plan, normalized: Path, tuned: Path, folder: Path) -> Confirmed:
    fingerprint = _digest(plan, normalized)
    if former := _recall(plan.name, fingerprint, tuned):
        print(f"{plan.name} tuned: nothing has changed, so what was trained before stays")
        return former
    title, own = f"{plan.name} tuned", folder / plan.name
    trained = list(train_seeds(title, plan.architecture, plan.recipe, plan.seeds, normalized, own))
    runs = [run for run, _ in trained]
    entry = {"fingerprint": fingerprint, **_describe(plan, runs, normalized)}
    return Confirmed(entry, tabulate_answers(runs), [kept for _, kept in trained])


def _digest(plan: Plan, normalized: Path) -> str:
    """Digest all that the results of a network depend on, the code of this stage included."""
    numeric_class = describe_numeric_class(plan.recipe.threads, plan.recipe.precision)
    code = source_files(Path(__file__))
    whole = [
        describe_training(
            plan.architecture, plan.recipe, array_paths(normalized), code, numeric_class
        ),
        plan.settings.model_dump(),
        list(plan.seeds),
    ]
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def _recall(name: str, fingerprint: str, tuned: Path) -> Confirmed | None:
    """Read what the stage wrote before of a network, if it is whole and of this fingerprint."""
    try:
        entry = json.loads((tuned / SUMMARY).read_bytes())["networks"][name]
        answers = read_answers(tuned / f"{name}.csv")
        is_same = entry["fingerprint"] == fingerprint and entry["answers"] == _hash(answers)
    except (OSError, ValueError, KeyError, TypeError, DataError):
        return None
    return Confirmed(entry, answers) if is_same else None


def _hash(answers: pd.DataFrame) -> str:
    return hashlib.sha256(answers.to_csv(index=False).encode()).hexdigest()


def _describe(plan: Plan, runs: list[Run], normalized: Path) -> dict[str, Any]:
    _, labels = read_split(normalized, "train")
    return {
        "settings": plan.settings.model_dump(),
        "precision": plan.recipe.precision,
        "answers": _hash(tabulate_answers(runs)),
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
