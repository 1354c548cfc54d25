"""The stage `replicates`: trainings of one network that differ only in their seed, together."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from convdepth.config.params import read_architecture, read_params
from convdepth.config.studies import read_study_params
from convdepth.core.errors import DataError
from convdepth.core.files import write_csv, write_json
from convdepth.data.arrays import read_split
from convdepth.evaluation.bootstrap import mean_interval
from convdepth.evaluation.results import read_history, read_predictions
from convdepth.studies.runs import AGAIN, ANSWERS, CURVES, Run, describe, read_run


def main(
    name: str,
    normalized: Path,
    histories: Path,
    predictions: Path,
    seeds: Path,
    summary: Path,
    answers: Path,
    params: Path = Path("params.yaml"),
    studies: Path = Path("studies/params.yaml"),
) -> None:
    """Put the trainings of the architecture ``name`` together; write and print what they say.

    Args:
        name: A key of ``architectures`` in the parameters.
        normalized: The folder of the normalized arrays.
        histories: The folder of the pipeline's histories, ``<name>.csv``.
        predictions: The folder of the pipeline's predictions, ``<name>.csv``.
        seeds: The folder of the other trainings, see `runs.read_run`.
        summary: The JSON file to write, see `summarize`.
        answers: The CSV file to write, see `tabulate_answers`.
        params: The parameters.
        studies: Those of the studies.

    Raises:
        ParameterError: A parameter is wrong, or there is no such architecture.
        DataError: A file is missing or damaged, or has other test images.
        MachineError: A file cannot be written.
    """
    read_architecture(name, params)
    first = read_params(params).train.seed
    _, labels = read_split(normalized, "test")
    table = read_predictions(predictions, name, labels)
    own = Run(first, read_history(histories, name), table[list(ANSWERS)], describe(table))
    study = read_study_params(studies).replicates
    others = [read_run(seeds, seed, labels) for seed in study.seeds]
    result = summarize([own, *others])
    write_csv(answers, tabulate_answers([own, *others]))
    write_json(summary, result)
    print(f"{name}: {say(result)}", flush=True)


def say(result: Mapping[str, Any]) -> str:
    """Say in one line what several trainings found.

    Args:
        result: From `summarize`.
    """
    accuracy = result["accuracy"]
    return (
        f"{result['count']} seeds: test accuracy {accuracy['mean']:.4f} ({accuracy['low']:.4f} to "
        f"{accuracy['high']:.4f}); {result['collapsed']} of {result['count']} collapsed"
    )


def summarize(runs: Sequence[Run]) -> dict[str, Any]:
    """Put several trainings together; a training that learned nothing counts as well.

    Args:
        runs: All of one network, with different seeds, on the same test images.

    Returns:
        ``runs``, each with its seed, its scores and its curves; their ``count``, and how many
        ``collapsed`` or are ``near_chance``; mean and standard deviation (of the sample; None for
        one run) of ``accuracy`` (0 to 1) and ``loss`` (nats); and of the accuracy the 95 % interval
        of the mean over seeds and images.
    """
    answers = tabulate_answers(runs)
    statuses = [run.scores.status for run in runs]
    low, high = mean_interval(rightness(answers))
    accuracy = _spread([float(each.mean()) for each in rightness(answers)])
    return {
        "runs": [
            {"seed": run.seed, **run.scores.model_dump(), "curves": _curves(run)} for run in runs
        ],
        "count": len(runs),
        "collapsed": statuses.count("collapsed"),
        "near_chance": statuses.count("near chance"),
        "accuracy": {**accuracy, "low": round(low, 6), "high": round(high, 6)},
        "loss": _spread([run.scores.loss for run in runs]),
    }


def tabulate_answers(runs: Sequence[Run]) -> pd.DataFrame:
    """Set the answers of several trainings side by side.

    Args:
        runs: All of one network, on the same test images.

    Returns:
        One row per image: label, and for each run ``seed_<seed>``, its answer (0 to 9).
    """
    answers = {f"seed_{run.seed}": run.answers["predicted"].to_numpy() for run in runs}
    return pd.DataFrame({"label": runs[0].answers["label"].to_numpy(), **answers})


def read_answers(path: Path) -> pd.DataFrame:
    """Read what `tabulate_answers` gave.

    Args:
        path: The CSV file.

    Raises:
        DataError: The file is missing, or holds no such table.
    """
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}. {AGAIN}") from error
    wrong = [name for name in table.columns[1:] if not name.startswith("seed_")]
    numbers = all(kind.kind == "i" for kind in table.dtypes)
    if table.columns[0] != "label" or wrong or table.shape[1] == 1 or table.empty or not numbers:
        raise DataError(
            f"{path}: expected the columns label, seed_1, seed_2, ... of digits, got "
            f"{', '.join(table.columns)}. {AGAIN}"
        )
    return table


def rightness(answers: pd.DataFrame) -> NDArray[np.bool_]:
    """Tell which answers are right.

    Args:
        answers: From `read_answers`.

    Returns:
        ``(seeds, images)``, bool.
    """
    labels = answers["label"].to_numpy()
    return np.array([answers[name].to_numpy() == labels for name in answers.columns[1:]])


def _curves(run: Run) -> dict[str, list[float]]:
    return {name: [round(float(value), 6) for value in run.history[name]] for name in CURVES}


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    deviation = round(float(np.std(values, ddof=1)), 6) if len(values) > 1 else None
    return {"mean": round(float(np.mean(values)), 6), "standard_deviation": deviation}
