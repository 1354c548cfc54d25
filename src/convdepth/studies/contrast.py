"""The stage `contrast`: which networks differ in accuracy, over several seeds and images.

McNemar's exact test of the first seed shows what one training of each would have suggested.
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from convdepth.config.params import read_params
from convdepth.core.errors import DataError
from convdepth.core.files import write_json
from convdepth.evaluation import results, significance
from convdepth.evaluation.result_file import read_result
from convdepth.studies.runs import rightness

Answers = Mapping[str, pd.DataFrame]
"""Of each network, from `runs.tabulate_answers`."""

Compared = tuple[str, str, NDArray[np.int8]]
"""Two networks, and what the second has right more: ``(seeds, images)``, -1 to 1."""


def main(replicates: Path, tuned: Path, summary: Path, params: Path = Path("params.yaml")) -> None:
    """Compare all networks by the recipe and tuned, by the answers of these stages."""
    names = read_params(params).architectures
    before = {name: results.read_seed_answers(replicates / f"{name}.csv") for name in names}
    known = read_result(tuned / "summary.json", results.TunedNetworks, results.STUDIES).networks
    after = {
        name: results.read_seed_answers(tuned / f"{name}.csv") for name in names if name in known
    }
    result = results.AllContrasts(
        **dict(contrast(before)), tuned=contrast(after), gains=gains(before, after)
    )
    write_json(summary, result.model_dump())
    groups: dict[str, Mapping[str, results.Difference]] = {
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


def contrast(answers: Answers) -> results.Contrasts:
    """Compare each network with each other network; raise DataError for other seeds or images."""
    _require_alike(answers)
    pairs = {
        f"{first} / {second}": (first, second, _more(answers[first], answers[second]))
        for first, second in itertools.combinations(answers, 2)
    }
    tests = _test_first_seeds([differences[0] for _, _, differences in pairs.values()])
    return results.Contrasts(
        seeds=max((len(table.columns) - 1 for table in answers.values()), default=0),
        pairs={
            name: results.Pair(**dict(entry), first_seed=test)
            for (name, entry), test in zip(_judge(pairs).items(), tests, strict=True)
        },
    )


def gains(before: Answers, after: Answers) -> results.Gains:
    """Compare each tuned network with the same network by the recipe, seed by seed."""
    for name in after:
        _require_alike({name: before[name], f"{name} tuned": after[name]})
    pairs = {name: ("the recipe", "tuned", _more(before[name], after[name])) for name in after}
    return results.Gains(networks=_judge(pairs))


def _require_alike(answers: Answers) -> None:
    for (first, expected), (name, table) in itertools.pairwise(answers.items()):
        if list(table.columns) != list(expected.columns):
            raise DataError(
                f"{name}: expected the seeds of {first}: {', '.join(expected.columns[1:])}, got "
                f"{', '.join(table.columns[1:])}. Run `{results.STUDIES}`, which trains the others."
            )
        if not table["label"].equals(expected["label"]):
            raise DataError(
                f"{name}: expected the test images of {first}, got other labels. Run "
                f"`{results.STUDIES}`, which writes the answers."
            )


def _more(first: pd.DataFrame, second: pd.DataFrame) -> NDArray[np.int8]:
    return rightness(second).astype(np.int8) - rightness(first)


def _judge(pairs: Mapping[str, Compared]) -> dict[str, results.Difference]:
    means = [significance.mean_over_seeds(differences) for _, _, differences in pairs.values()]
    corrected = significance.holm([1.0 if mean.p is None else mean.p for mean in means])
    judged = {}
    for name, mean, corrected_p in zip(pairs, means, corrected, strict=True):
        first, second, differences = pairs[name]
        by_seed = differences.mean(axis=1)
        low, high = np.clip(mean.interval, -1, 1)
        winner = second if differences.mean() > 0 else first
        is_better, several = corrected_p < significance.LEVEL, mean.p is not None
        judged[name] = results.Difference(
            difference=round(float(by_seed.mean()), 6),
            low=round(float(low), 6),
            high=round(float(high), 6),
            standard_deviation=round(float(by_seed.std(ddof=1)), 6) if several else None,
            p=None if mean.p is None else significance.rounded_p(mean.p),
            corrected_p=significance.rounded_p(corrected_p) if several else None,
            verdict=f"{winner} is better" if is_better else significance.NO_EVIDENCE,
        )
    return judged


def _test_first_seeds(pairs: Sequence[NDArray[np.int8]]) -> list[results.FirstSeed]:
    counts = [(int((each == -1).sum()), int((each == 1).sum())) for each in pairs]
    p_values = [significance.mcnemar(*each) for each in counts]
    corrected = significance.holm(p_values)
    return [
        results.FirstSeed(
            difference=round((only_second - only_first) / len(pairs[0]), 6),
            only_first=only_first,
            only_second=only_second,
            p=significance.rounded_p(p),
            corrected_p=significance.rounded_p(corrected_p),
        )
        for (only_first, only_second), p, corrected_p in zip(
            counts, p_values, corrected, strict=True
        )
    ]
