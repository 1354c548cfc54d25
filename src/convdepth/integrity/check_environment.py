"""Checks of the environment: packages, the running code, GPU, Prefect and DVC remote."""

import os
import platform
import sys
from collections.abc import Iterator
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Literal, NamedTuple

from packaging.requirements import Requirement
from ruamel.yaml import YAML

import convdepth
from convdepth.core.errors import MachineError, ParameterError
from convdepth.core.text import name_first
from convdepth.workspace.dvc import ask_remote, default_remote
from convdepth.workspace.gpu import GPU_ENVIRONMENT, choose_gpus, describe, list_slots
from convdepth.workspace.process import run_captured
from convdepth.workspace.servers import bypass_proxies, prefect_home, require_home, running_server

LOCK = "requirements.lock"  # the packages that `make environment` installs by default

SERVER_SETTINGS = {  # give a Prefect server 5 s to answer
    "DO_NOT_TRACK": "1",
    "PREFECT_API_REQUEST_TIMEOUT": "5",
    "PREFECT_CLIENT_MAX_RETRIES": "0",
}

DEPLOYMENTS = "pipelines/deploy/prefect.yaml"
REMOTE_SECONDS = 20.0  # how long a DVC remote may take to answer


ASK_SERVER = """
import sys
from convdepth.workspace.process import run_app
from convdepth.workspace.servers import explained_settings

def ask():
    with explained_settings():
        import prefect.context
        from prefect.client.orchestration import get_client
        from prefect.settings import PREFECT_API_URL, temporary_settings
    if url := PREFECT_API_URL.value() or sys.argv[1]:
        print(url, flush=True)
        with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:
            client.read_flows(limit=1)

run_app(ask)
"""
"""Prints the server's address; fails unless it answers. Its health would need no password."""


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


def check_gpu(project: Path) -> list[Finding]:
    """Name the device of the next training and its users, without TensorFlow."""
    choice = choose_gpus()
    if not choice.gpus:
        deployments = YAML(typ="safe").load(project / DEPLOYMENTS)["deployments"]
        remedy = f"Run workers elsewhere, or set `require_gpu: false` in {DEPLOYMENTS}."
        return [ok(f"trainings use the CPU: {choice.reason}")] + [
            note(f"the deployment {each['name']} requires a GPU, so its runs fail here", remedy)
            for each in deployments
            if each.get("parameters", {}).get("require_gpu")
        ]
    findings = [ok(text) for text in map(describe, list_slots(choice.gpus))]
    names = [str(each.metadata["Name"]).lower() for each in metadata.distributions()]
    if not any(name.startswith("nvidia-cudnn") for name in names):
        text = "there is a GPU, but TensorFlow was installed without CUDA"
        findings.append(note(text, f"To use the GPU, run `{GPU_ENVIRONMENT}`."))
    return findings


def check_prefect(project: Path) -> list[Finding]:
    """Ask the Prefect server of the settings, or of `make ui`, whether it answers."""
    bypass_proxies()
    home = prefect_home()
    if "PREFECT_API_URL" not in os.environ:
        require_home(home)
    command = [sys.executable, "-c", ASK_SERVER, running_server(home / "server.pid") or ""]
    ended = run_captured(command, project, {**SERVER_SETTINGS, **os.environ})
    url = ended.stdout.strip() or "Prefect"
    reason = (ended.stderr.strip() or "no message").splitlines()[-1]
    if ended.returncode in (ParameterError.exit_code, MachineError.exit_code):
        return [fault(reason.removeprefix("error: ").rstrip("."))]
    if ended.returncode and "Unauthorized" in ended.stderr:
        remedy = "Set PREFECT_API_AUTH_STRING to the server's PREFECT_SERVER_API_AUTH_STRING."
        return [fault(f"{url}: authentication failed (401)", remedy)]
    if ended.returncode:
        remedy = "Start it, or unset PREFECT_API_URL."
        return [note(f"{url} does not work: {reason}", f"{remedy} `dvc repro` needs no server.")]
    if not ended.stdout:
        return [note("no server", "`make repro` starts one for itself; `make ui` one that stays.")]
    return [ok(f"{url} answers")]


def check_remote(project: Path) -> list[Finding]:
    """Ask the default DVC remote, which may take long."""
    default = default_remote(project)
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
