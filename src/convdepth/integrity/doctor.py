"""`convdepth doctor`: all its checks, and how their findings are shown."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from convdepth.core.errors import ConvdepthError, MachineError
from convdepth.integrity import check_environment as checks_environment
from convdepth.integrity import check_project as checks_project
from convdepth.integrity import check_services as checks_services
from convdepth.integrity.findings import Finding, Severity, fault

Function = Callable[[Path], list[Finding]]


class Check(NamedTuple):
    """One check.

    Attributes:
        label: What it is about.
        run: Takes the root of the project, and gives what it finds.
    """

    label: str
    run: Function


CHECKS = [
    Check("Python", checks_environment.check_python),
    Check("packages", checks_environment.check_packages),
    Check("code", checks_environment.check_code),
    Check("params.yaml", checks_project.check_params),
    Check("cache", checks_project.check_cache),
    Check("dvc.lock", checks_project.check_lock),
    Check("rwlock", checks_project.check_rwlock),
    Check("leftovers", checks_project.check_leftovers),
    Check("checkpoints", checks_project.check_checkpoints),
    Check("writers", checks_project.check_writers),
    Check("orphans", checks_project.check_orphans),
    Check("numeric class", checks_project.check_numeric_class),
    Check("GPU", checks_environment.check_gpu),
    Check("git", checks_services.check_git),
    Check("DVC remote", checks_services.check_remote),
    Check("Prefect", checks_services.check_prefect),
]

REMOTE_ANSWERS = Check("DVC remote", checks_services.check_remote_answers)
"""Takes long where the remote is far, or is not there."""


def diagnose(checks: list[Check], project: Path = Path()) -> Iterator[tuple[str, Finding]]:
    """Run some checks, one after the other.

    Args:
        checks: They.
        project: The root of the project.

    Yields:
        The label of the check, and a finding. A check that fails itself is a finding, too.
    """
    for check in checks:
        for finding in _run(check, project):
            yield check.label, finding


def print_diagnosis(project: Path = Path(), *, remote: bool = False) -> None:
    """Run all checks, and print a line for each finding.

    Args:
        project: The root of the project.
        remote: Whether to ask the DVC remote, too.

    Raises:
        MachineError: Something is wrong.
    """
    faults = 0
    for label, finding in diagnose([*CHECKS, *([REMOTE_ANSWERS] if remote else [])], project):
        faults += finding.severity is Severity.FAULT
        remedy = f". {finding.remedy}" if finding.remedy else ""
        print(f"{finding.severity:<5}  {label}: {finding.text}{remedy}", flush=True)
    if faults:
        raise MachineError(
            f"{faults} {'thing is' if faults == 1 else 'things are'} wrong; each line that begins "
            f"with {Severity.FAULT} says what to do. Then look again: `convdepth doctor`."
        )


def _run(check: Check, project: Path) -> list[Finding]:
    try:
        return check.run(project.absolute())
    except ConvdepthError as error:
        return [fault(str(error).rstrip("."), "")]
    except Exception as error:  # one check that is broken must not hide what the others find
        text = f"this check itself failed: {type(error).__name__}: {error}"
        return [fault(text, "Please report it; the other checks do not depend on it.")]
