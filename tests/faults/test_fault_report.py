"""The table of the faults: only what was counted, in the order of the properties."""

from types import SimpleNamespace
from typing import Any

import fault_report
import pytest
from fault_report import FIGURES, KEY, Record, count, table


def report(*counted: dict[str, Any], when: str = "call") -> SimpleNamespace:
    return SimpleNamespace(when=when, user_properties=[(KEY, each) for each in counted])


def counted(name: str, reached: int, tried: int, note: str = "", **others: int) -> dict[str, Any]:
    numbers = {"reached": reached, "tried": tried}
    return {"property": name, "note": note, "others": others, **numbers}


def test_the_counts_of_a_property_are_summed_up_and_each_note_is_told_once() -> None:
    kills = [counted("random kills", 3, 4, "seed 1", mended=1) for _ in range(2)]
    clones = counted("fresh clones", 5, 5)
    counts = count([report(kills[0]), report(kills[1], clones), report(kills[0], when="setup")])
    assert table(counts)[2:] == [
        f"| fresh clones | {FIGURES['fresh clones']} | 5 of 5 |  |",
        f"| random kills | {FIGURES['random kills']} | 6 of 8 | seed 1; mended: 2 |",
    ]


def test_without_counts_there_is_nothing_to_tell() -> None:
    assert count([SimpleNamespace(when="call", user_properties=[("other", 1)])]) == {}


def test_what_a_test_records_travels_with_its_report(
    record_fault: Record, request: pytest.FixtureRequest
) -> None:
    record_fault("signals", 1, 2, "a note", deaf=3)
    assert request.node.user_properties == [(KEY, counted("signals", 1, 2, "a note", deaf=3))]
    request.node.user_properties.clear()  # nothing was tried here


def test_a_property_must_be_one_of_the_table(record_fault: Record) -> None:
    with pytest.raises(AssertionError):
        record_fault("luck", 1, 1)


@pytest.mark.parametrize(("full", "some", "written"), [(True, 0, 1), (True, 1, 0), (False, 0, 0)])
def test_the_table_is_written_down_only_if_all_was_tried(
    monkeypatch: pytest.MonkeyPatch, full: bool, some: int, written: int
) -> None:
    calls: list[object] = []
    monkeypatch.setattr(fault_report, "write", lambda *arguments: calls.append(arguments))
    reports = [report(counted(name, 1, 1)) for name in list(FIGURES)[some:]]
    reporter = SimpleNamespace(
        getreports=lambda kind: reports if kind == "passed" else [],
        section=lambda _: None,
        write_line=lambda _: None,
    )
    config = SimpleNamespace(getoption=lambda _: "full" if full else "sample")
    fault_report.pytest_terminal_summary(reporter, config)  # type: ignore[arg-type]
    assert len(calls) == written
