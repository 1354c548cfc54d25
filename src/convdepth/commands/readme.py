"""The tables of README.md and of the pages in docs/, written from the results."""

import itertools
import json
import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from string import Formatter
from typing import Any

from convdepth.config.params import read_params
from convdepth.core.errors import DataError
from convdepth.core.files import write_text
from convdepth.core.numbers import percentage, short_p, signed_percentage
from convdepth.evaluation.notebook_record import read_notebook
from convdepth.evaluation.result_file import read_result
from convdepth.evaluation.results import Answer, Difference
from convdepth.workspace.lockfile import LOCK, read_lock_entries

Entry = Mapping[str, Any]

SECTIONS: Mapping[str, Mapping[str, str]] = tomllib.loads(
    Path(__file__).with_name("readme.toml").read_text(encoding="utf-8")
)
"""The columns of each table, by the name in its marks."""

RUN = "dvc repro"

PLAN = Path("studies/questions.toml")


class CellFormatter(Formatter):
    """Fills templates; ``percent``, ``points`` and ``mean`` take shares; None becomes a dash."""

    def format_field(self, value: Any, format_spec: str) -> str:
        """Format one value of a template."""
        if value is None:
            return "-"
        if format_spec == "percent":
            return f"{percentage(value)}%"
        if format_spec == "mean":
            mean, deviation = (value[key] for key in ("mean", "standard_deviation"))
            text = f"**{percentage(mean)}%**"
            return text if deviation is None else f"{text} ± {percentage(deviation)}"
        if format_spec == "points":
            return signed_percentage(value)
        if format_spec == "p":
            return short_p(value)
        return str(super().format_field(value, format_spec))


def update_pages(pages: Sequence[Path], metrics: Path, notebook: Path, params: Path) -> None:
    """Write the tables between their marks, ``<!-- name -->`` and ``<!-- /name -->``.

    The pages together must have the marks of each table exactly once; else none changes.
    """
    networks = list(read_params(params).architectures)
    _refuse_trial(networks, params.with_name(LOCK.name), notebook)
    results = _collect(metrics, notebook, networks, params.parent / PLAN)
    texts = {page: page.read_text(encoding="utf-8") for page in pages}
    for name, columns in SECTIONS.items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        mark = re.compile(f"{start}.*?{end}", re.DOTALL)
        found = [page for page, text in texts.items() for _ in mark.findall(text)]
        if len(found) != 1:
            raise DataError(
                f"{', '.join(map(str, pages))}: expected {start} ... {end} in one place, found it "
                f"in {len(found)}. Add or delete marks."
            )
        before, after = mark.split(texts[found[0]])
        texts[found[0]] = f"{before}{start}\n{_table(results[name], columns)}\n{end}{after}"
    for page, text in texts.items():
        write_text(page, text)


def _refuse_trial(names: Sequence[str], lock: Path, notebook: Path) -> None:
    """Raise a `DataError` if the results are of fewer images or epochs than the notebook's."""
    stages = read_lock_entries(lock).items()
    used = {stage: entry.get("params", {}).get("params.yaml", {}) for stage, entry in stages}
    expected = max(len(record.epochs) for record in read_notebook(notebook).values())
    images = used.get("normalize", {}).get("normalize", {}).get("max_images")
    trained = [used.get(f"train@{name}", {}).get("train", {}) for name in names]
    epochs = min(each.get("epochs", expected) for each in trained)
    if images is not None or epochs < expected:
        raise DataError(
            f"{lock}: a quick trial made the results: normalize.max_images was "
            f"{'null' if images is None else images}, expected null; train.epochs was {epochs}, "
            f"expected at least {expected}. Correct params.yaml, run `make repro`, then run again."
        )


def _collect(
    metrics: Path, notebook: Path, names: list[str], plan: Path
) -> dict[str, dict[str, Entry]]:
    """Return for each section the entries by network or pair, in order."""
    contrasts = _read_study(metrics / "studies" / "contrasts.json")
    found = contrasts.get("pairs", {})
    tuned_pairs = contrasts.get("tuned", {}).get("pairs", {})
    tuned = _read_study(metrics / "tuned" / "summary.json").get("networks", {})
    gains = contrasts.get("gains", {}).get("networks", {})
    pairs = [" / ".join(pair) for pair in itertools.combinations(names, 2)]
    own: dict[str, Entry] = {name: _read_metrics(metrics / f"{name}.json") for name in names}
    seeds: dict[str, Entry] = {
        name: _with_calibration(_read_study(metrics / "replicates" / f"{name}.json"))
        for name in names
    }
    return {
        "overview": {
            name: {
                **own[name],
                "recipe": seeds[name].get("accuracy"),
                "tuned": tuned.get(name, {}).get("accuracy"),
            }
            for name in names
        },
        "results": own,
        "seeds": seeds,
        "over_seeds": _summarize_seeds(contrasts, names),
        "depth": _list_depths(_read_answer(metrics, "depth")),
        "questions": _list_questions(metrics, plan),
        "pairs": {each: found[each] for each in pairs if each in found},
        "tuned": {
            name: _with_calibration(tuned[name]) | gains[name]
            for name in names
            if name in tuned.keys() & gains
        },
        "tuned_pairs": {each: tuned_pairs[each] for each in pairs if each in tuned_pairs},
        "collapse": {
            name: _group_scales(_read_study(metrics / "studies" / "collapse" / f"{name}.json"))
            for name in names
        },
        "models": {name: _read_json(metrics / "digests" / f"{name}.json", RUN) for name in names},
        "claims": {name: each.model_dump() for name, each in read_notebook(notebook).items()},
    }


def _with_calibration(study: dict[str, Any]) -> dict[str, Any]:
    """Add the mean calibration error over the seeds to a study's result, unless it has not run."""
    errors = [run["calibration_error"] for run in study.get("runs", [])]
    return study | {"calibration_error": fmean(errors)} if errors else study


def _summarize_seeds(contrasts: Mapping[str, Any], names: Sequence[str]) -> dict[str, Entry]:
    """Return what the seeds of each network have together, and last the vote of all networks."""
    rows: dict[str, dict[str, Any]] = {name: {} for name in [*names, "all"]}
    for prefix, group in (("recipe", contrasts), ("tuned", contrasts.get("tuned", {}))):
        known = {**group.get("networks", {}), "all": {"vote": group.get("vote")}}
        for name, row in rows.items():
            found = known.get(name, {})
            row[f"{prefix}_vote"] = found.get("vote")
            row[f"{prefix}_agreement"] = found.get("agreement")
            row[f"{prefix}_accuracy"] = found.get("accuracy_without_doubtful", {}).get("mean")
    return dict(rows)


def _list_depths(answer: Answer | None) -> dict[str, Entry]:
    """Return one entry per group and depth, with its comparison with the smallest depth."""
    if answer is None:
        return {}
    none = dict.fromkeys(Difference.model_fields)
    return {
        f"{group} {point.network}": {
            **point.model_dump(),
            **(found.model_dump() if (found := answer.find(group, point.network)) else none),
        }
        for group, points in answer.groups.items()
        for point in points
    }


def _sum_up(answer: Answer | None) -> dict[str, Any]:
    """Return result and verdict of a question in a few words."""
    if answer is None:
        return {"result": "no training yet", "verdict": None}
    if not (found := answer.comparisons):
        return {"result": f"{answer.trained} of {answer.planned} trainings", "verdict": None}
    means = [point.accuracy.mean for points in answer.groups.values() for point in points]
    widest = max(found, key=lambda each: abs(each.difference))
    difference = "{} ({} to {})".format(
        *map(signed_percentage, (widest.difference, widest.low, widest.high))
    )
    kinds = Counter(each.verdict for each in found)
    return {
        "result": f"means {percentage(min(means))} to {percentage(max(means))}%; largest "
        f"difference {difference}: {widest.second} less {widest.first}, `{widest.group}`",
        "verdict": "; ".join(f"{number} times {kind}" for kind, number in kinds.items()),
    }


def _table(entries: Mapping[str, Entry], columns: Mapping[str, str]) -> str:
    """Return a Markdown table with one row per entry; an empty entry has not been run."""
    rows = [list(columns), ["---"] * len(columns)]
    for key, entry in entries.items():
        name = f"`{key.replace(' / ', '` / `')}`"
        fields = {**entry, "name": name}
        filled = [CellFormatter().vformat(cell, (), fields) for cell in columns.values() if entry]
        rows.append(filled or [name, "not run", *["-"] * (len(columns) - 2)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _group_scales(study: Mapping[str, Any]) -> Entry:
    """List a study's dropout scales by whether trainings learned; empty if it has not run."""
    groups: dict[str, list[str]] = {"all": [], "some": [], "none": []}
    for point in study.get("points", []):
        learned = [run["epochs_to_learn"] is not None for run in point["runs"]]
        kind = "all" if all(learned) else "some" if any(learned) else "none"
        groups[kind].append(f"{point['scale']:g}")
    return {kind: ", ".join(scales) or None for kind, scales in groups.items()} if study else {}


def _read_metrics(path: Path) -> Entry:
    """Read a network's metrics; the status of a collapsed network gets its evidence."""
    metrics = _read_json(path, RUN)
    if metrics["status"] == "collapsed":
        cell = 'collapsed: {answer_share:percent} of its answers are "{answer}"'
        metrics["status"] = CellFormatter().vformat(cell, (), metrics["evidence"])
    return metrics


def _list_questions(metrics: Path, plan: Path) -> dict[str, Entry]:
    """Return one entry per question of the plan, with its result."""
    try:
        questions = tomllib.loads(plan.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{plan}: cannot be read: {error}. Run `git checkout {plan}`.") from error
    return {
        name: {"core_hours": None} | entry | _sum_up(_read_answer(metrics, name))
        for name, entry in questions.items()
    }


def _read_answer(metrics: Path, question: str) -> Answer | None:
    path = metrics / "studies" / f"{question}.json"
    return read_result(path, Answer, RUN) if path.exists() else None


def _read_study(path: Path) -> dict[str, Any]:
    """Read a result of the studies; empty if they have not run, since they take hours."""
    return _read_json(path, "dvc repro studies/dvc.yaml") if path.exists() else {}


def _read_json(path: Path, command: str) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}. Run `{command}`.") from error
