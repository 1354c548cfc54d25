"""Checks of `convdepth doctor`: the Prefect server, the DVC remote, git.

Each takes the root of the project, and gives what it has found. What it raises is a finding, too.
"""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from ruamel.yaml import YAML

from convdepth.core.errors import MachineError
from convdepth.core.text import counted
from convdepth.integrity.findings import Finding, fault, note, ok
from convdepth.workspace.dvc import ask_remote, find_remotes
from convdepth.workspace.git import count_changes, git_identity
from convdepth.workspace.servers import running_server

PATIENCE_SECONDS = 5.0
"""How long a Prefect server may take for each answer."""

REMOTE_SECONDS = 20.0
"""How long a DVC remote may take."""


@dataclass(frozen=True)
class Server:
    """A Prefect server.

    Attributes:
        url: The address of its API.
        named: Whether a setting names it; else it is that of `make ui`.
        headers: What it wants to know of who asks.
    """

    url: str
    named: bool
    headers: dict[str, str]


def check_prefect(project: Path) -> list[Finding]:
    """Check that the Prefect server that the flows would use answers, and what it would run."""
    server = find_server(project)
    if server is None:
        text = "no server runs here, and PREFECT_API_URL names none"
        return [note(text, "`make repro` starts one for itself; `make ui` starts one that stays.")]
    with httpx.Client(
        base_url=server.url, headers=server.headers, timeout=PATIENCE_SECONDS
    ) as client:
        try:
            _ask(client, "GET", "/health")
            _ask(client, "GET", "/admin/version")  # unlike the health, this wants the password
            return [ok(f"{server.url} answers"), *_check_deployments(client, project)]
        except httpx.HTTPStatusError as error:
            return [_explain(server, error)]
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            text = f"{server.url} does not answer: {str(error) or type(error).__name__}"
            return [fault(text, _server_remedy(server))]


def find_server(project: Path) -> Server | None:
    """Find the Prefect server that the flows would use, as Prefect itself is set up.

    Args:
        project: The root of the project, whose settings count, too.

    Returns:
        The one that a setting names, or else that of `make ui`; None if there is neither.

    Raises:
        MachineError: Prefect does not say how it is set up.
    """
    settings = _prefect_settings(project)
    named = settings.get("PREFECT_API_URL")
    url = named or running_server(Path(settings["PREFECT_HOME"]).expanduser() / "server.pid")
    if url is None:
        return None
    return Server(url, bool(named), _authorize(settings))


def check_remote(project: Path) -> list[Finding]:
    """Look whether there is a DVC remote that results are shared by."""
    remotes = find_remotes(project)
    if remotes.default:
        return [ok(f"{remotes.default} is the default")]
    if remotes.names:
        text = f"none of {', '.join(remotes.names)} is the default, so results are not shared"
        return [note(text, "`dvc remote default NAME` makes it so.")]
    text = "none is set, so results stay on this machine"
    return [note(text, "`dvc remote add --default storage s3://BUCKET/FOLDER` sets one.")]


def check_remote_answers(project: Path) -> list[Finding]:
    """Ask the DVC remote, which may take long."""
    remotes = find_remotes(project)
    if remotes.default is None:
        return []
    error = ask_remote(project, REMOTE_SECONDS)
    if error is None:
        return [ok(f"{remotes.default} answers")]
    text = f"{remotes.default} does not answer: {error}"
    return [fault(text, "See `dvc remote list` and `dvc status --cloud --verbose`.")]


def check_git(project: Path) -> list[Finding]:
    """Look who would make a commit, and whether there is something to commit."""
    changes = count_changes(project)
    if changes is None:
        text = "this is no git repository, so commits cannot be compared"
        return [note(text, "Run `git init`, or get the project by `git clone`.")]
    findings = []
    if identity := git_identity(project):
        findings.append(ok(f"commits are by {identity}"))
    else:
        text = "git does not know who you are, so results cannot be committed"
        remedy = "Run `git config --global user.name NAME` and `... user.email ADDRESS`."
        findings.append(note(text, remedy))
    if changes:
        text = f"{counted(changes, 'change')} since the last commit"
        findings.append(note(text, "`git status` lists what is new or differs."))
    return findings


def _prefect_settings(project: Path) -> dict[str, str]:
    """Ask Prefect for its settings: they come from variables, profiles and several files."""
    options = ["--show-defaults", "--show-secrets", "--output", "json"]
    ended = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "config", "view", *options],
        cwd=project,
        env=os.environ | {"DO_NOT_TRACK": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    try:
        entries = json.loads(ended.stdout)["settings"]
        # What is not set is shown as the text None.
        return {entry["name"]: entry["value"] for entry in entries if entry["value"] != "None"}
    except (ValueError, KeyError, TypeError) as error:
        said = (ended.stderr or ended.stdout).strip().rpartition("\n")[2]
        raise MachineError(
            f"`prefect config view` failed: {said or error}. Once this works by hand, run again; "
            "`dvc repro` needs no Prefect."
        ) from error


def _authorize(settings: dict[str, str]) -> dict[str, str]:
    """Give the header that Prefect's own client would send."""
    if auth := settings.get("PREFECT_API_AUTH_STRING"):
        return {"Authorization": f"Basic {base64.b64encode(auth.encode()).decode()}"}
    if key := settings.get("PREFECT_API_KEY"):
        return {"Authorization": f"Bearer {key}"}
    return {}


def _ask(client: httpx.Client, method: str, path: str, body: object = None) -> Any:
    response = client.request(method, path, json=body)
    response.raise_for_status()
    return response.json()


def _check_deployments(client: httpx.Client, project: Path) -> Iterator[Finding]:
    """Check what `prefect.yaml` schedules: is it on the server, and does anybody run it."""
    planned = YAML(typ="safe").load(project / "pipelines" / "prefect.yaml")["deployments"]
    for plan in planned:
        if plan.get("schedules"):
            name = plan["name"]
            body = {"deployments": {"name": {"any_": [name]}, "tags": {"all_": plan["tags"]}}}
            found = _ask(client, "POST", "/deployments/filter", body)
            if not found:
                text = f"{name} is not on the server, so nothing is scheduled"
                yield note(text, "`make deploy` puts it there.")
            for deployment in found:
                yield _judge_schedule(name, deployment)
                yield from _check_pool(client, deployment["work_pool_name"])


def _judge_schedule(name: str, deployment: dict[str, Any]) -> Finding:
    active = [each["schedule"] for each in deployment["schedules"] if each["active"]]
    if active and not deployment["paused"]:
        when = ", ".join(str(schedule.get("cron", "by its schedule")) for schedule in active)
        return ok(f"{name} is scheduled: {when}")
    text = f"{name} is on the server, but its schedule is paused"
    return note(text, f"Resume it on the page of the server, or by `prefect deployment` ({name}).")


def _check_pool(client: httpx.Client, pool: str) -> Iterator[Finding]:
    if _ask(client, "GET", f"/work_pools/{pool}")["is_paused"]:
        text = f"the work pool {pool} is paused, so nothing of it runs"
        yield note(text, f"`prefect work-pool resume {pool}` lets it go on.")
    workers = _ask(client, "POST", f"/work_pools/{pool}/workers/filter", {})
    online = [worker["name"] for worker in workers if worker["status"] == "ONLINE"]
    if online:
        yield ok(f"the work pool {pool} is served by {', '.join(online)}")
    else:
        text = f"no worker serves the work pool {pool}, so nothing of it runs"
        yield note(text, "`make worker` starts one on the machine that shall run it.")


def _explain(server: Server, error: httpx.HTTPStatusError) -> Finding:
    if error.response.status_code == httpx.codes.UNAUTHORIZED:
        text = f"{server.url} wants a password, or another one"
        remedy = "Set PREFECT_API_AUTH_STRING to its own PREFECT_SERVER_API_AUTH_STRING."
        return fault(text, remedy)
    return fault(f"{server.url} does not work: {error}", _server_remedy(server))


def _server_remedy(server: Server) -> str:
    if server.named:
        return "Start it, or unset PREFECT_API_URL; `dvc repro` needs no server."
    return "Run `prefect server stop`, then `make ui`; `dvc repro` needs no server."
