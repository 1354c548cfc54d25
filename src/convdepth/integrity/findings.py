"""Findings of the checks of `convdepth doctor`."""

from enum import StrEnum
from typing import NamedTuple


class Severity(StrEnum):
    """How a finding counts: only a fault makes the command fail."""

    OK = "ok"
    NOTE = "note"
    FAULT = "FAULT"


class Finding(NamedTuple):
    """A finding, with the remedy if there is something to do."""

    severity: Severity
    text: str
    remedy: str = ""


def ok(text: str) -> Finding:
    """Return a finding of severity `OK`."""
    return Finding(Severity.OK, text)


def note(text: str, remedy: str = "") -> Finding:
    """Return a finding of severity `NOTE`."""
    return Finding(Severity.NOTE, text, remedy)


def fault(text: str, remedy: str) -> Finding:
    """Return a finding of severity `FAULT`."""
    return Finding(Severity.FAULT, text, remedy)
