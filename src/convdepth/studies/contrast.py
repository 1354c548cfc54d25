"""The stage `contrast`: which networks differ, when each was trained with several seeds.

Another seed could have turned a difference of single trainings around, so what counts is the mean
over the seeds: its interval and its test are over seeds and images. The exact test of the first
seed's answers stands beside it: that is what one training of each would have said. The tuned
networks are compared in the same way, with each other, and each with what it was before.
"""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from convdepth.config.params import read_params
from convdepth.core.errors import DataError
from convdepth.core.files import write_json
from convdepth.evaluation.bootstrap import mean_interval
from convdepth.evaluation.significance import (
    LEVEL,
    NO_EVIDENCE,
    Paired,
    holm,
    mean_p,
    pair,
    rounded_p,
)
from convdepth.studies.replicates import read_answers, rightness
from convdepth.studies.tuned import read_tuned_answers


def main(replicates: Path, tuned: Path, summary: Path, params: Path = Path("params.yaml")) -> None:
    """Compare each network with each other one; write and print what was found.

    Args:
        replicates: The folder of what each network answered, from the stage `replicates`.
        tuned: The folder of what each tuned network answered, from the stage `tuned`.
        summary: The JSON file to write: what `contrast` gives; ``tuned``, the same of the tuned
            networks; and ``gains``, see `gains`.
        params: The parameters, which say which networks there are.

    Raises:
        ParameterError: A parameter is wrong.
        DataError: What a network answered is missing or damaged, or the seeds or the images of two
            networks differ.
        MachineError: The file cannot be written.
    """
    names = read_params(params).architectures
    answers = {name: read_answers(replicates / f"{name}.csv") for name in names}
    settled = read_tuned_answers(tuned, names)
    result = contrast(answers) | {"tuned": contrast(settled), "gains": gains(answers, settled)}
    write_json(summary, result)
    _tell("", result["pairs"], result["seeds"])
    _tell("tuned ", result["tuned"]["pairs"], result["seeds"])
    _tell("tuning of ", result["gains"]["networks"], result["seeds"])


def _tell(what: str, entries: Mapping[str, Mapping[str, Any]], seeds: int) -> None:
    for name, entry in entries.items():
        print(
            f"{what}{name}: {entry['difference']:+.4f} ({entry['low']:+.4f} to "
            f"{entry['high']:+.4f}) over {seeds} seeds: {entry['verdict']}",
            flush=True,
        )


def contrast(answers: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """Compare each network with each other one.

    Args:
        answers: Of each network, from `replicates.read_answers`; there may be none.

    Returns:
        ``seeds`` (how many) and ``pairs``: for each, called such as ``cnn1 / cnn3``, the mean
        difference of accuracy (the second less the first, -1 to 1), its 95 % interval ``low`` to
        ``high`` over seeds and images, its standard deviation over the seeds, ``p`` of
        `significance.mean_p`, ``corrected_p`` for several pairs (Holm), and the verdict, which goes
        by that; deviation and both p are None for one seed. And the ``first_seed`` by itself:
        images that only one of the two has right, McNemar's p, and p corrected for several pairs.

    Raises:
        DataError: Two networks have other seeds or other images.
    """
    _require_alike(answers)
    pairs = list(itertools.combinations(answers, 2))
    compared = _judge(
        {
            f"{first} / {second}": (first, second, _more(answers[first], answers[second]))
            for first, second in pairs
        }
    )
    tests = [_first_seed(answers[first], answers[second]) for first, second in pairs]
    corrected = holm([test.p for test in tests])
    first_seeds = [_describe(test, p) for test, p in zip(tests, corrected, strict=True)]
    return {
        "seeds": max((len(table.columns) - 1 for table in answers.values()), default=0),
        "pairs": {
            name: entry | {"first_seed": first_seed}
            for (name, entry), first_seed in zip(compared.items(), first_seeds, strict=True)
        },
    }


def gains(before: Mapping[str, pd.DataFrame], after: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """Compare each tuned network with what it was before, seed by seed.

    Args:
        before: Of each network, from `replicates.read_answers`.
        after: Of each network that was tuned.

    Returns:
        ``networks``: for each that was tuned the difference of accuracy (tuned less before, -1 to
        1), and all but ``first_seed`` as `contrast` gives it.

    Raises:
        DataError: Other seeds or other images were answered after than before.
    """
    for name in after:
        _require_alike({name: before[name], f"{name} tuned": after[name]})
    return {
        "networks": _judge(
            {name: ("the recipe", "tuned", _more(before[name], after[name])) for name in after}
        )
    }


def _require_alike(answers: Mapping[str, pd.DataFrame]) -> None:
    for (first, expected), (name, table) in itertools.pairwise(answers.items()):
        if list(table.columns) != list(expected.columns):
            raise DataError(
                f"{first} has {', '.join(expected.columns[1:])}, and {name} has "
                f"{', '.join(table.columns[1:])}: expected the same seeds. `dvc repro "
                "studies/dvc.yaml` trains what is missing."
            )
        if not table["label"].equals(expected["label"]):
            raise DataError(
                f"{first} and {name} answered different images, so they cannot be compared. `dvc "
                "repro studies/dvc.yaml` writes their answers again."
            )


def _more(first: pd.DataFrame, second: pd.DataFrame) -> NDArray[np.int8]:
    """Say what the second has right more than the first: ``(seeds, images)``, -1 to 1."""
    return rightness(second).astype(np.int8) - rightness(first)


def _judge(pairs: Mapping[str, tuple[str, str, NDArray[np.int8]]]) -> dict[str, dict[str, Any]]:
    """Describe each pair, of its names and what the second has right more; p counts them all."""
    p_values = [mean_p(differences) for _, _, differences in pairs.values()]
    corrected = holm([1.0 if p is None else p for p in p_values])
    judged = {}
    for (name, entry), p, corrected_p in zip(pairs.items(), p_values, corrected, strict=True):
        first, second, differences = entry
        winner = second if differences.mean() > 0 else first
        judged[name] = {
            **_over_seeds(differences),
            "p": None if p is None else rounded_p(p),
            "corrected_p": None if p is None else rounded_p(corrected_p),
            "verdict": f"{winner} is better" if corrected_p < LEVEL else NO_EVIDENCE,
        }
    return judged


def _over_seeds(differences: NDArray[np.int8]) -> dict[str, Any]:
    by_seed = differences.mean(axis=1)
    low, high = mean_interval(differences)
    return {
        "difference": round(float(by_seed.mean()), 6),
        "low": round(low, 6),
        "high": round(high, 6),
        "standard_deviation": round(float(by_seed.std(ddof=1)), 6) if len(by_seed) > 1 else None,
    }


def _first_seed(first: pd.DataFrame, second: pd.DataFrame) -> Paired:
    tables = (
        pd.DataFrame({"index": table.index, "label": table["label"], "predicted": table.iloc[:, 1]})
        for table in (first, second)
    )
    return pair(*tables)


def _describe(test: Paired, corrected: float) -> dict[str, Any]:
    return {
        "difference": round(test.difference, 6),
        "only_first": test.only_first,
        "only_second": test.only_second,
        "p": rounded_p(test.p),
        "corrected_p": rounded_p(corrected),
    }
