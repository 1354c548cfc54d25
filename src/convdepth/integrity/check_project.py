"""Checks of `convdepth doctor`: parameters, DVC's files, and what runs have left behind.

Each takes the root of the project, and gives what it has found. What it raises is a finding, too.
"""

import hashlib
import json
import os
import shlex
import shutil
import time
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import psutil

from convdepth.config.params import read_params
from convdepth.core.errors import DataError, ParameterError
from convdepth.core.text import counted, name_first
from convdepth.integrity.findings import Finding, fault, note, ok
from convdepth.integrity.interruptions import PACKAGES, Interrupted, find_interrupted, versions
from convdepth.workspace.dvc import cache_folder, find_option
from convdepth.workspace.lockfile import LOCK, trained_networks, training_command
from convdepth.workspace.locks import held_outputs
from convdepth.workspace.process import STAGE_VARIABLE, find_dvc

NEEDED_BYTES = 2_000_000_000
"""The data, models and copies of a whole run take half of it."""

LEFTOVER = ".*.tmp*"
"""What `files.atomic_path` calls a file that is not whole yet."""

RECORD_SUFFIX = ".numeric_class.json"
"""As `numeric_class.SUFFIX`, whose module imports TensorFlow."""

_TRAININGS = {"train", "train-tuned", "collapse"}
"""Commands of stages that train, and so may run for minutes or hours."""

_SKIPPED = {".git", ".dvc", ".venv", "__pycache__"}
"""Folders in which no stage writes."""


def check_params(project: Path) -> list[Finding]:
    """Read ``params.yaml``."""
    params = read_params(project / "params.yaml")
    return [ok(f"right; networks: {', '.join(params.architectures)}")]


def check_cache(project: Path) -> list[Finding]:
    """Check that DVC's cache can be written, and that there is room for a whole run."""
    cache = cache_folder(project.absolute())
    place = next(each for each in (cache, *cache.parents) if each.exists())
    if not os.access(place, os.W_OK | os.X_OK):
        text = f"{place} cannot be written, so no result can be kept"
        return [fault(text, f"Change its permissions: `chmod u+rwx {shlex.quote(str(place))}`.")]
    findings = []
    for folder in (place, project):
        free = shutil.disk_usage(folder).free
        if free < NEEDED_BYTES:
            text = f"{folder}: {free / 1e9:.1f} GB are free, a whole run may need "
            remedy = "Free some, such as by `dvc gc --workspace`, which deletes former results."
            findings.append(fault(f"{text}{NEEDED_BYTES / 1e9:.0f} GB", remedy))
    if place != cache:
        return [*findings, note(f"{cache} is not there yet: nothing was run or pulled here")]
    return findings or [ok(f"{cache}, {shutil.disk_usage(cache).free / 1e9:.1f} GB free")]


def check_lock(project: Path) -> list[Finding]:
    """Check that ``dvc.lock`` has a training of each network."""
    trained = trained_networks(project)
    missing = [name for name in _networks(project) if name not in trained]
    if missing:
        return [fault(f"{LOCK} has no training of {', '.join(missing)}", "Run `make repro`.")]
    return [ok(f"{LOCK} has a training of each network")]


def check_rwlock(project: Path) -> list[Finding]:
    """Read DVC's list of busy files, which stops each run if it is torn or names a stranger."""
    path = project / ".dvc" / "tmp" / "rwlock"
    if not path.exists():
        return [ok("DVC's list of busy files is empty")]
    remedy = f"`make repro` mends it; or, while no DVC runs: `rm {path.relative_to(project)}`."
    try:
        entries = list(_read_rwlock(path))
    except (ValueError, TypeError, KeyError, AttributeError):
        text = "DVC's list of busy files is torn, by a DVC that was killed; it stops each run"
        return [fault(text, remedy)]
    findings = []
    for pid, command in dict.fromkeys(entries):
        if not psutil.pid_exists(pid):
            text = f"DVC lists the process {pid} ({command}), which is gone; it soon forgets it"
            findings.append(note(text))
        elif not _may_be(pid, command):
            text = f"DVC waits for the process {pid}, which was `{command}`, and is another now"
            remove = f"rm {path.relative_to(project)}"
            findings.append(fault(text, f"While no DVC runs: `{remove}`."))
    return findings or [ok(f"DVC lists {counted(len(entries), 'busy file')}, no stranger's")]


def check_leftovers(project: Path) -> list[Finding]:
    """Look for half-written files of stages that were killed."""
    if held_outputs(project):
        return [ok("not looked for, since a stage is writing")]
    found = []
    for top, folders, files in os.walk(project):
        folders[:] = [name for name in folders if name not in _SKIPPED]
        names = [name for name in (*files, *folders) if fnmatch(name, LEFTOVER)]
        found += [str((Path(top) / name).relative_to(project)) for name in names]
    if not found:
        return [ok("no half-written files")]
    number = counted(len(found), "half-written file")
    text = f"{number} of stages that were killed: {name_first(found)}"
    return [fault(text, f"Run `rm -rf {shlex.join(found)}`.")]


def check_checkpoints(project: Path) -> list[Finding]:
    """List trainings that were interrupted, and say whether the next run takes them up."""
    if not _networks(project):
        return [ok("not looked for, since params.yaml is wrong")]
    findings = [_judge_interrupted(each, project) for each in find_interrupted(project)]
    return findings or [ok("no training was interrupted")]


def check_writers(project: Path) -> list[Finding]:
    """List what is being written."""
    busy = held_outputs(project)
    findings = [note(f"{output} is being written by {by}") for output, by in busy.items()]
    return findings or [ok("no stage is writing")]


def check_orphans(project: Path) -> list[Finding]:
    """Look for trainings that have outlived the DVC that started them."""
    findings = []
    for process in psutil.process_iter():
        try:
            name = _trained_by(process)
            here = name and Path(process.cwd()).resolve().is_relative_to(project.resolve())
            by_dvc = here and STAGE_VARIABLE in process.environ()  # else somebody runs it by hand
            if by_dvc and find_dvc(process) is None:
                text = f"the process {process.pid} trains {name}, and its DVC is gone"
                findings.append(fault(text, f"Run `kill {process.pid}`."))
        except (psutil.Error, OSError):
            continue  # it has just ended, or is another user's
    return findings or [ok("no training without its DVC")]


def check_numeric_class(project: Path) -> list[Finding]:
    """Compare what made each model with what is installed: bits depend on it."""
    findings: list[Finding] = []
    classes: dict[str, str] = {}
    for name in _trained(project):
        model = project / (find_option(training_command(name, project), "--model") or "")
        if model.is_file():
            record = model.with_name(model.stem + RECORD_SUFFIX)
            findings += _judge_record(name, model, record, classes)
    if len(set(classes.values())) > 1:
        text = "; ".join(f"{name} on {made_on}" for name, made_on in classes.items())
        remedy = "Where exact comparisons matter, run all of them on one machine."
        findings.append(note(f"the networks were not all trained alike: {text}", remedy))
    if not findings and not classes:
        return [ok("no trained network is in this workspace")]
    alike = f"{name_first(list(classes))} were trained alike, as here"
    return findings or [ok(f"{alike}: {next(iter(classes.values()))}")]


def _networks(project: Path) -> list[str]:
    """List the architectures; none if the parameters are wrong, which another check says."""
    try:
        return list(read_params(project / "params.yaml").architectures)
    except ParameterError:
        return []


def _trained(project: Path) -> list[str]:
    """List the networks that were trained; none if the lock is wrong, which another check says."""
    try:
        return trained_networks(project)
    except DataError:
        return []


def _read_rwlock(path: Path) -> Iterator[tuple[int, str]]:
    content = json.loads(path.read_bytes())
    for kind in ("write", "read"):
        for infos in content.get(kind, {}).values():
            for info in infos if isinstance(infos, list) else [infos]:
                yield int(info["pid"]), str(info["cmd"])


def _may_be(pid: int, command: str) -> bool:
    """Tell whether a process can be the one that DVC has listed, by its ``sys.argv``."""
    try:
        words = psutil.Process(pid).cmdline()
    except psutil.Error:
        return True
    return " ".join(words).endswith(command.partition(" ")[2])


def _trained_by(process: psutil.Process) -> str | None:
    """Give the network that a process trains."""
    words = process.cmdline()
    for place, word in enumerate(words[:3]):
        if Path(word).name == "convdepth" and set(words[place + 1 : place + 2]) & _TRAININGS:
            return str((words[place + 2 :] or ["?"])[0])
    return None


def _judge_interrupted(found: Interrupted, project: Path) -> Finding:
    newest = found.kept[-1]
    age = _age(time.time() - newest.modified)
    size = f"{sum(each.bytes for each in found.kept) / 1e6:.1f} MB"
    number = f"{len(found.kept)} trainings, " if len(found.kept) > 1 else ""
    part = f" of {found.part}" if found.part else ""
    text = f"{found.stage}: interrupted {age} ago after epoch {newest.epoch}{part} ({number}{size})"
    if found.differing:
        paths = shlex.join(str(each.relative_to(project)) for each in found.paths)
        text = f"{text}; not taken up, made with other {', '.join(found.differing)}"
        return note(text, f"Go back to those, or delete it: `rm -r {paths}`.")
    goes_on = "takes the trials that had ended" if found.is_search else "goes on from there"
    condition = "" if found.is_compared else ", unless its parameters have changed"
    return note(f"{text}; its next run {goes_on}{condition}")


def _judge_record(
    name: str, model: Path, record: Path, classes: dict[str, str]
) -> Iterator[Finding]:
    """Say what is odd about the record of what made a model; note in ``classes`` what made it."""
    try:
        entries = json.loads(record.read_bytes())
        recorded, digest = entries["model_sha256"], hashlib.sha256(model.read_bytes()).hexdigest()
        made = {package: str(entries[package]) for package in PACKAGES}
        on = f"{entries['device']}, TensorFlow {made['tensorflow']}, {entries['threads']} threads"
    except FileNotFoundError:
        yield note(f"{name} has no record of what made it: trained elsewhere, or by older code")
        return
    except (OSError, ValueError, KeyError, TypeError) as error:
        text = f"{record.name} cannot be read: {type(error).__name__}: {error}"
        yield fault(text, f"Run `rm {shlex.quote(str(record))}`.")
        return
    if recorded != digest:
        text = f"{record.name} is of another model than the {model.name} that is here"
        yield note(text, "It is no guide; the next training writes it anew.")
        return
    classes[name] = on
    here = versions()
    if changed := [key for key in made if made[key] != here[key]]:
        changes = ", ".join(f"{key} {made[key]}, now {here[key]}" for key in changed)
        text = f"{name} was made with other software: {changes}"
        yield note(text, "A new training gives other bytes.")


def _age(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} seconds"
