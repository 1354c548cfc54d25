"""Findings of the checks of `convdepth doctor`."""

from enum import StrEnum
from functools import partial
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


ok, note, fault = (partial(Finding, severity) for severity in Severity)
