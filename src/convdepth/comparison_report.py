"""`convdepth compare`: what it shows on a terminal, in Markdown, and as JSON."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from convdepth.comparison import Change, State, compare, read_state
from convdepth.markdown import markdown_table
from convdepth.repository import cache_folder
from convdepth.significance import LEVEL, Paired

HEADER = ("network", "before", "after", "difference", "lost", "gained", "p", "verdict")

EXPLANATION = (
    "Accuracies in percent, differences in points with their 95 % interval (Bonett and Price); "
    "lost and gained: images that only the network before, or only that after, has right; p: exact "
    f"McNemar test, corrected for several networks (Holm), below {LEVEL} evidence of a difference. "
    "These are single trainings: with another seed, each of them comes out a little different."
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
    if style == "json":
        print(json.dumps(describe(*states, changes), indent=2, sort_keys=True))
    elif style == "markdown":
        print(to_markdown(changes))
    else:
        _print_table(changes, f"{states[0].label} -> {states[1].label}")


def describe(before: State, after: State, changes: Sequence[Change]) -> dict[str, object]:
    """Give a comparison as what a JSON file can hold.

    Args:
        before: The one state.
        after: The other.
        changes: What `compare` gave.

    Returns:
        Of both states revision and commit; level; and for each network verdict, images,
        before_accuracy, after_accuracy, difference, low and high (all -1 to 1), lost and gained
        (images), p and corrected_p. What is unknown is None.
    """
    return {
        "before": {"revision": before.label, "commit": before.commit},
        "after": {"revision": after.label, "commit": after.commit},
        "level": LEVEL,
        "networks": {change.network: _describe(change) for change in changes},
    }


def to_markdown(changes: Sequence[Change]) -> str:
    """Write a comparison as a table in Markdown, and what it means.

    Args:
        changes: What `compare` gave.
    """
    table = markdown_table(HEADER, map(_cells, changes), words=1)
    return f"{table}\n\n{EXPLANATION}" if _have_p(changes) else table


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
    entry: dict[str, object] = {"verdict": change.verdict, "corrected_p": _rounded(change.p)}
    paired = change.paired
    if paired is None:
        return entry
    low, high = paired.interval
    return entry | {
        "images": paired.images,
        "before_accuracy": round(paired.first_accuracy, 6),
        "after_accuracy": round(paired.second_accuracy, 6),
        "difference": round(paired.difference, 6),
        "low": round(low, 6),
        "high": round(high, 6),
        "lost": paired.only_first,
        "gained": paired.only_second,
        "p": _rounded(paired.p),
    }


def _rounded(p: float | None) -> float | None:
    return None if p is None else float(f"{p:.6g}")


def _print_table(changes: Sequence[Change], title: str) -> None:
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for name in HEADER:
        is_words = name in (HEADER[0], HEADER[-1])
        table.add_column(name, justify="left" if is_words else "right", overflow="fold")
    for change in changes:
        table.add_row(*_cells(change))
    console = Console()
    console.print(table)
    if _have_p(changes):
        console.print(EXPLANATION, style="dim", highlight=False)


def _have_p(changes: Sequence[Change]) -> bool:
    return any(change.p is not None for change in changes)
