"""Recompute the published statistics from the committed answers, without the code of convdepth.

The rules are in ``studies/PLAN.md``, the formulas in the docstring of `significance._estimate`.
Run ``python tests/support/recheck.py`` in the project's root.
"""

import json
import math
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import combinations, product
from pathlib import Path
from statistics import fmean, mode, stdev
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student

Digits = NDArray[np.int64]
DOUBTFUL = [947, 1621, 1901, 2130, 2462, 2597, 2654, 3520, 3558, 5937, 6651, 6783, 8527, 9679, 9729]
NOT_RECHECKED = re.compile(
    r"(.*\.)?(planned|parameters|flop|network|group|first|second|loss|calibration_error"
    r"|by_corruption)(\..*)?"
)
"""Keys of names, sizes and plans, and of values that need probabilities."""


class Trainings(NamedTuple):
    """Answers of the trainings of one network, ``(trainings, images)``, and the labels."""

    answers: Digits
    labels: Digits

    @property
    def right(self) -> Digits:
        """1 for each right answer, else 0."""
        return np.where(self.answers == self.labels, 1, 0)

    def accuracy(self) -> dict[str, float | None]:
        """Return the mean over seeds, its standard deviation and its interval."""
        interval = estimate(self.right)
        return average(self.right.mean(axis=1)) | {key: interval[key] for key in ("low", "high")}

    def vote(self) -> float:
        """Return the accuracy of the plurality vote; `mode` gives the first of tied digits."""
        votes = [mode(sorted(each)) for each in self.answers.T.tolist()]
        return float(np.mean(votes == self.labels))

    def statuses(self) -> list[str]:
        """Return of each training whether it collapsed, is near chance, or is ok."""
        images, chance = len(self.labels), np.bincount(self.labels).max() / len(self.labels)
        # Wilson's interval has the accuracies that a score test does not reject.
        best = chance + 1.959963984540054 * math.sqrt(chance * (1 - chance) / images)
        collapsed = [np.bincount(each).max() >= 0.99 * images for each in self.answers]
        learned = np.where(self.right.mean(axis=1) > best, "ok", "near chance")
        return [str(each) for each in np.where(collapsed, "collapsed", learned)]


class Corrupted(Trainings):
    """Shares of right answers over ten corruptions of each image."""

    @property
    def right(self) -> NDArray[Any]:
        """The shares themselves."""
        return self.answers


def squares(values: NDArray[Any]) -> float:
    """Return the sum of squares around the mean."""
    return float(np.sum((values - values.mean()) ** 2))


def rest(right: Digits) -> float:
    """Return the part of one group's variance that is due to seed and image together."""
    seeds, images = right.shape
    of_seeds, of_images = squares(right.sum(axis=1)) / images, squares(right.sum(axis=0)) / seeds
    left = squares(right) - of_seeds - of_images
    return float(left / ((seeds - 1) * (images - 1) * right.size))


def estimate(*groups: Digits) -> dict[str, Any]:
    """Estimate the mean of one group of right answers, or the second mean minus the first."""
    by_image, images = groups[-1].mean(axis=0), groups[0].shape[1]
    if len(groups) > 1:
        by_image = by_image - groups[0].mean(axis=0)
    mean = float(by_image.mean())
    total, freedom = squares(by_image) / (images - 1) / images, images - 1.0
    if min(map(len, groups)) > 1:  # else the error is of the images alone
        sizes = [len(each) for each in groups]
        sums = [squares(each.sum(axis=1)) / images**2 for each in groups]
        seeds = [part / (size - 1) / size for part, size in zip(sums, sizes, strict=True)]
        total = sum(seeds) + max(0, total - sum(map(rest, groups)))
        divisor = sum(part**2 / (size - 1) for part, size in zip(seeds, sizes, strict=True))
        freedom = total**2 / divisor if divisor else math.inf
    error = math.sqrt(total)
    reach = float(student.ppf(0.975, freedom)) * error
    p, equivalence_p = (
        float(student.sf(distance / (error or 1e-300), freedom))
        for distance in (abs(mean), 0.001 - abs(mean))
    )
    low, high = max(1 - len(groups), mean - reach), min(1, mean + reach)
    tests = {"p": 2 * p, "equivalence_p": equivalence_p}
    return {"difference": mean, "error": error, "low": low, "high": high} | tests


def holm(entries: Collection[dict[str, Any]], key: str) -> None:
    """Add the corrected p: p times the number of those not below it, and never falling."""
    p_values = [entry[key] for entry in entries]
    products = [(p, p * sum(other >= p for other in p_values)) for p in p_values]
    for entry in entries:
        corrected = max(value for p, value in products if p <= entry[key])
        entry[f"corrected_{key}"] = min(1.0, corrected)


def judge(compared: Mapping[str, tuple[str, str, Trainings, Trainings]]) -> dict[str, Any]:
    """Return the entries of one family; each is given as two names and their trainings."""
    entries = {key: estimate(one.right, two.right) for key, (*_, one, two) in compared.items()}
    holm(entries.values(), "p")
    holm(entries.values(), "equivalence_p")
    for key, entry in entries.items():
        del entry["equivalence_p"]
        first, second, *_ = compared[key]
        entry["verdict"] = "not settled"
        if entry["corrected_p"] < 0.05:
            entry["verdict"] = f"{second if entry['difference'] > 0 else first} is better"
        elif entry["corrected_equivalence_p"] < 0.05:
            entry["verdict"] = "equivalent within 0.1 points"
    return entries


def average(values: Iterable[float]) -> dict[str, float | None]:
    """Return mean and sample standard deviation."""
    known = [float(value) for value in values]
    return {"mean": fmean(known), "standard_deviation": stdev(known) if len(known) > 1 else None}


def agreement(pairs: Iterable[tuple[Digits, Digits]]) -> float:
    """Return the mean share of equal answers."""
    return fmean(float(np.mean(first == second)) for first, second in pairs)


def mcnemar(gain: Digits) -> dict[str, float]:
    """Return the exact test of two trainings by the second's right answers minus the first's."""
    first, second = int(np.sum(gain < 0)), int(np.sum(gain > 0))
    ways = sum(math.comb(first + second, number) for number in range(min(first, second) + 1))
    p = min(1.0, 2 * ways / 2 ** (first + second))
    return {"difference": float(gain.mean()), "only_first": first, "only_second": second, "p": p}


def over_seeds(network: Trainings) -> dict[str, Any]:
    """Return what is stated of the seeds of one network together."""
    clear, several = np.delete(network.right, DOUBTFUL, axis=1), len(network.answers) > 1
    return {
        "accuracy_without_doubtful": average(clear.mean(axis=1)),
        "agreement": agreement(combinations(network.answers, 2)) if several else None,
        "vote": network.vote(),
    }


def question(metrics: Path, name: str, labels: Digits, stated: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is stated of one question, whose trainings are in the folder of its name.

    Until all planned trainings are there, those that came after the file are left out.
    """
    found: dict[tuple[str, str], Trainings] = {}
    groups: dict[str, dict[str, Any]] = {group: {} for group in stated["groups"]}
    is_corrupted, is_depth = name == "corrupted", name == "depth"
    for group, networks in stated["groups"].items():
        for key, entry in networks.items():
            files = in_order((metrics / name / group / key).glob("*.mistakes.csv"))
            files = files[: len(entry["seeds"])]
            network = found[group, key] = read_trainings(files, labels, is_corrupted)
            seeds = [int(file.name.partition(".")[0]) for file in files]
            groups[group][key] = {"seeds": seeds, "accuracy": network.accuracy()}
            if is_corrupted:  # the answers to single corruptions are not kept
                groups[group][key] |= {"failed": entry["failed"], "over_seeds": None}
            else:
                failed = len(files) - network.statuses().count("ok")
                groups[group][key] |= {"failed": failed, "over_seeds": over_seeds(network)}
    complete = stated["trained"] == stated["planned"]
    votes = {}
    for group in groups:
        every = [network for (other, _), network in found.items() if other == group]
        answers = np.concatenate([network.answers for network in every]) if every else None
        votes[group] = None if is_corrupted or not every else Trainings(answers, labels).vote()
    prefix = "depth " if is_depth else ""
    compared = {
        f"{group}: {first} / {second}": (prefix + first, prefix + second, one, two)
        for ((group, first), one), ((other, second), two) in combinations(found.items(), 2)
        # The question of depth compares with one block only.
        if complete and group == other and (first == "1" or not is_depth)
    }
    counts = [len(network.answers) for network in found.values()]
    existing = len(list((metrics / name).glob("*/*/*.mistakes.csv")))
    return {
        "trained": existing if complete else sum(counts),
        "seeds": max(counts) if complete else stated["seeds"],
        "groups": groups,
        "votes": votes,
        "comparisons": compare(compared, is_corrupted),
        "gains": compare_with_recipe(metrics, found, labels) if name == "tuned" else {},
    }


def compare(
    compared: Mapping[str, tuple[str, str, Trainings, Trainings]], is_corrupted: bool
) -> dict[str, Any]:
    """Return the entries of one family, with agreement and the test of the first seeds."""
    entries = judge(compared)
    for key, (*_, one, two) in compared.items():
        known = None if is_corrupted else agreement(product(one.answers, two.answers))
        entries[key]["agreement"] = known
        first = None if is_corrupted else mcnemar(two.right[0] - one.right[0])
        entries[key]["first_seed"] = first
    if not is_corrupted:
        holm([entry["first_seed"] for entry in entries.values()], "p")
    return entries


def compare_with_recipe(
    metrics: Path, found: Mapping[tuple[str, str], Trainings], labels: Digits
) -> dict[str, Any]:
    """Return the comparison of each tuned network with itself by the recipe."""
    compared = {}
    for (_, name), tuned in found.items():
        files = in_order((metrics / "recipe" / "recipe" / name).glob("*.mistakes.csv"))
        compared[name] = ("the recipe", "tuned", read_trainings(files, labels), tuned)
    return judge(compared)


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Sort files by name, and 2 before 10."""
    return sorted(paths, key=lambda path: (len(path.name), path.name))


def read_json(path: Path) -> dict[str, Any]:
    """Read a result file; its lists of networks and comparisons become dictionaries."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(content.get("comparisons"), list):
        for group, networks in content["groups"].items():
            content["groups"][group] = {each["network"]: each for each in networks}
        content["comparisons"] = {
            "{group}: {first} / {second}".format_map(each): each for each in content["comparisons"]
        }
    return content


def read_mistakes(path: Path, labels: Digits) -> Digits:
    """Return the answers of one training."""
    table, answers = pd.read_csv(path).astype(np.int64), labels.copy()
    if (labels[table["index"]] != table["label"]).any():
        raise ValueError(f"{path}: label: expected the labels of the test images, got other ones")
    answers[table["index"]] = table["predicted"]
    return answers


def read_shares(path: Path, labels: Digits) -> NDArray[Any]:
    """Return the share of right answers to each image of one training over ten corruptions."""
    table, wrong = pd.read_csv(path).astype(np.int64), np.zeros(len(labels))
    wrong[table["index"]] = table["corruptions"]
    return 1 - wrong / 10


def read_trainings(paths: Iterable[Path], labels: Digits, is_corrupted: bool = False) -> Trainings:
    """Read the trainings of one network."""
    kind, read = (Corrupted, read_shares) if is_corrupted else (Trainings, read_mistakes)
    return kind(np.array([read(path, labels) for path in paths]), labels)


def read_labels(metrics: Path) -> Digits:
    """Return the labels; where every training is right, any digit gives the same statistics."""
    labels = np.arange(10_000) % 10
    for path in metrics.glob("*/*/*/*.mistakes.csv"):
        if (table := pd.read_csv(path)).columns[1] == "label":
            labels[table["index"].astype(np.int64)] = table["label"]
    return labels


def recompute(metrics: Path) -> Iterator[tuple[Path, dict[str, Any], dict[str, Any]]]:
    """Yield of each answer the path, what it states, and what is expected."""
    labels = read_labels(metrics)
    for path in sorted(metrics.glob("studies/*.json")):
        stated = read_json(path)
        if "comparisons" in stated:
            yield path, stated, question(metrics, path.stem, labels, stated)


def flatten(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted keys and values."""
    if isinstance(value, dict | list):
        for name, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from flatten(part, f"{key}.{name}" if key else f"{name}")
    elif not NOT_RECHECKED.fullmatch(key):
        yield key, value


def agrees(key: str, expected: Any, found: Any) -> bool:
    """Return whether a value is the expected one, rounded to six digits; p has six significant."""
    if not isinstance(expected, int | float) or not isinstance(found, int | float):
        return bool(expected == found)
    is_p = key.endswith((".p", "_p"))
    places = 5 - math.floor(math.log10(max(expected, 1e-300))) if is_p else 6
    return abs(expected - found) <= 0.500001 * 10.0**-places


def recheck(root: Path) -> dict[str, tuple[int, list[str]]]:
    """Return for each result file the number of values, and a line for each one that is wrong."""
    checks = {}
    for path, *contents in recompute(root / "metrics"):
        file = path.relative_to(root).as_posix()
        found, expected = (dict(flatten(content)) for content in contents)
        values = {
            key: (expected.get(key, "nothing"), found.get(key, "nothing"))
            for key in expected | found
        }
        checks[file] = (
            len(values),
            [
                f"{file}: {key}: expected {pair[0]}, found {pair[1]}"
                for key, pair in values.items()
                if not agrees(key, *pair)
            ],
        )
    return checks


if __name__ == "__main__":
    results = recheck(Path())
    for name, (number, wrong) in results.items():
        print(f"{name}: {number - len(wrong)} of {number} values agree", *wrong, sep="\n")
    sys.exit(any(wrong for _, wrong in results.values()))
