"""Questions to DVC: stages and their commands, recorded outputs, cache, remotes, status.

The only module of the package that imports DVC, and only when it is asked: the import takes a
second. Unless a function says otherwise, it raises a `MachineError` if DVC fails.
"""

import itertools
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import convdepth
from convdepth.config.parameter_file import require_text
from convdepth.core.errors import ConvdepthError, DataError, MachineError, ParameterError
from convdepth.core.hashes import FOLDER_SUFFIX
from convdepth.workspace.lockfile import LOCK
from convdepth.workspace.process import run_captured

GRAPH = Path("dvc.yaml")
STUDIES = Path("studies/dvc.yaml")  # depends on the pipeline; its ``dvc.lock`` is beside it
PARAMETER_FILES = ("params.yaml", "studies/params.yaml")  # what DVC reads to fill in ``${key}``


@dataclass(frozen=True)
class Output:
    """An output of a stage, as its ``dvc.lock`` records it; stage and path from the root.

    The MD5 is of a file, or of a folder's list of files with the suffix ``.dir``; empty if the
    result is older than the decision to keep this output. Of a cached output DVC keeps a copy.
    """

    stage: str
    path: str
    md5: str
    cached: bool = True

    @property
    def is_folder(self) -> bool:
        """Whether the output is a folder."""
        return self.md5.endswith(FOLDER_SUFFIX)

    @property
    def lock(self) -> str:
        """The ``dvc.lock`` that records it, from the root of the project."""
        graph = self.stage.rpartition(":")[0] or str(GRAPH)
        return Path(graph).with_name(LOCK.name).as_posix()


def require_project(folder: Path) -> None:
    """Raise a `MachineError` with the command that helps unless a folder is a project's root."""
    folder = folder.absolute()
    if not (folder / ".dvc").is_dir():
        near = (*folder.parents, Path(convdepth.__file__).parents[2])
        root = next((each for each in near if (each / ".dvc").is_dir()), None)
        command = f"cd {shlex.quote(str(root))}" if root else "git clone ADDRESS && cd convdepth"
        raise MachineError(
            f"{folder}: expected the root of a project, with the folder .dvc. Run `{command}`, "
            f"then run again."
        )


@contextmanager
def open_project(
    project: Path, failure: type[ConvdepthError] = MachineError, *, wait: bool = False
) -> Iterator[Any]:
    """Open the project as a ``dvc.repo.Repo``; DVC's errors become a ``failure``."""
    require_project(project)
    for name in PARAMETER_FILES:  # DVC itself would parse them for minutes
        require_text(project / name)
    from dvc.exceptions import DvcException  # noqa: PLC0415
    from dvc.repo import Repo  # noqa: PLC0415

    try:
        with Repo(str(project), _wait_for_lock=wait) as repo:
            yield repo
    except DvcException as error:
        raise failure(
            f"{project.absolute()}: DVC failed: {error}. `dvc status` says more; `git checkout` "
            f"restores a damaged file."
        ) from error


def recorded_outputs(
    project: Path = Path(), commit: str | None = None, graph: Path = GRAPH
) -> list[Output]:
    """List the outputs that a ``dvc.lock`` records, see `outputs_in`."""
    with open_project(project, DataError) as repo:
        return outputs_in(repo, commit, graph)


def outputs_in(repo: Any, commit: str | None, graph: Path = GRAPH) -> list[Output]:
    """List the outputs that the ``dvc.lock`` beside a graph records, stage by stage.

    ``repo`` is from `open_project`; no commit is the workspace. Stages that the graph no longer
    defines are left out. A lock that is missing or malformed is a `DataError`.
    """
    lock = graph.with_name(LOCK.name)
    with repo.switch(commit or "workspace"):
        if not repo.fs.exists(repo.fs.join(repo.root_dir, lock.as_posix())):
            missing = f"is not in commit {commit[:12]}" if commit else "is missing"
            raise DataError(
                f"{lock}: {missing}. Run `dvc repro`, or name a commit with results; "
                f"`git log -- {lock}` lists them."
            )
        return [
            Output(address(stage), repo.fs.relpath(out.fs_path, repo.root_dir), md5, out.use_cache)
            for stage in _load_stages(repo, graph)
            if any(each.hash_info for each in (*stage.deps, *stage.outs))
            for out in stage.outs
            for md5 in [_read_md5(lock, stage, out)]
        ]


def planned_command(name: str, project: Path = Path(), commit: str | None = None) -> list[str]:
    """Return the words of the command that trains a network: ``convdepth train <name> ...``."""
    command = planned_commands(project, commit=commit).get(f"train@{name}", [])
    if command[:3] != ["convdepth", "train", name]:
        raise DataError(
            f"{project / GRAPH}: train@{name}.cmd: expected `convdepth train {name} ...`, got "
            f"{shlex.join(command)!r}. Run `git checkout {GRAPH}`."
        )
    return command


def planned_commands(
    project: Path = Path(), graph: Path = GRAPH, commit: str | None = None
) -> dict[str, list[str]]:
    """Return the words of each stage's command, by the name that `dvc repro` takes."""
    with open_project(project, DataError) as repo, repo.switch(commit or "workspace"):
        return {
            address(stage): shlex.split(stage.cmd)
            for stage in _load_stages(repo, graph)
            if isinstance(stage.cmd, str)
        }


def find_option(command: Sequence[str], option: str) -> str | None:
    """Return the value of an option such as ``--model``; None if the command lacks it."""
    for word, following in itertools.pairwise([*command, ""]):
        if word == option:
            return following or None
        if word.startswith(f"{option}="):
            return word.removeprefix(f"{option}=")
    return None


def object_path(cache: Path, md5: str) -> Path:
    """Return the path of a content in DVC's cache."""
    return cache / "files" / "md5" / md5[:2] / md5[2:]


def fetch_content(md5: str, project: Path = Path()) -> Path | None:
    """Return the cached file with a content, from the default remote if need be; None if absent."""
    from dvc_data.hashfile.hash_info import HashInfo  # noqa: PLC0415

    with open_project(project, DataError) as repo:
        path = object_path(Path(repo.cache.local_cache_dir), md5)
        if not path.is_file() and repo.config["core"].get("remote"):
            repo.cloud.pull([HashInfo("md5", md5)])
        return path if path.is_file() else None


def lies_within(path: str) -> bool:
    """Tell whether a relative path with slashes stays in the folder that it starts from."""
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts and "\0" not in path


def is_md5(digits: str) -> bool:
    """Tell whether a text is an MD5 without suffix; anything else could name any file."""
    return re.fullmatch(r"[0-9a-f]{32}", digits) is not None


def default_remote(project: Path = Path()) -> str | None:
    """Return the name of the default DVC remote, or None; wrong settings are a `ParameterError`."""
    with open_project(project, ParameterError) as repo:
        remote: str | None = repo.config["core"].get("remote")
        return remote


def ask_remote(project: Path, seconds: float) -> str | None:
    """Return DVC's reason if the default remote does not answer within ``seconds``, else None.

    DVC runs as a child process: a call that waits for a silent remote cannot be ended otherwise.
    """
    try:
        ended = run_dvc("status", "--cloud", "--json", project=project, seconds=seconds)
    except subprocess.TimeoutExpired:
        return f"no answer within {seconds:.0f} s"
    if ended.returncode == 0:
        return None
    reason = _reason(ended.stderr)
    if plugin := re.search(r"requires '(dvc-\w+)' to be installed", reason):
        install = [sys.executable, "-m", "pip", "install", plugin[1]]
        return f"{plugin[1]} is not installed; run `{shlex.join(install)}`"
    return reason


def changed_stages(project: Path = Path()) -> dict[str, list[Any]]:
    """Return the changes of each stage of both graphs, as `dvc status --json` gives them."""
    with open_project(project) as repo, repo.lock:
        return {
            address(stage): changes
            for stage in repo.index.stages
            for changes in stage.status(check_updates=True).values()
        }


def refresh_code(project: Path = Path()) -> None:
    """Let DVC run the stage `code` if a source has changed, in a child process."""
    ended = run_dvc("--wait-for-lock", "repro", "--single-item", "code", project=project)
    if ended.returncode:
        raise MachineError(
            f"`dvc repro code` failed: {_reason(ended.stderr)}. Run it by hand, then run again."
        )


def show_experiments(commits: Sequence[str], project: Path = Path()) -> list[Any]:
    """Return what `dvc exp show --json` says of commits and of the experiments on top of each."""
    revisions = (word for commit in commits for word in ("--rev", commit))
    command = ("--wait-for-lock", "exp", "show", "--json", "--hide-workspace", *revisions)
    ended = run_dvc(*command, project=project)
    if ended.returncode:
        reason = _reason(ended.stderr)
        raise MachineError(f"`dvc exp show` in {project.resolve()} failed: {reason}")
    return [each for each in json.loads(ended.stdout) if each["rev"] != "workspace"]


def run_dvc(
    *arguments: str, project: Path, seconds: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run DVC's command line in a child process."""
    return run_captured([sys.executable, "-m", "dvc", *arguments], project, seconds=seconds)


def without_credentials(text: str) -> str:
    """Remove user names, passwords and tokens from the addresses in a text."""
    return re.sub(r"(?<=://)[^/\s@]*@", "", text)


def address(stage: Any) -> str:
    """Return the name of a stage as `dvc repro` takes it in the root of the project."""
    # DVC's own `addressing` is relative to the current folder.
    file = "" if stage.path_in_repo == str(GRAPH) else stage.path_in_repo
    name = getattr(stage, "name", "")  # the stage of a file such as `data.dvc` has none
    return ":".join(filter(None, [file, name]))


def _load_stages(repo: Any, graph: Path) -> list[Any]:
    return list(repo.stage.load_file(repo.fs.join(repo.root_dir, graph.as_posix())))


def _read_md5(lock: Path, stage: Any, out: Any) -> str:
    if not out.hash_info:
        return ""
    found = out.hash_info
    if found.name != "md5" or not is_md5(found.value.removesuffix(FOLDER_SUFFIX)):
        raise DataError(
            f"{lock}: stages.{stage.name}.outs: {out.def_path}: expected an MD5, got {found}. "
            f"Run `git checkout {lock}`."
        )
    return str(found.value)


def _reason(errors: str) -> str:
    """Return the line of DVC's error; after it comes an invitation to its forum."""
    lines = [line for line in errors.splitlines() if line.strip()] or ["no message"]
    error = next((line for line in lines if line.startswith("ERROR: ")), lines[-1])
    return without_credentials(error.removeprefix("ERROR: "))
