"""What a check of `convdepth doctor` finds."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How a finding counts."""

    OK = "ok"
    NOTE = "note"
    """May well be so, and is good to know."""
    FAULT = "FAULT"


@dataclass(frozen=True)
class Finding:
    """One thing that a check has found.

    Attributes:
        severity: Whether something is wrong.
        text: What was found.
        remedy: What to do about it; empty if nothing has to be done.
    """

    severity: Severity
    text: str
    remedy: str = ""


def ok(text: str) -> Finding:
    """Make a finding that all is well."""
    return Finding(Severity.OK, text)


def note(text: str, remedy: str = "") -> Finding:
    """Make a finding that is good to know."""
    return Finding(Severity.NOTE, text, remedy)


def fault(text: str, remedy: str) -> Finding:
    """Make a finding that something is wrong."""
    return Finding(Severity.FAULT, text, remedy)
