"""The fixtures that try faults and count what was survived; print the table and write it down.

`pytest -m faults` tries a sample of each, `make faults` all of them.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

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

Record = Callable[..., None]
TryEach = Callable[..., None]
Counts = dict[str, dict[str, Any]]


def is_full(config: pytest.Config) -> bool:
    """Tell whether all faults are tried instead of a sample."""
    return bool(config.getoption("--faults") == "full")


def pytest_addoption(parser: pytest.Parser) -> None:
    told = "how many of the faults are tried by the tests with the mark of that name"
    parser.addoption("--faults", choices=["sample", "full"], default="sample", help=told)


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    return is_full(request.config)


@pytest.fixture
def record_fault(request: pytest.FixtureRequest) -> Record:
    """Record counts: ``record_fault(property, reached, tried, note="", **further_counts)``."""

    def record(name: str, reached: int, tried: int, note: str = "", **others: int) -> None:
        assert name in FIGURES
        request.node.user_properties.append((KEY, [name, reached, tried, note, others]))

    return record


@pytest.fixture
def try_each(full: bool, record_fault: Record) -> TryEach:
    """Try cases by name, or a sample; record how many went well, and fail if one did not.

    ``attempt`` asserts that a case goes well. It may add to the ``others`` that are counted.
    """

    def try_cases(
        name: str,
        cases: Mapping[str, Any],
        attempt: Callable[[Any], None],
        *,
        sample: int,
        note: str = "",
        others: Mapping[str, int] | None = None,
    ) -> None:
        size = len(cases) if full else min(sample, len(cases))
        problems = []
        for case in random.Random(name).sample(list(cases), size):
            try:
                attempt(cases[case])
            except AssertionError as error:
                problems.append(f"{case}: {error}")
        record_fault(name, size - len(problems), size, note, **(others or {}))
        assert not problems, "\n".join(problems)

    return try_cases


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    reports = [each for kind in ("passed", "failed") for each in terminalreporter.getreports(kind)]
    if counts := count(reports):
        lines = table(counts)
        terminalreporter.section("faults")
        terminalreporter.write_line("\n".join(lines))
        if is_full(config) and set(counts) == set(FIGURES):
            write(counts, lines)


def count(reports: Iterable[Any]) -> Counts:
    counts: Counts = {
        name: {"reached": 0, "tried": 0, "notes": [], "others": Counter()} for name in FIGURES
    }
    told = [value for each in reports for key, value in each.user_properties if key == KEY]
    for name, reached, tried, note, others in told:
        found = counts[name]
        found["reached"] += reached
        found["tried"] += tried
        found["others"].update(others)
        if note and note not in found["notes"]:
            found["notes"].append(note)
    return {name: found for name, found in counts.items() if found["tried"]}


def table(counts: Counts) -> list[str]:
    lines = ["| property | to reach | reached | |", "|---|---|--:|---|"]
    for name, found in counts.items():
        others = [f"{key}: {number}" for key, number in found["others"].items()]
        reached, remark = f"{found['reached']} of {found['tried']}", [*found["notes"], *others]
        lines.append(f"| {name} | {FIGURES[name]} | {reached} | {'; '.join(remark)} |")
    return lines


def write(counts: Counts, lines: list[str]) -> None:
    from benchmarks import reporting

    result = {"machine": reporting.describe_machine(), "properties": counts}
    reporting.write_results("faults", result)
    reporting.write_section("faults", [*lines, "", f"{reporting.where(result)}."])
