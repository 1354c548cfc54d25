"""The published statistics are those that an independent recheck computes from the answers."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from recheck import recheck

from conftest import PROJECT  # type: ignore[import-not-found]


def test_the_committed_results_follow_from_the_committed_answers() -> None:
    checks = recheck(PROJECT)
    answers = {
        f"metrics/studies/{path.stem}.json"
        for path in PROJECT.glob("metrics/studies/*.json")
        if "comparisons" in json.loads(path.read_bytes())
    }
    assert {f"metrics/studies/{name}.json" for name in ("recipe", "tuned", "depth")} <= answers
    assert checks.keys() == answers
    assert min(number for number, _ in checks.values()) >= 100
    assert [line for _, wrong in checks.values() for line in wrong] == []


def test_another_digit_and_an_unknown_key_are_named(tmp_path: Path) -> None:
    file = "metrics/studies/recipe.json"
    stated = json.loads((PROJECT / file).read_bytes())
    stated["groups"]["recipe"][0]["accuracy"]["high"] += 1e-6
    stated["comparisons"][0] |= {"unknown": 1}
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(json.dumps(stated), encoding="utf-8")
    shutil.copytree(PROJECT / "metrics/recipe", tmp_path / "metrics/recipe")
    _, wrong = recheck(tmp_path)[file]
    pair = "comparisons.recipe: cnn1 / cnn3.unknown"
    keys = ["groups.recipe.cnn1.accuracy.high", pair]
    assert [line.removeprefix(f"{file}: ").split(": expected")[0] for line in wrong] == keys


def test_a_question_of_the_study_by_hand(tmp_path: Path) -> None:
    """All depths have two seeds; a wrong answer is the label plus 1, which is 0 for 9.

    Arm a: both seeds with one block fail on the same 10 images. Seeds do not differ, so z is
    0.001 / sqrt(0.001 * 0.999 / 9999) = 3.163702. Arm b: all errors are on different images. The
    images add nothing, so the test is Welch's: t = 0.0008 / 0.000141421 = 5.65685 with 2 degrees of
    freedom, and p = 1 - t / sqrt(2 + t**2). Ties of the vote are lost where the label is 9.
    """
    metrics = tmp_path / "metrics"
    (metrics / "studies").mkdir(parents=True)
    add(metrics / "depth/a/1", range(10), range(10))
    add(metrics / "depth/a/3", range(0), range(0))
    add(metrics / "depth/b/1", range(10), range(10, 22))
    add(metrics / "depth/b/3", range(30, 32), range(40, 44))
    arms = {
        "a": [
            point("1", 0.999, 0, 0.998380, 0.999620, 0.998998, 0, 1, 0.999),
            point("3", 1, 0, 1, 1, 1, 0, 1, 1),
        ],
        "b": [
            point("1", 0.9989, 0.000141, 0.997629, 1, 0.998898, 0.000142, 0.9978, 0.9998),
            point("3", 0.9997, 0.000141, 0.998429, 1, 0.9997, 0.000142, 0.9994, 1),
        ],
    }
    keys = ("difference", "low", "high", "error", "p", "corrected_p", "corrected_equivalence_p")
    keys = (*keys, "agreement")
    first = (0.001, 0.000380, 0.001620, 0.000316, 0.00155776, 0.00311553, 0.5, 0.999)
    second = (0.0008, 0.000192, 0.001408, 0.000141, 0.0298575, 0.0298575, 0.292893, 0.9986)
    names = {"first": "1", "second": "3", "verdict": "depth 3 is better"}
    # Both first seeds have 10 mistakes, of which the other network has none: twice 1 in 1,024.
    # In arm b, 2 images are wrong only with three blocks: p is 2 * 79 / 4,096.
    single = ("difference", "only_first", "only_second", "p", "corrected_p")
    tests = [(0.001, 0, 10, 0.00195312, 0.00390625), (0.0008, 2, 10, 0.0385742, 0.0385742)]
    comparisons = [
        {"group": arm, **names, **dict(zip(keys, values, strict=True))}
        | {"first_seed": dict(zip(single, test, strict=True))}
        for arm, values, test in (("a", first, tests[0]), ("b", second, tests[1]))
    ]
    stated = {"planned": 8, "trained": 8, "seeds": 2, "groups": arms}
    stated |= {"votes": {"a": 0.9999, "b": 1.0}, "comparisons": comparisons, "gains": {}}
    path = metrics / "studies" / "depth.json"
    path.write_text(json.dumps(stated), encoding="utf-8")
    assert recheck(tmp_path) == {"metrics/studies/depth.json": (2 + 4 * 11 + 2 + 2 * 14, [])}
    # A training of tomorrow is left out until all are there.
    add(metrics / "depth/b/3", range(30, 32), range(40, 44), range(1000))
    path.write_text(json.dumps(stated | {"planned": 9, "comparisons": []}), encoding="utf-8")
    assert recheck(tmp_path) == {"metrics/studies/depth.json": (2 + 4 * 11 + 2, [])}


def add(folder: Path, *errors: range) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for seed, wrong in enumerate(errors, start=1):
        index = np.array(wrong, int)
        table = {"index": index, "label": index % 10, "predicted": (index + 1) % 10}
        pd.DataFrame(table).to_csv(folder / f"{seed}.mistakes.csv", index=False)


def point(network: str, *values: float) -> dict[str, Any]:
    keys = ("mean", "standard_deviation", "low", "high")
    accuracy = dict(zip(keys, values[:4], strict=True))
    mean, deviation, agreement, vote = values[4:]
    clear = {"mean": mean, "standard_deviation": deviation}
    over = {"accuracy_without_doubtful": clear, "agreement": agreement, "vote": vote}
    return {
        "network": network,
        "seeds": [1, 2],
        "failed": 0,
        "accuracy": accuracy,
        "over_seeds": over,
    }
