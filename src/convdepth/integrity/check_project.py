"""Checks of the project's files: parameters, ``dvc.lock``, and what runs have left behind.

Each takes the root of the project and returns its findings. An error that it raises is a finding.
"""

import hashlib
import json
import os
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

from convdepth.config.params import read_params
from convdepth.core.errors import DataError, ParameterError
from convdepth.core.text import counted, name_first
from convdepth.integrity.findings import Finding, fault, note, ok
from convdepth.integrity.interrupted_trainings import Interrupted, find_interrupted, versions
from convdepth.workspace.dvc import recorded_outputs
from convdepth.workspace.lockfile import LOCK, trained_networks
from convdepth.workspace.locks import held_outputs

LEFTOVERS = ".*.tmp*"
"""Names that `files.atomic_path` gives to unfinished files."""

SKIPPED = {".git", ".dvc", ".venv", "__pycache__"}
"""Folders in which no stage writes."""

RECORD = ".numeric_class.json"
"""As `numeric_class.SUFFIX`, whose module imports TensorFlow."""

RWLOCK = Path(".dvc/tmp/rwlock")
"""DVC's list of busy files."""


def check_params(project: Path) -> list[Finding]:
    """Read ``params.yaml``."""
    params = read_params(project / "params.yaml")
    return [ok(f"valid; networks: {', '.join(params.architectures)}")]


def check_lock(project: Path) -> list[Finding]:
    """Check that ``dvc.lock`` can be read and has a training of each network."""
    trained = trained_networks(project)
    missing = [name for name in _networks(project) if name not in trained]
    if missing:
        return [fault(f"no training of {', '.join(missing)}", "Run `make repro`.")]
    return [ok(f"{LOCK} has a training of each network")]


def check_models(project: Path) -> list[Finding]:
    """Name the numeric class that made each model."""
    classes: dict[tuple[str, bool], list[str]] = {}
    for model in _models(project):
        entries = json.loads(model.with_suffix(RECORD).read_bytes())
        if entries.pop("model_sha256") == hashlib.sha256(model.read_bytes()).hexdigest():
            text = ", ".join(f"{key} {value}" for key, value in entries.items())
            is_installed = versions().items() <= entries.items()
            classes.setdefault((text, is_installed), []).append(model.stem)
    findings = []
    for (text, is_installed), names in classes.items():
        found = f"{', '.join(names)}: {text}"
        remedy = "Other versions are installed, so a new training gives other bytes."
        findings.append(ok(found) if is_installed else note(found, remedy))
    return findings or [ok("no model with a record is here")]


def check_leftovers(project: Path) -> list[Finding]:
    """Look for unfinished files of killed stages, and for a torn list of busy files."""
    if held_outputs(project):
        return [ok("not looked for, since a stage is writing")]
    findings = []
    if found := sorted(_unfinished_files(project)):
        text = f"{counted(len(found), 'unfinished file')} of killed stages: {name_first(found)}"
        findings.append(fault(text, f"Run `rm -rf {shlex.join(found)}`."))
    try:
        json.loads((project / RWLOCK).read_bytes())
    except FileNotFoundError:
        pass
    except ValueError:
        text = f"{RWLOCK} is torn by a killed DVC, and stops each run"
        findings.append(fault(text, f"While no DVC runs: `rm {RWLOCK}`; `make repro` does it too."))
    return findings or [ok("no unfinished files")]


def check_interrupted(project: Path) -> list[Finding]:
    """List interrupted trainings, and tell whether the next run takes them up."""
    if not _networks(project):
        return [ok("not looked for, since params.yaml is invalid")]
    findings = [_judge(each, project) for each in find_interrupted(project)]
    return findings or [ok("no training was interrupted")]


def check_writers(project: Path) -> list[Finding]:
    """List outputs that a stage is writing."""
    busy = held_outputs(project)
    findings = [note(f"{output} is being written by {by}") for output, by in busy.items()]
    return findings or [ok("no stage is writing")]


def _models(project: Path) -> list[Path]:
    """List the models of ``dvc.lock`` with a record; none if it is invalid, see `check_lock`."""
    try:
        paths = [project / output.path for output in recorded_outputs(project)]
    except DataError:
        return []
    models = [path for path in paths if path.suffix == ".keras" and path.exists()]
    return [model for model in models if model.with_suffix(RECORD).exists()]


def _networks(project: Path) -> list[str]:
    """List the architectures; none if the parameters are invalid, which `check_params` tells."""
    try:
        return list(read_params(project / "params.yaml").architectures)
    except ParameterError:
        return []


def _unfinished_files(project: Path) -> Iterator[str]:
    for top, folders, files in os.walk(project):
        folders[:] = [name for name in folders if name not in SKIPPED]
        for path in map(Path(top).joinpath, (*files, *folders)):
            if path.match(LEFTOVERS):
                yield str(path.relative_to(project))


def _judge(found: Interrupted, project: Path) -> Finding:
    kept = found.checkpoint
    folder = kept.path.parent.relative_to(project)
    age = f"{(time.time() - kept.modified) / 3600:.1f} hours ago"
    text = f"{found.stage}: interrupted {age} after epoch {kept.epoch} ({kept.bytes / 1e6:.1f} MB)"
    if found.differing:
        text = f"{text}; not taken up, made with other {', '.join(found.differing)}"
        return note(text, f"Restore these, or delete it: `rm -r {shlex.quote(str(folder))}`.")
    condition = "" if found.knows_parameters else ", unless its parameters have changed"
    return note(f"{text}; its next run resumes {folder}{condition}")
