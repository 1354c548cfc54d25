"""The stage `tuned`: the trainings of each tuned network, together."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from convdepth.config.studies import read_study_params
from convdepth.config.tuned_settings import read_tuned
from convdepth.core.errors import DataError
from convdepth.core.files import write_csv, write_json
from convdepth.data.arrays import read_split
from convdepth.studies.replicates import read_answers, say, summarize, tabulate_answers
from convdepth.studies.runs import AGAIN, read_run

SUMMARY = "summary.json"
"""The file in the folder of the tuned networks that describes all of them."""

FOLDER = "{name}-tuned"
"""The folder of a network's tuned trainings, beside those by the recipe."""


class _Names(BaseModel):
    model_config = ConfigDict(extra="ignore")

    networks: dict[str, dict[str, object]]


def main(
    normalized: Path,
    seeds: Path,
    tuned: Path,
    params: Path = Path("params.yaml"),
    studies: Path = Path("studies/params.yaml"),
) -> None:
    """Put the trainings of each tuned network together; write and print what they say.

    Args:
        normalized: The folder of the normalized arrays.
        seeds: The folder of all trainings of the studies; those of a network in `FOLDER`.
        tuned: The folder to write: ``summary.json`` with ``networks``, for each its settings, its
            precision, its cost, and all of `replicates.summarize`; and for each ``<name>.csv``, see
            `replicates.tabulate_answers`.
        params: The parameters.
        studies: Those of the studies.

    Raises:
        ParameterError: A parameter is wrong, or there are settings for an unknown network.
        DataError: A file is missing or damaged.
        MachineError: A file cannot be written.
    """
    study = read_study_params(studies).tuned
    _, training_labels = read_split(normalized, "train")
    _, labels = read_split(normalized, "test")
    networks: dict[str, Any] = {}
    for name in study.settings:
        settings, architecture, recipe = read_tuned(name, params, studies)
        folder = seeds / FOLDER.format(name=name)
        runs = [read_run(folder, seed, labels) for seed in study.seeds]
        write_csv(tuned / f"{name}.csv", tabulate_answers(runs))
        networks[name] = {
            "settings": settings.model_dump(),
            "precision": recipe.precision,
            "cost": {
                "parameters": architecture.num_parameters,
                "flop": architecture.flop,
                "images": recipe.epochs * len(training_labels),
            },
            **summarize(runs),
        }
        print(f"{name} tuned, {say(networks[name])}", flush=True)
    write_json(tuned / SUMMARY, {"networks": networks})


def read_tuned_answers(folder: Path, names: Collection[str]) -> dict[str, pd.DataFrame]:
    """Read what the tuned networks answered.

    Args:
        folder: From the stage `tuned`.
        names: The networks that there are, in the order of the parameters.

    Returns:
        Of each network that was tuned, in that order, as from `replicates.read_answers`.

    Raises:
        DataError: A file is missing or damaged, or names an unknown network.
    """
    path = folder / SUMMARY
    try:
        found = _Names.model_validate_json(path.read_bytes()).networks
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}. {AGAIN}") from error
    except ValidationError as error:
        raise DataError(f"{path}: {error.errors()[0]['msg']}. {AGAIN}") from error
    if unknown := sorted(set(found) - set(names)):
        raise DataError(
            f"{path}: expected networks of {', '.join(names)}, got {', '.join(unknown)}. {AGAIN}"
        )
    return {name: read_answers(folder / f"{name}.csv") for name in names if name in found}
