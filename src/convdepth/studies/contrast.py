"""The stage `contrast`: which networks differ in accuracy, over several seeds and images.

McNemar's exact test of the first seed shows what one training of each would have suggested.
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from convdepth.config.params import read_params
from convdepth.core.errors import DataError
from convdepth.core.files import write_json
from convdepth.core.numbers import signed_percentage
from convdepth.evaluation import results
from convdepth.evaluation.doubtful_labels import DOUBTFUL
from convdepth.evaluation.result_file import read_result
from convdepth.evaluation.significance import (
    LEVEL,
    MARGIN,
    Estimate,
    difference_over_seeds,
    holm,
    mcnemar,
    rounded_p,
)
from convdepth.studies.runs import average, rightness
from convdepth.studies.votes import mean_agreement, vote

Answers = Mapping[str, pd.DataFrame]
"""Of each network, from `runs.tabulate_answers`."""

Key = TypeVar("Key")


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
            shown = map(signed_percentage, (entry.difference, entry.low, entry.high))
            print("{}{}: {} points ({} to {}): {}".format(what, name, *shown, entry.verdict))


def contrast(answers: Answers) -> results.Contrasts:
    """Compare each network with each other network; raise DataError for other images."""
    _require_alike(answers)
    pairs = list(itertools.combinations(answers, 2))
    right = {name: rightness(table) for name, table in answers.items()}
    compared = {
        f"{first} / {second}": (first, second, difference_over_seeds(right[first], right[second]))
        for first, second in pairs
    }
    tests = _test_first_seeds([(right[first][0], right[second][0]) for first, second in pairs])
    agreements = [mean_agreement(answers[first], answers[second]) for first, second in pairs]
    judged = zip(judge(compared).items(), agreements, tests, strict=True)
    return results.Contrasts(
        seeds=max(map(len, right.values()), default=0),
        networks={name: summarize(table) for name, table in answers.items()},
        pairs={
            name: results.Pair(**dict(entry), agreement=agreement, first_seed=test)
            for (name, entry), agreement, test in judged
        },
        vote=vote(answers.values()) if answers else None,
    )


def gains(before: Answers, after: Answers) -> results.Gains:
    """Compare each tuned network with the same network by the recipe."""
    for name in after:
        _require_alike({name: before[name], f"{name} tuned": after[name]})
    compared = {
        name: (
            "the recipe",
            "tuned",
            difference_over_seeds(rightness(before[name]), rightness(tuned)),
        )
        for name, tuned in after.items()
    }
    return results.Gains(networks=judge(compared))


def summarize(answers: pd.DataFrame) -> results.OverSeeds:
    """Summarize the answers of one network beyond their accuracy."""
    right = rightness(answers[~answers.index.isin(DOUBTFUL)])
    return results.OverSeeds(
        accuracy_without_doubtful=average([float(each.mean()) for each in right]),
        agreement=mean_agreement(answers) if len(right) > 1 else None,
        vote=vote([answers]),
    )


def judge(compared: Mapping[Key, tuple[str, str, Estimate]]) -> dict[Key, results.Difference]:
    """Return the verdict on each comparison; each of the two tests has one family.

    A comparison has both names, and the accuracy of the second less the first.
    """
    estimates = [estimate for _, _, estimate in compared.values()]
    p_values = [each.p for each in estimates]
    equivalence = [each.equivalence_p(MARGIN) for each in estimates]
    corrected = holm([1.0 if p is None else p for p in p_values])
    corrected_equivalence = holm([1.0 if p is None else p for p in equivalence])
    return {
        name: _describe(first, second, estimate, *tests)
        for (name, (first, second, estimate)), tests in zip(
            compared.items(), zip(corrected, corrected_equivalence, strict=True), strict=True
        )
    }


def _describe(
    first: str, second: str, estimate: Estimate, corrected: float, equivalence: float
) -> results.Difference:
    verdict = results.NOT_SETTLED
    if corrected < LEVEL:
        verdict = f"{second if estimate.mean > 0 else first} is better"
    elif equivalence < LEVEL:
        verdict = results.EQUIVALENT
    low, high = np.clip(estimate.interval, -1, 1)
    has_p = estimate.p is not None
    return results.Difference(
        difference=round(estimate.mean, 6),
        low=round(float(low), 6),
        high=round(float(high), 6),
        error=round(estimate.error, 6),
        p=None if estimate.p is None else rounded_p(estimate.p),
        corrected_p=rounded_p(corrected) if has_p else None,
        corrected_equivalence_p=rounded_p(equivalence) if has_p else None,
        verdict=verdict,
    )


def _require_alike(answers: Answers) -> None:
    for (first, expected), (name, table) in itertools.pairwise(answers.items()):
        if not table["label"].equals(expected["label"]):
            raise DataError(
                f"{name}: expected the test images of {first}, got other labels. Run "
                f"`{results.STUDIES}`, which writes the answers."
            )


def _test_first_seeds(
    pairs: Sequence[tuple[NDArray[np.bool_], NDArray[np.bool_]]],
) -> list[results.FirstSeed]:
    counts = [
        (int((first & ~second).sum()), int((second & ~first).sum()), len(first))
        for first, second in pairs
    ]
    p_values = [mcnemar(*each[:2]) for each in counts]
    return [
        results.FirstSeed(
            difference=round((only_second - only_first) / images, 6),
            only_first=only_first,
            only_second=only_second,
            p=rounded_p(p),
            corrected_p=rounded_p(corrected_p),
        )
        for (only_first, only_second, images), p, corrected_p in zip(
            counts, p_values, holm(p_values), strict=True
        )
    ]
