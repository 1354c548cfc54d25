"""The stage `validate`: bad data stop here, with the rule, the rows and the reason."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from convdepth.config.dataset import IMAGE_SHAPE, SPLITS
from convdepth.config.params import Params, Validate, read_params
from convdepth.core.errors import DataError
from convdepth.core.files import write_json
from convdepth.data import arrays as images
from convdepth.data import idx
from convdepth.data.arrays import Labels, Pixels
from convdepth.data.validation import frame as tables
from convdepth.data.validation.pages import write_pages
from convdepth.data.validation.rules import Stage, class_range, class_rules, image_rules
from convdepth.data.validation.run import Outcome, Table, inspect, open_context


def main(
    raw: Path, normalized: Path, summary: Path, docs: Path, params: Path = Path("params.yaml")
) -> None:
    """Hold the raw and the normalized data against the rules.

    Args:
        raw: Folder with the four IDX files.
        normalized: Folder with the ``.npy`` files that were made from them.
        summary: Where to write what was found, as JSON whose bytes depend on the data alone. It
            is written only if every rule holds.
        docs: Folder for the pages, which are written in either case.
        params: The file with the tolerances and ``max_images``.

    Raises:
        DataError: Rules are broken, or files cannot be read. The message has one line for each.
        MachineError: The summary or the pages cannot be written.
        ParameterError: ``params`` is wrong.
    """
    parameters = read_params(params)
    data, unreadable = _read(raw, normalized)
    context = open_context()
    outcomes = list(unreadable)
    for table in _tabulate(data, parameters):
        outcomes += inspect(context, table)
    page = write_pages(context, outcomes, docs)
    if not all(outcome.holds for outcome in outcomes):
        raise DataError(_explain(outcomes, page))
    counts = {name: sum(len(labels) for _, labels in data[name].values()) for name in data}
    write_json(summary, _summarize(outcomes, counts))
    sizes = " and ".join(f"{count:,} {name}" for name, count in counts.items())
    print(f"validate: {len(outcomes)} rules hold for {sizes} images; pages: {page}", flush=True)


Splits = Mapping[str, tuple[Any, Labels]]


def _read(raw: Path, normalized: Path) -> tuple[dict[str, Splits], list[Outcome]]:
    """Read what can be read; each file that cannot be is an outcome that does not hold."""
    data: dict[str, Splits] = {}
    unreadable: list[Outcome] = []
    readers = (("raw", raw, _read_raw), ("normalized", normalized, images.read_split))
    for name, folder, read in readers:
        splits, problems = _read_splits(name, folder, read)
        unreadable += problems
        if not problems:
            data[name] = splits
    return data, unreadable


def _read_splits(
    name: str, folder: Path, read: Callable[[Path, str], tuple[Any, Labels]]
) -> tuple[Splits, list[Outcome]]:
    splits, problems = {}, []
    for split in SPLITS:
        try:
            splits[split] = read(folder, split)
        except DataError as error:
            rule = f"the files of {split} can be read"
            problems.append(Outcome(name, rule, holds=False, reason=str(error)))
    return splits, problems


def _read_raw(folder: Path, split: str) -> tuple[Pixels, Labels]:
    pixels, labels = idx.read_split(folder, split)
    height, width, _ = IMAGE_SHAPE
    if pixels.shape[1:] != (height, width) or labels.shape != pixels.shape[:1]:
        raise DataError(
            f"{folder}: {split}: expected images of shape (n, {height}, {width}) and one label "
            f"for each, got images of shape {pixels.shape} and labels of shape {labels.shape}. "
            "Run `dvc repro download`."
        )
    return pixels, labels


def _tabulate(data: Mapping[str, Splits], parameters: Params) -> Iterator[Table]:
    """Make two tables for each stage; the normalized ones need the raw data beside them."""
    if "raw" not in data:
        return
    stage = Stage("raw", full_ink=255)
    yield from stage_tables(stage, tables.tabulate_raw(data["raw"]), parameters.validation)
    if "normalized" not in data:
        return
    stage = Stage("normalized", full_ink=1, max_images=parameters.normalize.max_images)
    rows = tables.tabulate_normalized(data["normalized"], data["raw"])
    yield from stage_tables(stage, rows, parameters.validation)


def stage_tables(stage: Stage, rows: pd.DataFrame, tolerances: Validate) -> Iterator[Table]:
    """Give the two tables of a stage, with their rules.

    Args:
        stage: ``raw`` or ``normalized``.
        rows: One row per image, from `tables.tabulate_raw` or `tables.tabulate_normalized`.
        tolerances: How far the data may be from MNIST.

    Yields:
        The images, and the classes with the numbers of images that they may have.
    """
    rules = image_rules(stage, tolerances)
    yield Table(f"{stage.name}_images", rows, keys=("split", "index"), rules=rules)
    classes = tables.count_classes(rows)
    ranges = [
        class_range(split, label, stage.size(split), tolerances.standard_errors)
        for split, label in zip(classes["split"], classes["label"], strict=True)
    ]
    classes = classes.assign(
        fewest=[fewest for fewest, _ in ranges], most=[most for _, most in ranges]
    )
    yield Table(f"{stage.name}_classes", classes, keys=("split", "label"), rules=class_rules())


def _explain(outcomes: Sequence[Outcome], page: Path) -> str:
    broken = [outcome for outcome in outcomes if not outcome.holds]
    lines = [f"{outcome.table}: {outcome.rule}: {outcome.reason}" for outcome in broken]
    return "\n".join(
        [
            f"the data break {len(broken)} of {len(outcomes)} rules:",
            *lines,
            f"Look at {page}. Damaged data come back with `dvc repro --force download normalize`.",
        ]
    )


def _summarize(outcomes: Sequence[Outcome], counts: Mapping[str, int]) -> dict[str, Any]:
    rules = [
        {"table": outcome.table, "rule": outcome.rule, **_found(outcome)} for outcome in outcomes
    ]
    return {"success": True, "images": dict(counts), "num_rules": len(rules), "rules": rules}


def _found(outcome: Outcome) -> dict[str, Any]:
    if outcome.num_broken is not None:
        return {"num_broken": outcome.num_broken}
    if isinstance(outcome.observed, float):
        # Five places are what the tolerances mean; adding 0 turns -0.0 into 0.0.
        return {"observed": round(float(outcome.observed), 5) + 0.0}
    return {"observed": outcome.observed}
