"""The tables of README.md and of the pages in docs/, written from the results."""

import json
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
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


def _mean(value: Mapping[str, Any]) -> str:
    mean, deviation = (value[key] for key in ("mean", "standard_deviation"))
    text = f"**{percentage(mean)}%**"
    return text if deviation is None else f"{text} ± {percentage(deviation)}"


FORMATS: Mapping[str, Callable[[Any], str]] = {
    "percent": lambda value: f"{percentage(value)}%",
    "points": signed_percentage,
    "mean": _mean,
    "p": short_p,
    "count": lambda value: str(len(value)),
}
"""Of templates, beside those of Python; the first three take shares."""


class CellFormatter(Formatter):
    """Fills templates with `FORMATS`; None becomes a dash."""

    def format_field(self, value: Any, format_spec: str) -> str:
        """Format one value of a template."""
        if value is None:
            return "-"
        if format_spec in FORMATS:
            return FORMATS[format_spec](value)
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
    recipe, tuned = (_read_answer(metrics, question) for question in ("recipe", "tuned"))
    by_recipe, by_tuning = (_list_networks(answer) for answer in (recipe, tuned))
    own: dict[str, Entry] = {name: _read_metrics(metrics / f"{name}.json") for name in names}
    return {
        "overview": {
            name: {
                **own[name],
                "recipe": by_recipe.get(name, {}).get("accuracy"),
                "tuned": by_tuning.get(name, {}).get("accuracy"),
            }
            for name in names
        },
        "results": own,
        "seeds": {name: by_recipe.get(name, {}) for name in names},
        "over_seeds": _summarize_seeds({"recipe": recipe, "tuned": tuned}, names),
        "depth": _list_depths(_read_answer(metrics, "depth")),
        "questions": _list_questions(metrics, plan),
        "pairs": _list_pairs(recipe),
        "tuned": {
            name: {**by_tuning[name], **tuned.gains[name].model_dump()}
            for name in names
            if tuned and name in tuned.gains
        },
        "tuned_pairs": _list_pairs(tuned),
        "collapse": {
            name: _group_scales(_read_study(metrics / "studies" / "collapse" / f"{name}.json"))
            for name in names
        },
        "models": {name: _read_json(metrics / "digests" / f"{name}.json", RUN) for name in names},
        "claims": {name: each.model_dump() for name, each in read_notebook(notebook).items()},
    }


def _list_networks(answer: Answer | None) -> dict[str, Entry]:
    """Return the networks of an answer with one group."""
    groups = answer.groups.values() if answer else ()
    return {each.network: each.model_dump() for networks in groups for each in networks}


def _list_pairs(answer: Answer | None) -> dict[str, Entry]:
    found = answer.comparisons if answer else []
    return {f"{each.first} / {each.second}": each.model_dump() for each in found}


def _summarize_seeds(
    answers: Mapping[str, Answer | None], names: Sequence[str]
) -> dict[str, Entry]:
    """Return what the seeds of each network have together, and last the vote of all networks."""
    rows: dict[str, dict[str, Any]] = {name: {} for name in [*names, "all"]}
    for group, answer in answers.items():
        known = {name: each["over_seeds"] for name, each in _list_networks(answer).items()}
        known["all"] = {"vote": answer and answer.votes[group]}
        for name, row in rows.items():
            found = known.get(name, {})
            row[f"{group}_vote"] = found.get("vote")
            row[f"{group}_agreement"] = found.get("agreement")
            row[f"{group}_accuracy"] = found.get("accuracy_without_doubtful", {}).get("mean")
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
