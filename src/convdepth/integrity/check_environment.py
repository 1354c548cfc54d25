"""Checks of `convdepth doctor`: Python, the installed packages, this package itself, the GPU.

Each takes the root of the project, and gives what it has found. What it raises is a finding, too.
"""

import platform
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import convdepth
from convdepth.core.text import name_first
from convdepth.integrity.findings import Finding, fault, note, ok
from convdepth.workspace.gpu import GPU_ENVIRONMENT, choose_gpus, describe, list_slots

LOCK = "requirements.lock"
"""The packages that `make environment` installs unless it is told otherwise."""


def check_python(project: Path) -> list[Finding]:
    """Compare the version of Python with what ``pyproject.toml`` requires."""
    settings = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    required, found = settings["project"]["requires-python"], platform.python_version()
    if SpecifierSet(required).contains(found, prereleases=True):
        return [ok(f"{found}, in {sys.prefix}")]
    text = f"expected {required}, got {found} ({sys.executable})"
    return [fault(text, "Delete .venv, and run `make environment PYTHON=python3.11`.")]


def check_packages(project: Path) -> list[Finding]:
    """Compare the installed packages with the lock that they were installed from."""
    lock = project / installed_lock()
    required = list(_read_requirements(lock))
    wrong = [found for found in map(_compare, required) if found]
    if not wrong:
        return [ok(f"all {len(required)} of {lock.name}")]
    text = f"{len(wrong)} of {len(required)} differ from {lock.name}: {name_first(wrong)}"
    option = "" if lock.name == LOCK else f" LOCK={lock.name}"
    return [fault(text, f"Run `rm -f .venv/installed-{lock.name} && make environment{option}`.")]


def check_code(project: Path) -> list[Finding]:
    """Check that the package that runs is the one of this project."""
    running = Path(convdepth.__file__).resolve().parent
    expected = (project / "src" / "convdepth").resolve()
    if running == expected:
        return [ok(f"{running}, the code of this project")]
    text = f"{running} runs, expected {expected}"
    return [fault(text, "Run `make environment` in this project, and use its own .venv.")]


def check_gpu(_project: Path) -> list[Finding]:
    """Say on what a training would compute, and who holds it; TensorFlow is not asked."""
    choice = choose_gpus()
    if not choice.gpus:
        return [ok(f"trainings use the CPU: {choice.reason}")]
    findings = [ok(text) for text in map(describe, list_slots(choice.gpus))]
    if not any(name.startswith("nvidia-cudnn") for name in _installed_names()):
        text = "there is a GPU, but TensorFlow was installed without CUDA"
        findings.append(note(text, f"To use the GPU, run `{GPU_ENVIRONMENT}`."))
    return findings


def installed_lock() -> str:
    """Name the lock that the environment was made from: `make` leaves a file of its name there."""
    marks = Path(sys.prefix).glob("installed-*.lock")
    newest = max(marks, key=lambda mark: mark.stat().st_mtime, default=Path(f"installed-{LOCK}"))
    return newest.name.removeprefix("installed-")


def _read_requirements(lock: Path) -> Iterator[Requirement]:
    """Read the packages of a lock that are meant for this machine."""
    for line in lock.read_text(encoding="utf-8").splitlines():
        if line[:1].isalnum():  # the others are hashes, and comments
            requirement = Requirement(line.partition("\\")[0].strip())
            if requirement.marker is None or requirement.marker.evaluate():
                yield requirement


def _compare(requirement: Requirement) -> str:
    try:
        found = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement.name} is not installed"
    if requirement.specifier.contains(found, prereleases=True):
        return ""
    return f"{requirement.name} {found}, expected {requirement.specifier}"


def _installed_names() -> Iterator[str]:
    for distribution in metadata.distributions():
        yield str(distribution.metadata["Name"]).lower()
