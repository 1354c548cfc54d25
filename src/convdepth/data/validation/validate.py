"""The stage `validate`: stop on bad data, and name the rule, the rows and the reason."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from convdepth.config.dataset import SPLITS
from convdepth.config.params import Validate, read_params
from convdepth.core.errors import DataError
from convdepth.core.files import write_json, write_text
from convdepth.data import arrays, idx
from convdepth.data.validation.frame import count_classes, tabulate
from convdepth.data.validation.rules import Stage, class_range, class_rules, image_rules
from convdepth.data.validation.run import Outcome, inspect

_HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="UTF-8"><title>Data rules</title>
<style>
body { font: 15px/1.5 sans-serif; margin: 0 auto; max-width: 76rem; padding: 1rem; }
table { border-collapse: collapse; width: 100%; }
td, th { border: 1px solid #bbb !important; padding: 0.3rem 0.6rem; text-align: left; }
</style></head><body>
"""


def main(
    raw: Path,
    normalized: Path,
    summary: Path,
    docs: Path,
    checked: Path,
    params: Path = Path("params.yaml"),
) -> None:
    """Check the raw IDX files and the normalized arrays by the rules.

    The page in ``docs`` is written in either case, the files ``summary`` and ``checked`` only if
    every rule holds. Trainings depend on ``checked``, whose bytes are always the same, so a new
    rule makes none of them stale.
    """
    parameters = read_params(params)
    raw_splits = {split: idx.read_split(raw, split) for split in SPLITS}
    splits = {split: arrays.read_split(normalized, split) for split in SPLITS}
    stage = Stage("normalized", full_ink=1, max_images=parameters.normalize.max_images)
    rows = {"raw": tabulate(raw_splits), "normalized": tabulate(splits, raw_splits)}
    outcomes = [
        *inspect_stage(Stage("raw", full_ink=255), rows["raw"], parameters.validation),
        *inspect_stage(stage, rows["normalized"], parameters.validation),
    ]
    page = write_page(outcomes, docs)
    if not all(outcome.holds for outcome in outcomes):
        raise DataError(_explain(outcomes, page))
    counts = {name: len(table) for name, table in rows.items()}
    write_json(summary, _summarize(outcomes, counts))
    write_text(checked, "valid\n")
    sizes = " and ".join(f"{count:,} {name}" for name, count in counts.items())
    print(f"validate: {len(outcomes)} rules hold for {sizes} images; page: {page}", flush=True)


def inspect_stage(stage: Stage, rows: pd.DataFrame, tolerances: Validate) -> list[Outcome]:
    """Run the rules about a stage's images, one row each, and about its classes."""
    classes = count_classes(rows)
    classes[["fewest", "most"]] = [
        class_range(split, label, stage.size(split), tolerances.standard_errors)
        for split, label in zip(classes["split"], classes["label"], strict=True)
    ]
    rules = image_rules(stage, tolerances)
    return [
        *inspect(f"{stage.name}_images", rows, ("split", "index"), rules),
        *inspect(f"{stage.name}_classes", classes, ("split", "label"), class_rules()),
    ]


def write_page(outcomes: Sequence[Outcome], docs: Path) -> Path:
    """Write the outcomes, broken rules first, to ``index.html`` in a folder; it loads nothing."""
    num_broken = sum(not outcome.holds for outcome in outcomes)
    verdict = f"{num_broken} of {len(outcomes)} are broken" if num_broken else "all hold"
    table = pd.DataFrame(list(outcomes), dtype=object).sort_values("holds", kind="stable")
    with pd.option_context("display.max_colwidth", None):
        body = table.fillna("").to_html(index=False)
    page = docs / "index.html"
    write_text(page, f"{_HEAD}<h1>Data rules: {verdict}</h1>\n{body}\n</body></html>\n")
    return page


def _explain(outcomes: Sequence[Outcome], page: Path) -> str:
    broken = [outcome for outcome in outcomes if not outcome.holds]
    lines = [f"{each.table}: {each.rule}: {each.reason}" for each in broken]
    first = f"the data break {len(broken)} of {len(outcomes)} rules:"
    last = f"See {page}. Run `dvc repro --force download normalize` to restore damaged data."
    return "\n".join([first, *lines, last])


def _summarize(outcomes: Sequence[Outcome], counts: dict[str, int]) -> dict[str, Any]:
    rules = [{"table": each.table, "rule": each.rule, **_found(each)} for each in outcomes]
    return {"success": True, "images": counts, "num_rules": len(rules), "rules": rules}


def _found(outcome: Outcome) -> dict[str, Any]:
    if outcome.num_broken is not None:
        return {"num_broken": outcome.num_broken}
    if isinstance(outcome.observed, float):
        # The tolerances have five decimals; adding 0 turns -0.0 into 0.0.
        return {"observed": round(float(outcome.observed), 5) + 0.0}
    return {"observed": outcome.observed}
