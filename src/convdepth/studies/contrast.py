"""The stage `contrast`: which networks differ in accuracy, over several seeds.

The verdict follows the mean difference over seeds and images. McNemar's exact test of the first
seed's answers shows what one training of each network would have suggested.
"""

import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from convdepth.config.params import read_params
from convdepth.core.errors import DataError
from convdepth.core.files import write_json
from convdepth.evaluation.results import (
    STUDIES,
    AllContrasts,
    Contrasts,
    Difference,
    FirstSeed,
    Gains,
    Pair,
    read_seed_answers,
)
from convdepth.evaluation.significance import (
    LEVEL,
    NO_EVIDENCE,
    Paired,
    holm,
    mean_over_seeds,
    pair,
    rounded_p,
)
from convdepth.studies.aggregate_tuned import read_tuned_answers
from convdepth.studies.runs import rightness

Answers = Mapping[str, pd.DataFrame]
"""Of each network, from `runs.tabulate_answers`."""

Compared = tuple[str, str, NDArray[np.int8]]
"""The names of two networks, and what the second has right more: ``(seeds, images)``, -1 to 1."""


def main(replicates: Path, tuned: Path, summary: Path, params: Path = Path("params.yaml")) -> None:
    """Compare all networks by the recipe and tuned; write `AllContrasts`.

    `replicates` and `tuned` are the folders of the answers that the stages of that name wrote.

    Raises:
        ParameterError: A parameter is wrong.
        DataError: A file is missing or damaged, or two networks have other seeds or images.
        MachineError: The file cannot be written.
    """
    names = read_params(params).architectures
    before = {name: read_seed_answers(replicates / f"{name}.csv") for name in names}
    result = contrast_all(before, read_tuned_answers(tuned, names))
    write_json(summary, result.model_dump())
    groups: dict[str, Mapping[str, Difference]] = {
        "": result.pairs,
        "tuned ": result.tuned.pairs,
        "tuning of ": result.gains.networks,
    }
    for what, entries in groups.items():
        for name, entry in entries.items():
            print(
                f"{what}{name}: {entry.difference:+.4f} ({entry.low:+.4f} to {entry.high:+.4f}) "
                f"over {result.seeds} seeds: {entry.verdict}",
                flush=True,
            )


def contrast_all(before: Answers, after: Answers) -> AllContrasts:
    """Compare the networks by the recipe, the tuned networks, and each network with itself."""
    return AllContrasts(**dict(contrast(before)), tuned=contrast(after), gains=gains(before, after))


def contrast(answers: Answers) -> Contrasts:
    """Compare each network with each other network.

    Raises:
        DataError: Two networks have other seeds or other images.
    """
    _require_alike(answers)
    pairs = {
        f"{first} / {second}": (first, second, _more(answers[first], answers[second]))
        for first, second in itertools.combinations(answers, 2)
    }
    tests = [_first_seed(answers[first], answers[second]) for first, second, _ in pairs.values()]
    corrected = holm([test.p for test in tests])
    first_seeds = [
        FirstSeed(
            difference=round(test.difference, 6),
            only_first=test.only_first,
            only_second=test.only_second,
            p=rounded_p(test.p),
            corrected_p=rounded_p(corrected_p),
        )
        for test, corrected_p in zip(tests, corrected, strict=True)
    ]
    return Contrasts(
        seeds=max((len(table.columns) - 1 for table in answers.values()), default=0),
        pairs={
            name: Pair(**dict(entry), first_seed=first_seed)
            for (name, entry), first_seed in zip(_judge(pairs).items(), first_seeds, strict=True)
        },
    )


def gains(before: Answers, after: Answers) -> Gains:
    """Compare each tuned network with the same network by the recipe, seed by seed.

    Raises:
        DataError: A network has other seeds or other images after tuning.
    """
    for name in after:
        _require_alike({name: before[name], f"{name} tuned": after[name]})
    pairs = {name: ("the recipe", "tuned", _more(before[name], after[name])) for name in after}
    return Gains(networks=_judge(pairs))


def _require_alike(answers: Answers) -> None:
    for (first, expected), (name, table) in itertools.pairwise(answers.items()):
        if list(table.columns) != list(expected.columns):
            raise DataError(
                f"{name}: expected the seeds of {first}: {', '.join(expected.columns[1:])}, got "
                f"{', '.join(table.columns[1:])}. Run `{STUDIES}`, which trains what is missing."
            )
        if not table["label"].equals(expected["label"]):
            raise DataError(
                f"{name}: expected the test images of {first}, got other labels. Run "
                f"`{STUDIES}`, which writes the answers."
            )


def _more(first: pd.DataFrame, second: pd.DataFrame) -> NDArray[np.int8]:
    return rightness(second).astype(np.int8) - rightness(first)


def _judge(pairs: Mapping[str, Compared]) -> dict[str, Difference]:
    means = [mean_over_seeds(differences) for _, _, differences in pairs.values()]
    corrected = holm([1.0 if mean.p is None else mean.p for mean in means])
    judged = {}
    for (name, compared), mean, corrected_p in zip(pairs.items(), means, corrected, strict=True):
        first, second, differences = compared
        by_seed = differences.mean(axis=1)
        low, high = np.clip(mean.interval, -1, 1)
        winner = second if differences.mean() > 0 else first
        several = mean.p is not None
        judged[name] = Difference(
            difference=round(float(by_seed.mean()), 6),
            low=round(float(low), 6),
            high=round(float(high), 6),
            standard_deviation=round(float(by_seed.std(ddof=1)), 6) if several else None,
            p=None if mean.p is None else rounded_p(mean.p),
            corrected_p=rounded_p(corrected_p) if several else None,
            verdict=f"{winner} is better" if corrected_p < LEVEL else NO_EVIDENCE,
        )
    return judged


def _first_seed(first: pd.DataFrame, second: pd.DataFrame) -> Paired:
    tables = (
        pd.DataFrame({"index": table.index, "label": table["label"], "predicted": table.iloc[:, 1]})
        for table in (first, second)
    )
    return pair(*tables)
