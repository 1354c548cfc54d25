"""The stage `tuned`: summarize the trainings of each tuned network."""

from collections.abc import Collection
from pathlib import Path

import pandas as pd

from convdepth.config.studies import read_study_params
from convdepth.config.tuned_settings import read_tuned
from convdepth.core.errors import DataError
from convdepth.core.files import write_csv, write_json
from convdepth.data.arrays import read_split
from convdepth.evaluation.result_file import read_result
from convdepth.evaluation.results import (
    STUDIES,
    Cost,
    TunedNetwork,
    TunedNetworks,
    read_seed_answers,
)
from convdepth.studies.runs import describe, read_run, summarize, tabulate_answers

SUMMARY = "summary.json"
"""`TunedNetworks`, in the folder of the tuned networks."""


def main(
    normalized: Path,
    seeds: Path,
    tuned: Path,
    params: Path = Path("params.yaml"),
    studies: Path = Path("studies/params.yaml"),
) -> None:
    """Summarize the tuned networks; write ``summary.json`` and ``<name>.csv``, all answers.

    The folder `seeds` holds the trainings: ``<name>-tuned/<seed>.*``, see `runs.read_run`.

    Raises:
        ParameterError: A parameter is wrong, or there are settings for an unknown network.
        DataError: A file is missing or damaged.
        MachineError: A file cannot be written.
    """
    study = read_study_params(studies).tuned
    _, training_labels = read_split(normalized, "train")
    _, labels = read_split(normalized, "test")
    networks = {}
    for name in study.settings:
        settings, architecture, recipe = read_tuned(name, params, studies)
        runs = [read_run(seeds / f"{name}-tuned", seed, labels) for seed in study.seeds]
        write_csv(tuned / f"{name}.csv", tabulate_answers(runs))
        networks[name] = TunedNetwork(
            **dict(summarize(runs)),
            settings=settings.model_dump(),
            precision=recipe.precision,
            cost=Cost(
                parameters=architecture.num_parameters,
                flop=architecture.flop,
                images=recipe.epochs * len(training_labels),
            ),
        )
        print(f"{name} tuned, {describe(networks[name])}", flush=True)
    write_json(tuned / SUMMARY, TunedNetworks(networks=networks).model_dump())


def read_tuned_answers(folder: Path, names: Collection[str]) -> dict[str, pd.DataFrame]:
    """Read the answers of the tuned networks, in the order of all `names`.

    Raises:
        DataError: A file is missing or damaged, or has an unknown network.
    """
    path = folder / SUMMARY
    found = read_result(path, TunedNetworks, STUDIES).networks
    if unknown := sorted(set(found) - set(names)):
        raise DataError(
            f"{path}: networks: expected networks of {', '.join(names)}, got "
            f"{', '.join(unknown)}. Run `{STUDIES}`, which writes it."
        )
    return {name: read_seed_answers(folder / f"{name}.csv") for name in names if name in found}
