"""Words for `convdepth compare` and `rank`: on a terminal, in Markdown, and as JSON."""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from convdepth.commands import compare
from convdepth.commands.compare import Change, State, Verdict
from convdepth.commands.tables import break_lines, make_table, print_table
from convdepth.core.numbers import percentage, short_p, signed_percentage
from convdepth.core.text import markdown_table
from convdepth.evaluation.significance import LEVEL, Paired, rounded_p

NO_EVIDENCE = "no evidence of a difference"


@dataclass(frozen=True)
class Wording:
    """Words for a kind of comparison, from ``compare.toml``."""

    key: str
    header: Sequence[str]
    explanation: str
    verdicts: Mapping[Verdict, str]


def _read_words() -> Iterator[Wording]:
    path = Path(__file__).with_name("compare.toml")
    words = tomllib.loads(path.read_text(encoding="utf-8"))
    methods = words.pop("methods").format(level=LEVEL)
    for entry in words.values():
        own = {Verdict[verdict]: text for verdict, text in entry.pop("verdicts").items()}
        explanation = f"{methods} {entry.pop('explanation')}"
        yield Wording(
            **entry, explanation=explanation, verdicts=own | {Verdict.NO_EVIDENCE: NO_EVIDENCE}
        )


CHANGES, PAIRS = _read_words()

COLLAPSES = {
    (False, False): "",
    (False, True): ": it has learned nothing now",
    (True, False): ": it had learned nothing, and now it has",
    (True, True): ": it had learned nothing, and has not now",
}


def print_comparison(
    before: str, after: str | None = None, style: str = "table", project: Path = Path()
) -> None:
    """Compare two revisions, or one and the workspace, and print the result."""
    first, second = compare.read_states([before, after], project)
    heading = {"before": _revision(first), "after": _revision(second)}
    title = f"{first.label} -> {second.label}"
    _print(style, compare.compare(first, second), CHANGES, title, heading)


def print_ranking(revision: str | None, style: str = "table", project: Path = Path()) -> None:
    """Compare the networks of one revision with each other, and print the result."""
    (state,) = compare.read_states([revision], project)
    _print(style, compare.compare_networks(state), PAIRS, state.label, _revision(state))


def to_markdown(changes: Sequence[Change], wording: Wording) -> str:
    """Return a comparison as a Markdown table with its explanation."""
    rows = [_cells(change, wording) for change in changes]
    table = markdown_table(wording.header, rows, words=1)
    has_p = any(change.p is not None for change in changes)
    return f"{table}\n\n{wording.explanation}" if has_p else table


def _verdict(change: Change, wording: Wording) -> str:
    words = wording.verdicts[change.verdict].format(
        first=change.names[0], second=change.names[-1], missing=change.missing
    )
    return f"{words}{COLLAPSES[change.collapsed]}"


def _revision(state: State) -> dict[str, str | None]:
    return {"revision": state.label, "commit": state.commit}


def _name(change: Change) -> str:
    return " / ".join(change.names)


def _cells(change: Change, wording: Wording) -> list[str]:
    paired, verdict = change.paired, _verdict(change, wording)
    if paired is None:
        return [_name(change), *[""] * (len(wording.header) - 2), verdict]
    return [
        _name(change),
        percentage(paired.first_accuracy),
        percentage(paired.second_accuracy),
        _points(paired),
        f"{paired.only_first}",
        f"{paired.only_second}",
        "" if change.p is None else short_p(change.p),
        verdict,
    ]


def _points(paired: Paired) -> str:
    if not paired.differing:
        return "0"
    shown = map(signed_percentage, (paired.difference, *paired.interval))
    return "{} ({} to {})".format(*shown)


def _entry(change: Change, wording: Wording) -> dict[str, Any]:
    entry: dict[str, Any] = {"verdict": _verdict(change, wording)}
    if change.p is not None:
        entry["corrected_p"] = rounded_p(change.p)
    shares = {"between_seeds": change.between_seeds}
    if (paired := change.paired) is not None:
        names = ("first_accuracy", "second_accuracy", "difference")
        shares |= {name: getattr(paired, name) for name in names}
        shares |= dict(zip(("low", "high"), paired.interval, strict=True))
        entry |= {name: getattr(paired, name) for name in ("images", "only_first", "only_second")}
        entry["p"] = rounded_p(paired.p)
    return entry | {name: round(each, 6) for name, each in shares.items() if each is not None}


def _print(
    style: str, changes: Sequence[Change], wording: Wording, title: str, heading: Mapping[str, Any]
) -> None:
    if style == "json":
        entries = {_name(change): _entry(change, wording) for change in changes}
        result = {**heading, "level": LEVEL, wording.key: entries}
        print(json.dumps(result, indent=2, sort_keys=True))
    elif style == "markdown":
        print(to_markdown(changes, wording))
    else:
        _print_table(changes, title, wording)


def _print_table(changes: Sequence[Change], title: str, wording: Wording) -> None:
    table = make_table(title=title, title_justify="left")
    name, *numbers, verdict = wording.header
    table.add_column(name, no_wrap=True)
    for number in numbers:  # in a narrow terminal, lines break only between words
        table.add_column("\n".join(number.split()), justify="right", no_wrap=True)
    table.add_column(verdict, overflow="fold", min_width=len("difference"))
    for change in changes:
        table.add_row(*map(break_lines, _cells(change, wording)))
    console = Console(markup=False)  # a revision may have brackets
    print_table(table, console)
    if any(change.p is not None for change in changes):
        console.print(wording.explanation, style="dim", highlight=False)
