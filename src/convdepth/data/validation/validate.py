"""The stage `validate`: stop on bad data, and name the rule, the rows and the reason."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from convdepth.config.dataset import IMAGE_SHAPE, SPLITS
from convdepth.config.params import Params, Validate, read_params
from convdepth.core.errors import DataError
from convdepth.core.files import write_json
from convdepth.data import arrays, idx
from convdepth.data.arrays import Labels, Pixels
from convdepth.data.validation.frame import count_classes, tabulate_normalized, tabulate_raw
from convdepth.data.validation.pages import write_pages
from convdepth.data.validation.rules import Stage, class_range, class_rules, image_rules
from convdepth.data.validation.run import Outcome, Table, inspect, open_context

Splits = Mapping[str, tuple[Any, Labels]]


def main(
    raw: Path, normalized: Path, summary: Path, docs: Path, params: Path = Path("params.yaml")
) -> None:
    """Check the raw and the normalized data by the rules.

    Args:
        raw: Folder with the four IDX files.
        normalized: Folder with the ``.npy`` files made from them.
        summary: JSON file with each outcome, written only if every rule holds. Its bytes depend on
            the data alone.
        docs: Folder for the pages, written in either case.
        params: The tolerances and ``normalize.max_images``.

    Raises:
        DataError: Rules are broken, or files cannot be read; the message has one line for each.
        MachineError: The summary or the pages cannot be written.
        ParameterError: A parameter is wrong.
    """
    parameters = read_params(params)
    data, outcomes = _read(raw, normalized)
    context = open_context()
    for table in _tabulate(data, parameters):
        outcomes += inspect(context, table)
    page = write_pages(context, outcomes, docs)
    if not all(outcome.holds for outcome in outcomes):
        raise DataError(_explain(outcomes, page))
    counts = {name: sum(len(labels) for _, labels in data[name].values()) for name in data}
    write_json(summary, _summarize(outcomes, counts))
    sizes = " and ".join(f"{count:,} {name}" for name, count in counts.items())
    print(f"validate: {len(outcomes)} rules hold for {sizes} images; pages: {page}", flush=True)


def _read(raw: Path, normalized: Path) -> tuple[dict[str, Splits], list[Outcome]]:
    """Read both stages; an unreadable split is an outcome that does not hold."""
    data: dict[str, Splits] = {}
    unreadable: list[Outcome] = []
    readers: list[tuple[str, Path, Callable[[Path, str], tuple[Any, Labels]]]] = [
        ("raw", raw, _read_raw),
        ("normalized", normalized, arrays.read_split),
    ]
    for name, folder, read in readers:
        splits = {}
        for split in SPLITS:
            try:
                splits[split] = read(folder, split)
            except DataError as error:
                rule = f"the files of {split} can be read"
                unreadable.append(Outcome(name, rule, holds=False, reason=str(error)))
        if len(splits) == len(SPLITS):
            data[name] = splits
    return data, unreadable


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
    if "raw" not in data:
        return
    stage = Stage("raw", full_ink=255)
    yield from stage_tables(stage, tabulate_raw(data["raw"]), parameters.validation)
    if "normalized" in data:
        stage = Stage("normalized", full_ink=1, max_images=parameters.normalize.max_images)
        rows = tabulate_normalized(data["normalized"], data["raw"])
        yield from stage_tables(stage, rows, parameters.validation)


def stage_tables(stage: Stage, rows: pd.DataFrame, tolerances: Validate) -> Iterator[Table]:
    """Yield the tables of images and of classes, with their rules.

    Args:
        stage: ``raw`` or ``normalized``.
        rows: One row per image, from `tabulate_raw` or `tabulate_normalized`.
        tolerances: Allowed distance from MNIST.
    """
    rules = image_rules(stage, tolerances)
    yield Table(f"{stage.name}_images", rows, ("split", "index"), rules)
    classes = count_classes(rows)
    ranges = [
        class_range(split, label, stage.size(split), tolerances.standard_errors)
        for split, label in zip(classes["split"], classes["label"], strict=True)
    ]
    classes[["fewest", "most"]] = ranges
    yield Table(f"{stage.name}_classes", classes, ("split", "label"), class_rules())


def _explain(outcomes: Sequence[Outcome], page: Path) -> str:
    broken = [outcome for outcome in outcomes if not outcome.holds]
    return "\n".join(
        [
            f"the data break {len(broken)} of {len(outcomes)} rules:",
            *(f"{outcome.table}: {outcome.rule}: {outcome.reason}" for outcome in broken),
            f"See {page}. Run `dvc repro --force download normalize` to restore damaged data.",
        ]
    )


def _summarize(outcomes: Sequence[Outcome], counts: Mapping[str, int]) -> dict[str, Any]:
    rules = [{"table": each.table, "rule": each.rule, **_found(each)} for each in outcomes]
    return {"success": True, "images": dict(counts), "num_rules": len(rules), "rules": rules}


def _found(outcome: Outcome) -> dict[str, Any]:
    if outcome.num_broken is not None:
        return {"num_broken": outcome.num_broken}
    if isinstance(outcome.observed, float):
        # The tolerances have five decimals; adding 0 turns -0.0 into 0.0.
        return {"observed": round(float(outcome.observed), 5) + 0.0}
    return {"observed": outcome.observed}
