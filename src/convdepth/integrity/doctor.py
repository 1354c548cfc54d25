"""`convdepth doctor`: run all checks, and print their findings."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from convdepth.core.errors import ConvdepthError, MachineError
from convdepth.integrity import check_environment, check_project
from convdepth.integrity.check_environment import Finding, fault
from convdepth.workspace.dvc import require_project

Check = Callable[[Path], list[Finding]]

CHECKS: dict[str, Check] = {
    "packages": check_environment.check_packages,
    "code": check_environment.check_code,
    "params.yaml": check_project.check_params,
    "dvc.lock": check_project.check_lock,
    "numeric class": check_project.check_models,
    "leftovers": check_project.check_leftovers,
    "removed networks": check_project.check_removed,
    "interrupted": check_project.check_interrupted,
    "GPU": check_environment.check_gpu,
    "Prefect": check_environment.check_prefect,
}

REMOTE: dict[str, Check] = {"DVC remote": check_environment.check_remote}
"""Takes long if the remote is far or absent."""


def print_diagnosis(project: Path = Path(), *, remote: bool = False) -> None:
    """Run all checks, and that of the DVC remote if asked to; print each finding."""
    require_project(project)
    faults = 0
    for label, finding in diagnose(CHECKS | REMOTE if remote else CHECKS, project):
        faults += finding.severity == "FAULT"
        remedy = f". {finding.remedy}" if finding.remedy else ""
        print(f"{finding.severity:<5}  {label}: {finding.text}{remedy}", flush=True)
    if faults:
        raise MachineError(
            f"{faults} faults found, expected none. Do what the lines that begin with FAULT say, "
            f"then run `convdepth doctor` again."
        )


def diagnose(checks: Mapping[str, Check], project: Path) -> Iterator[tuple[str, Finding]]:
    """Run checks, and yield the label and each finding; a check that fails is a finding, too."""
    for label, check in checks.items():
        try:
            findings = check(project.absolute())
        except ConvdepthError as error:
            findings = [fault(str(error).rstrip("."))]
        except Exception as error:
            text = f"this check itself failed: {type(error).__name__}: {error}"
            findings = [fault(text, "Please report it; the other checks do not depend on it.")]
        for finding in findings:
            yield label, finding
