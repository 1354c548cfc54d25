"""`convdepth compare` and `rank`: what they show on a terminal, in Markdown, and as JSON."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table

from convdepth.commands.compare import Change, State, compare, compare_networks, read_state
from convdepth.core.text import markdown_table
from convdepth.evaluation.significance import LEVEL, Paired, rounded_p
from convdepth.workspace.repository import cache_folder


class Wording(NamedTuple):
    """How a kind of comparison is shown.

    Attributes:
        header: The columns of its table.
        explanation: What they mean.
    """

    header: Sequence[str]
    explanation: str


METHODS = (
    "Accuracies in percent, differences in points with their 95 % interval (Bonett and Price); p "
    f"of the exact McNemar test, corrected for several (Holm), below {LEVEL} is evidence. These "
    "are single trainings: with another seed, each network comes out a little different."
)

CHANGES = Wording(
    ("network", "before", "after", "difference", "lost", "gained", "p", "verdict"),
    f"{METHODS} Where the studies have its seeds, it counts only if it is more than 95 % of what "
    "two of them differ by. Lost and gained: images that only the network before, or after, has "
    "right.",
)

PAIRS = Wording(
    ("pair", "first", "second", "difference", "only first", "only second", "p", "verdict"),
    f"{METHODS} What several seeds say together is in the studies. Only first, only second: images "
    "that only this one of the two has right.",
)


def print_comparison(
    before: str, after: str | None = None, style: str = "table", project: Path = Path()
) -> None:
    """Compare two states, and print what was found.

    Args:
        before: A commit as git names it.
        after: Another one; None for the workspace.
        style: ``table`` for the terminal, ``markdown`` or ``json``.
        project: The root of the project.

    Raises:
        ParameterError: There is no such commit.
        DataError: It has no ``dvc.lock``, or one that cannot be read.
        IntegrityError: A table of predictions is damaged.
        MachineError: DVC failed.
    """
    cache = cache_folder(project)
    states = read_state(before, cache, project), read_state(after, cache, project)
    changes = compare(*states)
    title = f"{states[0].label} -> {states[1].label}"
    _print(style, changes, describe(*states, changes), title, CHANGES)


def print_ranking(revision: str | None, style: str = "table", project: Path = Path()) -> None:
    """Compare the networks of one state with each other, and print what was found.

    Args:
        revision: A commit as git names it; None for the workspace.
        style: ``table`` for the terminal, ``markdown`` or ``json``.
        project: The root of the project.

    Raises:
        ParameterError: There is no such commit.
        DataError: It has no ``dvc.lock``, or what a network answered is not on this machine.
        IntegrityError: A table of predictions is damaged.
        MachineError: DVC failed.
    """
    state = read_state(revision, cache_folder(project), project)
    changes = compare_networks(state)
    pairs = {change.network: _describe(change) for change in changes}
    result = {**_name(state), "level": LEVEL, "pairs": pairs}
    _print(style, changes, result, state.label, PAIRS)


def describe(before: State, after: State, changes: Sequence[Change]) -> dict[str, object]:
    """Give a comparison as what a JSON file can hold.

    Args:
        before: The one state.
        after: The other.
        changes: What `compare` gave.

    Returns:
        Of both states revision and commit; level; and for each network verdict, images,
        first_accuracy and second_accuracy (that is before and after), difference, low and high
        (all -1 to 1), between_seeds (see `Change`), only_first and only_second (images), p and
        corrected_p. What cannot be known is not there.
    """
    return {
        "before": _name(before),
        "after": _name(after),
        "level": LEVEL,
        "networks": {change.network: _describe(change) for change in changes},
    }


def to_markdown(changes: Sequence[Change], wording: Wording) -> str:
    """Write a comparison as a table in Markdown, and what it means.

    Args:
        changes: What `compare` or `compare_networks` gave.
        wording: How it is shown: `CHANGES` or `PAIRS`.
    """
    table = markdown_table(wording.header, map(_cells, changes), words=1)
    return f"{table}\n\n{wording.explanation}" if _have_p(changes) else table


def _name(state: State) -> dict[str, str | None]:
    return {"revision": state.label, "commit": state.commit}


def _cells(change: Change) -> list[str]:
    paired = change.paired
    if paired is None:
        return [change.network, *[""] * 6, change.verdict]
    return [
        change.network,
        f"{100 * paired.first_accuracy:.2f}",
        f"{100 * paired.second_accuracy:.2f}",
        _points(paired),
        f"{paired.only_first}",
        f"{paired.only_second}",
        "" if change.p is None else show_p(change.p),
        change.verdict,
    ]


def _points(paired: Paired) -> str:
    if not paired.differing:
        return "0"
    low, high = paired.interval
    return f"{100 * paired.difference:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})"


def show_p(p: float) -> str:
    """Write a p with two digits that count.

    Args:
        p: 0 to 1; one that is too small for a float is 0.
    """
    return f"{p:.2g}" if p > 0 else "<1e-300"


def _describe(change: Change) -> dict[str, object]:
    entry: dict[str, object] = {"verdict": change.verdict}
    if change.p is not None:
        entry["corrected_p"] = rounded_p(change.p)
    if change.between_seeds is not None:
        entry["between_seeds"] = round(change.between_seeds, 6)
    if (paired := change.paired) is None:
        return entry
    low, high = paired.interval
    return entry | {
        "images": paired.images,
        "first_accuracy": round(paired.first_accuracy, 6),
        "second_accuracy": round(paired.second_accuracy, 6),
        "difference": round(paired.difference, 6),
        "low": round(low, 6),
        "high": round(high, 6),
        "only_first": paired.only_first,
        "only_second": paired.only_second,
        "p": rounded_p(paired.p),
    }


def _print(
    style: str,
    changes: Sequence[Change],
    result: Mapping[str, object],
    title: str,
    wording: Wording,
) -> None:
    if style == "json":
        print(json.dumps(result, indent=2, sort_keys=True))
    elif style == "markdown":
        print(to_markdown(changes, wording))
    else:
        _print_table(changes, title, wording)


def _print_table(changes: Sequence[Change], title: str, wording: Wording) -> None:
    table = Table(
        title=title,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        padding=(0, 1, 0, 0),
        show_edge=False,
    )
    name, *numbers, verdict = wording.header
    table.add_column(name, no_wrap=True)
    for number in numbers:
        # Where the terminal is narrow, lines break between words, and not within.
        table.add_column("\n".join(number.split()), justify="right", no_wrap=True)
    table.add_column(verdict, overflow="fold", min_width=len("difference"))
    for change in changes:
        table.add_row(*(cell.replace(" (", "\n").removesuffix(")") for cell in _cells(change)))
    console = Console()
    console.print(table)
    if _have_p(changes):
        console.print(wording.explanation, style="dim", highlight=False)


def _have_p(changes: Sequence[Change]) -> bool:
    return any(change.p is not None for change in changes)
