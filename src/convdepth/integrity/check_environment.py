"""Checks of the environment: packages, the running code and DVC remote.

Each takes the root of the project and returns its findings. An error that it raises is a finding.
"""

import platform
import sys
from collections.abc import Iterator
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Literal, NamedTuple

from packaging.requirements import Requirement

import convdepth
from convdepth.core.text import name_first
from convdepth.workspace.dvc import ask_remote, find_remotes

LOCK = "requirements.lock"
"""The packages that `make environment` installs by default."""

REMOTE_SECONDS = 20.0
"""How long a DVC remote may take to answer."""


class Finding(NamedTuple):
    """A finding of a check, with the remedy if there is something to do; a fault fails `doctor`."""

    severity: Literal["ok", "note", "FAULT"]
    text: str
    remedy: str = ""


ok, note, fault = partial(Finding, "ok"), partial(Finding, "note"), partial(Finding, "FAULT")


def check_packages(project: Path) -> list[Finding]:
    """Compare the installed packages with their lock."""
    lock = project / installed_lock()
    required = list(_read_requirements(lock))
    wrong = [found for found in map(_compare, required) if found]
    if not wrong:
        return [ok(f"all {len(required)} of {lock.name}")]
    text = f"{len(wrong)} of {len(required)} differ from {lock.name}: {name_first(wrong)}"
    option = "" if lock.name == LOCK else f" LOCK={lock.name}"
    return [fault(text, f"Run `rm -f .venv/installed-{lock.name} && make environment{option}`.")]


def check_code(project: Path) -> list[Finding]:
    """Check that the running package belongs to this project; name Python."""
    running = Path(convdepth.__file__).resolve().parent
    expected = (project / "src" / "convdepth").resolve()
    if running == expected:
        return [ok(f"{running}, Python {platform.python_version()} in {sys.prefix}")]
    text = f"{running} runs, expected {expected}"
    return [fault(text, "Run `make environment` in this project, and use its own .venv.")]


def check_remote(project: Path) -> list[Finding]:
    """Ask the default DVC remote, which may take long."""
    default = find_remotes(project).default
    if default is None:
        text = "no default, so results stay on this machine"
        return [note(text, "`dvc remote add --default storage s3://BUCKET/FOLDER` sets one.")]
    if error := ask_remote(project, REMOTE_SECONDS):
        text = f"{default} does not answer: {error}"
        return [fault(text, "See `dvc remote list` and `dvc status --cloud --verbose`.")]
    return [ok(f"{default} answers")]


def installed_lock() -> str:
    """Return the name of the environment's lock: `make` leaves a file of its name there."""
    marks = Path(sys.prefix).glob("installed-*.lock")
    newest = max(marks, key=lambda mark: mark.stat().st_mtime, default=Path(f"installed-{LOCK}"))
    return newest.name.removeprefix("installed-")


def _read_requirements(lock: Path) -> Iterator[Requirement]:
    """Read the packages of a lock that are meant for this machine."""
    for line in lock.read_text(encoding="utf-8").splitlines():
        if line[:1].isalnum():  # the others are hashes and comments
            requirement = Requirement(line.partition("\\")[0].strip())
            if requirement.marker is None or requirement.marker.evaluate():
                yield requirement


def _compare(requirement: Requirement) -> str:
    try:
        found = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement.name} is not installed"
    is_right = requirement.specifier.contains(found, prereleases=True)
    return "" if is_right else f"{requirement.name} {found}, expected {requirement.specifier}"
