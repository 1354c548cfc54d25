"""Count how often each fault was tried and survived; print the table and write it down.

`pytest -m faults` tries a sample of each, `make faults` all of them.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

OPTION = "--faults"
FULL = "full"

KEY = "fault"
"""Key of a test's counts in its report, which pytest-xdist sends to the main process."""

FIGURES = {
    "fresh clones": "all hashes in dvc.lock and files in metrics/ equal",
    "random kills": "100 of 100 end with equal bytes",
    "killed trainings": "all equal, at most one epoch lost",
    "failing writes": "no partial file, former files intact, rerun succeeds",
    "flipped bytes": "all reported",
    "clean checks": "no false alarm in 100",
    "concurrent starts": "50 of 50 without two writers",
    "signals": "no process left after 5 s",
    "hostile inputs": "all refused with the right exit code, no code executed",
    "no network": "passes, no attempt to connect",
    "no-op commit": "`dvc metrics diff` prints nothing",
}
"""Property to its target, in the order of the table."""


@dataclass
class Count:
    """How often a property held and was tried, with notes (each once) and further counts."""

    reached: int = 0
    tried: int = 0
    notes: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)

    def add(self, reached: int, tried: int, note: str, others: Mapping[str, int]) -> None:
        self.reached += reached
        self.tried += tried
        self.others.update(others)
        if note and note not in self.notes:
            self.notes.append(note)

    @property
    def remark(self) -> str:
        others = [f"{name.replace('_', ' ')}: {number}" for name, number in self.others.items()]
        return "; ".join([*self.notes, *others])


Record = Callable[..., None]


@pytest.fixture
def record_fault(request: pytest.FixtureRequest) -> Record:
    """Record counts: ``record_fault(property, reached, tried, note="", **further_counts)``."""

    def record(name: str, reached: int, tried: int, note: str = "", **others: int) -> None:
        assert name in FIGURES
        numbers = {"reached": reached, "tried": tried}
        counted = {"property": name, "note": note, "others": others, **numbers}
        request.node.user_properties.append((KEY, counted))

    return record


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    """Whether all faults are tried instead of a sample."""
    return is_full(request.config)


def is_full(config: pytest.Config) -> bool:
    return bool(config.getoption(OPTION) == FULL)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        OPTION,
        choices=["sample", FULL],
        default="sample",
        help="how many of the faults are tried by the tests with the mark of that name",
    )


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    reports = [
        report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)
    ]
    counts = count(reports)
    if not counts:
        return
    lines = table(counts)
    terminalreporter.section("faults")
    for line in lines:
        terminalreporter.write_line(line)
    if is_full(config) and set(counts) == set(FIGURES):
        write(counts, lines)


def count(reports: Iterable[Any]) -> dict[str, Count]:
    counts: dict[str, Count] = {}
    for report in reports:
        if getattr(report, "when", None) == "call":
            for key, value in report.user_properties:
                if key == KEY:
                    found = counts.setdefault(value["property"], Count())
                    found.add(value["reached"], value["tried"], value["note"], value["others"])
    return {name: counts[name] for name in FIGURES if name in counts}


def table(counts: dict[str, Count]) -> list[str]:
    rows = [
        f"| {name} | {FIGURES[name]} | {found.reached} of {found.tried} | {found.remark} |"
        for name, found in counts.items()
    ]
    return ["| property | to reach | reached | |", "|---|---|--:|---|", *rows]


def write(counts: dict[str, Count], lines: Sequence[str]) -> None:
    from benchmarks import reporting

    machine = reporting.describe_machine()
    found = {name: vars(entry) for name, entry in counts.items()}
    reporting.write_results("faults", {"machine": machine, "properties": found})
    where = f"{machine['cores']} cores, {machine['cpu']}."
    reporting.write_section("faults", [*lines, "", where])
