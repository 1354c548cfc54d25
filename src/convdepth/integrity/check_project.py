"""Checks of the project's files: parameters, ``dvc.lock``, and what runs have left behind."""

import contextlib
import json
import os
import shlex
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from convdepth.config.parameter_file import require_text
from convdepth.config.params import read_params
from convdepth.config.recipe import read_training
from convdepth.core.errors import DataError, ParameterError
from convdepth.core.text import counted, name_first
from convdepth.integrity.check_environment import Finding, fault, note, ok
from convdepth.training.checkpoints import Unfinished, describe_training, differences, unfinished
from convdepth.workspace.code_digests import read_command
from convdepth.workspace.dvc import GRAPH, STUDIES, find_option, planned_commands
from convdepth.workspace.lockfile import LOCK, RECORD, model_path, numeric_class, read_lock_entries
from convdepth.workspace.locks import held_outputs

LEFTOVERS = ".*.tmp*"  # names that `files.atomic_path` gives to unfinished files
SKIPPED = {".git", ".dvc", ".venv", "__pycache__"}  # folders in which no stage writes
RWLOCK = Path(".dvc/tmp/rwlock")  # DVC's list of busy files


def check_params(project: Path) -> list[Finding]:
    """Read ``params.yaml``."""
    params = read_params(require_text(project / "params.yaml"))
    return [ok(f"valid; networks: {', '.join(params.architectures)}")]


def check_lock(project: Path) -> list[Finding]:
    """Check that ``dvc.lock`` can be read and has a training of each network."""
    stages = read_lock_entries(project / LOCK)
    missing = [name for name in _networks(project) if f"train@{name}" not in stages]
    if missing:
        return [fault(f"no training of {', '.join(missing)}", "Run `make repro`.")]
    return [ok(f"{LOCK} has a training of each network")]


def check_models(project: Path) -> list[Finding]:
    """Name the numeric class that made each model."""
    findings = []
    for name in _networks(project):
        # `check_lock` tells what is wrong with the lock.
        with contextlib.suppress(ParameterError, DataError):
            if made := numeric_class(model_path(name, project)):
                text = f"{name}: {', '.join(f'{key} {value}' for key, value in made.items())}"
                remedy = "Other versions are installed, so a new training gives other bytes."
                is_same = versions().items() <= made.items()
                findings.append(ok(text) if is_same else note(text, remedy))
    return findings or [ok("no model with a record is here")]


def check_leftovers(project: Path) -> list[Finding]:
    """Unless a stage is writing, look for unfinished files, and a torn list of busy files."""
    if busy := held_outputs(project):
        return [note(f"{output} is being written by {writer}") for output, writer in busy.items()]
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


def check_removed(project: Path) -> list[Finding]:
    """List the files of removed networks, which ``dvc.lock`` still has: DVC does not prune it."""
    kept, left = set[str](), set[str]()
    for graph in (GRAPH, STUDIES):
        lock = (project / graph).with_name(LOCK.name)
        if not lock.exists():
            continue
        defined = {each.rpartition(":")[2] for each in planned_commands(project, graph)}
        for stage, entry in read_lock_entries(lock).items():
            outs = {out["path"] for out in entry.get("outs", [])}
            (kept if stage in defined else left).update(outs)
    left |= {str(Path(each).with_suffix(RECORD)) for each in left if each.endswith(".keras")}
    found = sorted(path for path in left - kept if os.path.lexists(project / path))
    if not found:
        return [ok("none")]
    text = f"{counted(len(found), 'file')} of networks that params.yaml lacks: {name_first(found)}"
    return [note(text, f"To delete: `rm -r {shlex.join(found)}`, then `make repro`.")]


def check_interrupted(project: Path) -> list[Finding]:
    """List interrupted trainings, and tell whether the next run takes them up."""
    if not _networks(project) or held_outputs(project):
        return [ok("not looked for, since a stage is writing or params.yaml is invalid")]
    findings = []
    for graph in (GRAPH, STUDIES):
        commands = planned_commands(project, graph) if (project / graph).exists() else {}
        for stage, command in commands.items():
            if checkpoints := find_option(command, "--checkpoints"):
                manifests = (project / checkpoints).rglob("epoch-*.json")
                for folder in sorted({path.parent.parent for path in manifests}):
                    found = unfinished(folder)
                    findings += [_forecast(stage, command, each, project) for each in found]
    return findings or [ok("no training was interrupted")]


def versions() -> dict[str, str]:
    """Return the installed versions that are part of a numeric class."""
    return {package: version(package) for package in ("tensorflow", "keras", "numpy")}


def _forecast(stage: str, command: Sequence[str], kept: Unfinished, project: Path) -> Finding:
    """Compare all but data and device with the next run; parameters only of `convdepth train`."""
    there, module = kept.fingerprint, command[1].replace("-", "_")
    here: dict[str, Any] = {
        **there,
        "code": read_command(module).digest,
        "numeric class": {**there.get("numeric class", {}), **versions()},
    }
    if module == "train":
        architecture, recipe = read_training(command[2], project / "params.yaml")
        seed = int(find_option(command, "--seed") or recipe.seed)
        recipe = recipe.model_copy(update={"seed": seed})
        here["parameters"] = describe_training(architecture, recipe, [], "", {})["parameters"]
    hours = (time.time() - kept.path.stat().st_mtime) / 3600
    text = f"{stage}: interrupted {hours:.1f} hours ago after epoch {kept.epoch}"
    folder = kept.path.parent.relative_to(project)
    if differing := ", ".join(differences(there, here)):
        remedy = f"Restore these, or delete it: `rm -r {shlex.quote(str(folder))}`."
        return note(f"{text}; not taken up, made with other {differing}", remedy)
    return note(f"{text}; with the same data and settings, its next run resumes {folder}")


def _networks(project: Path) -> list[str]:
    """List the architectures; none if the parameters are invalid, which `check_params` tells."""
    try:
        return list(read_params(require_text(project / "params.yaml")).architectures)
    except ParameterError:
        return []


def _unfinished_files(project: Path) -> Iterator[str]:
    for top, folders, files in os.walk(project):
        folders[:] = [name for name in folders if name not in SKIPPED]
        for path in map(Path(top).joinpath, (*files, *folders)):
            if path.match(LEFTOVERS):
                yield str(path.relative_to(project))
