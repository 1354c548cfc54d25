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
    networks = {f"replicates/{path.stem}" for path in PROJECT.glob("metrics/replicates/*.csv")}
    questions = {
        f"studies/{path.stem}"
        for path in PROJECT.glob("metrics/studies/*.json")
        if "comparisons" in json.loads(path.read_bytes())
    }
    assert "studies/depth" in questions
    for name in networks | questions | {"tuned/summary", "studies/contrasts"}:
        assert checks[f"metrics/{name}.json"][0] >= 17
    assert [line for _, wrong in checks.values() for line in wrong] == []


def test_another_digit_and_an_unknown_key_are_named(tmp_path: Path) -> None:
    file = "metrics/replicates/cnn1.json"
    stated = json.loads((PROJECT / file).read_bytes())
    stated["accuracy"]["high"] += 1e-6
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(json.dumps(stated | {"unknown": 1}), encoding="utf-8")
    shutil.copy(PROJECT / "metrics/replicates/cnn1.csv", (tmp_path / file).parent)
    number, wrong = recheck(tmp_path)[file]
    assert number == 18
    assert [line.split(": ")[1] for line in wrong] == ["accuracy.high", "unknown"]


def test_a_question_of_the_study_by_hand(tmp_path: Path) -> None:
    """All depths have two seeds; a wrong answer is the label plus 1, which is 0 for 9.

    Arm a: both seeds with one block fail on the same 10 images. Seeds do not differ, so z is
    0.001 / sqrt(0.001 * 0.999 / 9999) = 3.163702. Arm b: all errors are on different images. The
    images add nothing, so the test is Welch's: t = 0.0008 / 0.000141421 = 5.65685 with 2 degrees of
    freedom, and p = 1 - t / sqrt(2 + t**2). Ties of the vote are lost where the label is 9.
    """
    metrics = tmp_path / "metrics"
    for name in ("replicates", "studies"):
        (metrics / name).mkdir(parents=True)
    labels = pd.DataFrame({"label": np.arange(10_000) % 10})
    labels.to_csv(metrics / "replicates" / "cnn1.csv", index=False)
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
    comparisons = [
        {"group": arm, **names, **dict(zip(keys, values, strict=True))}
        for arm, values in (("a", first), ("b", second))
    ]
    stated = {"planned": 8, "trained": 8, "seeds": 2, "groups": arms}
    stated |= {"votes": {"a": 0.9999, "b": 1.0}, "comparisons": comparisons}
    path = metrics / "studies" / "depth.json"
    path.write_text(json.dumps(stated), encoding="utf-8")
    assert recheck(tmp_path) == {"metrics/studies/depth.json": (2 + 4 * 10 + 2 + 2 * 9, [])}
    # A training of tomorrow is left out until all are there.
    add(metrics / "depth/b/3", range(30, 32), range(40, 44), range(1000))
    path.write_text(json.dumps(stated | {"planned": 9, "comparisons": []}), encoding="utf-8")
    assert recheck(tmp_path) == {"metrics/studies/depth.json": (2 + 4 * 10 + 2, [])}


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
    return {"network": network, "seeds": 2, "failed": 0, "accuracy": accuracy, "over_seeds": over}
