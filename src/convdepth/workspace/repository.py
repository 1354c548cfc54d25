"""What DVC and git know of this project's results.

The one module that speaks to them, for the commands about history, cache and health; never for a
stage. Both are asked in child processes: importing DVC takes a second, and ours is no part of it.
"""

import itertools
import json
import posixpath
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from convdepth.core.errors import DataError, MachineError, ParameterError
from convdepth.core.hashes import FOLDER_SUFFIX, folder_md5, md5_of

LOCK = Path("dvc.lock")
"""Where DVC records what each stage has made."""

GRAPH = Path("dvc.yaml")
"""Where the stages are defined."""

STUDIES = Path("studies/dvc.yaml")
"""Where those of the studies are, on top of the first; its own ``dvc.lock`` is beside it."""

_TEMPLATE = re.compile(r"\\\$\\\{.*?\\\}")
"""A ``${...}`` of dvc.yaml, after `re.escape`."""

_PLACEHOLDER = re.compile(r"\$\{\s*(.*?)\s*\}")
"""The same, in the file itself."""


@dataclass(frozen=True)
class Output:
    """An output of a stage, as a ``dvc.lock`` records it.

    Attributes:
        stage: The stage that has made it, as `dvc repro` takes it.
        path: Where it belongs, from the root of the project, with slashes.
        md5: Of the file; of a folder, that of the list of its files, with ``.dir`` behind it. Empty
            if none is recorded: the result is older than the decision to keep this output.
        cached: Whether DVC keeps a copy. What is small is in git instead.
    """

    stage: str
    path: str
    md5: str
    cached: bool = True

    @property
    def is_folder(self) -> bool:
        """Whether it was a folder."""
        return self.md5.endswith(FOLDER_SUFFIX)

    @property
    def lock(self) -> str:
        """The ``dvc.lock`` that records it, from the root of the project."""
        graph, _, _ = self.stage.rpartition(":")
        return Path(graph).with_name(LOCK.name).as_posix() if graph else str(LOCK)


@dataclass(frozen=True)
class Remotes:
    """The DVC remotes that are set.

    Attributes:
        names: All of them.
        default: The one that `dvc push` and `dvc pull` use; None if there is none.
    """

    names: Sequence[str]
    default: str | None


def model_path(name: str, lock: Path = LOCK) -> Path:
    """Find the model that was last trained for an architecture.

    Args:
        name: The architecture.
        lock: Where DVC records what each stage has made.

    Returns:
        The path of the ``.keras`` file, which exists.

    Raises:
        ParameterError: No such network was trained.
        DataError: Nothing was trained yet, or the file is not in this workspace.
    """
    entry = _read_training(name, lock)
    outs = [Path(out["path"]) for out in entry["outs"]]
    (path,) = (lock.parent / out for out in outs if out.suffix == ".keras")
    if not path.exists():
        raise DataError(
            f"{path}: is not in this workspace. Run `dvc checkout`, `dvc pull` or `dvc repro`."
        )
    return path


def trained_networks(project: Path = Path()) -> list[str]:
    """List the architectures that ``dvc.lock`` has a training of.

    Args:
        project: The root of the project.

    Raises:
        DataError: There is no lock, or it is none.
    """
    stages = _read_stages(project / LOCK)
    return [name.removeprefix("train@") for name in stages if name.startswith("train@")]


def recorded_outputs(
    project: Path = Path(), commit: str | None = None, graph: Path = GRAPH
) -> list[Output]:
    """List all outputs that a ``dvc.lock`` records.

    Args:
        project: The root of the project.
        commit: Of which the lock is read; None for the one that lies there.
        graph: The ``dvc.yaml`` beside the lock.

    Returns:
        They, stage by stage.

    Raises:
        DataError: The lock is missing or malformed, or an entry has a path that leaves the
            project, or a digest other than MD5.
    """
    lock, stages = project / graph.with_name(LOCK.name), _read_stages(project / graph, commit)
    is_uncached, folders = _find_uncached(stages), _find_folders(graph, stages)
    prefix = "" if graph == GRAPH else f"{graph.as_posix()}:"
    return [
        _read_output(lock, f"{prefix}{stage}", out, folders(stage), is_uncached(stage))
        for stage, entry in _read_stages(lock, commit).items()
        for out in _read_outs(lock, stage, entry)
    ]


def read_recorded(
    output: Output, project: Path = Path(), commit: str | None = None
) -> bytes | None:
    """Read a file that git keeps, as a ``dvc.lock`` records it.

    Args:
        output: What is recorded; no folder.
        project: The root of the project.
        commit: Of which the file is read; None for the one that lies there.

    Returns:
        Its content; None if there is none, or another one than is recorded.
    """
    if commit is not None:
        content = _git("cat-file", "blob", f"{commit}:./{output.path}", project=project)
    else:
        path = project / output.path
        content = path.read_bytes() if path.is_file() else None
    return content if content is not None and md5_of(content) == output.md5 else None


def find_commit(revision: str, project: Path = Path()) -> str:
    """Find the commit that a user means.

    Args:
        revision: As git takes it, such as ``HEAD~1``, a branch, a tag, or some digits.
        project: The root of the project.

    Returns:
        The 40 digits of the commit.

    Raises:
        ParameterError: There is none of that name.
    """
    # Behind `--end-of-options`, a name that begins with a dash is a name.
    name = f"{revision}^{{commit}}"
    found = _git("rev-parse", "--verify", "--quiet", "--end-of-options", name, project=project)
    if not found:
        raise ParameterError(
            f"{revision}: there is no such commit here. Expected a name that git knows, such as "
            f"HEAD, HEAD~1, a branch or a tag; `git log --oneline` lists commits."
        )
    return found.decode().split()[-1]  # some versions of git repeat the option before it


def read_commit(commit: str, arguments: Sequence[str], project: Path = Path()) -> bytes:
    """Read something of a commit with git.

    Args:
        commit: Its 40 digits, for the error.
        arguments: What stands behind ``git``.
        project: The root of the project.

    Raises:
        DataError: The commit does not have it.
    """
    content = _git(*arguments, project=project)
    if content is None:
        raise DataError(
            f"{commit[:12]}: `git {' '.join(arguments)}` failed. Name a commit that has all of it."
        )
    return content


def training_command(name: str, project: Path = Path()) -> list[str]:
    """Give the command that has trained a network, word by word.

    Args:
        name: The architecture.
        project: The root of the project.

    Returns:
        What ``dvc.lock`` records: ``convdepth``, ``train``, the name and the options.

    Raises:
        ParameterError: No such network was trained.
        DataError: There is no lock, or the command is another one.
    """
    lock = project / LOCK
    return _split_training(lock, name, _read_training(name, lock).get("cmd"))


def planned_command(name: str, project: Path = Path(), commit: str | None = None) -> list[str]:
    """Give the command that the next run would train a network with, word by word.

    Args:
        name: The architecture; it need not have been trained.
        project: The root of the project.
        commit: Of which ``dvc.yaml`` is read; None for the workspace.

    Returns:
        What ``dvc.yaml`` says: ``convdepth``, ``train``, the name and the options.

    Raises:
        DataError: The file cannot be read, or has no such stage.
    """
    graph = project / GRAPH
    train = _read_stages(graph, commit).get("train")
    body = train.get("do", train) if isinstance(train, dict) else {}
    command = body.get("cmd")
    if isinstance(command, str):
        command = command.replace("${key}", name)
    return _split_training(graph, name, command)


def planned_commands(project: Path = Path(), graph: Path = GRAPH) -> dict[str, list[str]]:
    """Return the command of each stage that a ``dvc.yaml`` defines, word by word.

    Args:
        project: The root of the project.
        graph: The ``dvc.yaml``. Its items are entries of the ``params.yaml`` in the root, or of
            the one beside it. A stage whose items are not there is left out.

    Returns:
        Stage, as `dvc repro` takes it, to command.

    Raises:
        DataError: The file is missing or malformed.
    """
    values = _read_values(project) | _read_values(project / graph.parent)
    prefix = "" if graph == GRAPH else f"{graph.as_posix()}:"
    commands = {}
    for stage, body in _read_stages(project / graph).items():
        command = body.get("do", body).get("cmd") if isinstance(body, dict) else None
        if isinstance(command, str):
            for key, item in _items(body, values):
                commands[f"{prefix}{stage}{key}"] = shlex.split(_fill(command, item))
    return commands


def find_option(command: Sequence[str], option: str) -> str | None:
    """Give the value of an option in a command.

    Args:
        command: The words.
        option: Such as ``--model``.

    Returns:
        The word behind it; None if it has no such option.
    """
    for word, following in zip(command, [*command[1:], None], strict=True):
        if word == option:
            return following
        if word.startswith(f"{option}="):
            return word.removeprefix(f"{option}=")
    return None


def cache_folder(project: Path = Path()) -> Path:
    """Ask DVC for the folder of its cache.

    Args:
        project: The root of the project.

    Returns:
        The folder; it need not exist.

    Raises:
        MachineError: DVC failed.
    """
    return project / Path(_require("cache", "dir", project=project).strip())


def object_path(cache: Path, md5: str) -> Path:
    """Give the place of a file in DVC's cache.

    Args:
        cache: The folder of the cache.
        md5: Its digest, as ``dvc.lock`` has it.
    """
    return cache / "files" / "md5" / md5[:2] / md5[2:]


def lies_within(path: str) -> bool:
    """Tell whether a recorded path stays in the folder that it starts from.

    Args:
        path: With slashes.
    """
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts and "\0" not in path


def is_md5(digits: str) -> bool:
    """Tell whether a text is an MD5; what is none could name any file.

    Args:
        digits: Without the suffix of a folder.
    """
    return re.fullmatch(r"[0-9a-f]{32}", digits) is not None


def find_remotes(project: Path = Path()) -> Remotes:
    """Ask DVC for the remotes that are set.

    Args:
        project: The root of the project.

    Raises:
        MachineError: DVC failed.
    """
    # `dvc remote list` breaks long lines.
    settings = dict(
        line.split("=", 1)
        for line in _require("config", "--list", project=project).splitlines()
        if "=" in line
    )
    names = [found[1] for key in settings if (found := re.fullmatch(r"remote\.(.+)\.url", key))]
    return Remotes(names, settings.get("core.remote"))


def ask_remote(project: Path, seconds: float) -> str | None:
    """Ask the default DVC remote for what ``dvc.lock`` names, and load nothing.

    Args:
        project: The root of the project.
        seconds: How long it may take.

    Returns:
        None if it answers, else DVC's words.
    """
    try:
        ended = _dvc("status", "--cloud", "--json", project=project, seconds=seconds)
    except subprocess.TimeoutExpired:
        return f"no answer within {seconds:.0f} s"
    return None if ended.returncode == 0 else _reason(ended.stderr)


def changed_stages(project: Path = Path()) -> dict[str, list[Any]]:
    """Ask DVC which stages of both graphs have changed.

    Args:
        project: The root of the project.

    Returns:
        Stage, as `dvc repro` takes it, to its changes as `dvc status --json` gives them.

    Raises:
        MachineError: DVC failed.
    """
    return dict(json.loads(_require("status", "--json", project=project)))


def refresh_code(project: Path = Path()) -> None:
    """Let DVC run the stage `code` if a source has changed.

    Args:
        project: The root of the project.

    Raises:
        MachineError: DVC failed.
    """
    _require("--wait-for-lock", "repro", "--single-item", "code", project=project)


def read_lock_entries(lock: Path) -> dict[str, Any]:
    """Read the entries of a ``dvc.lock`` by stage.

    Args:
        lock: The file.

    Raises:
        DataError: The file is missing or malformed.
    """
    return _read_stages(lock)


def ignored_by_dvc(paths: Sequence[Path], project: Path = Path()) -> set[Path]:
    """Ask DVC which files it does not look at, because of ``.dvcignore``.

    Args:
        paths: Files within the project.
        project: The root of the project.

    Returns:
        Those of them that are ignored.

    Raises:
        MachineError: DVC failed.
    """
    names = {str(path.relative_to(project)): path for path in paths}
    if not names:
        return set()
    ended = _dvc("check-ignore", "--stdin", project=project, text="\n".join([*names, ""]))
    if ended.returncode not in (0, 1):  # 1: none of them
        raise _failed("check-ignore", ended)
    return {names[line] for line in ended.stdout.splitlines() if line in names}


def committed_md5(output: Output, project: Path = Path()) -> str | None:
    """Compute what an output would be if it were that of the last commit.

    Args:
        output: Gives the path, and whether it is a folder.
        project: The root of the project.

    Returns:
        The digest as ``dvc.lock`` would have it; None if git does not have the file.
    """
    listed = _git("ls-tree", "-r", "-z", "--name-only", "HEAD", "--", output.path, project=project)
    names = list(filter(None, (listed or b"").decode(errors="replace").split("\0")))
    digests = {}
    for name in names:
        content = _git("cat-file", "blob", f"HEAD:./{name}", project=project) or b""
        digests[name] = md5_of(content)
    if not output.is_folder:
        return digests.get(output.path)
    within = {str(PurePosixPath(name).relative_to(output.path)): digests[name] for name in names}
    return folder_md5(within) if within else None


def git_identity(project: Path = Path()) -> str | None:
    """Ask git who would make a commit.

    Args:
        project: The root of the project.

    Returns:
        Name and address; None if git does not know.
    """
    found = _git("var", "GIT_COMMITTER_IDENT", project=project)
    return found.decode(errors="replace").rpartition(">")[0] + ">" if found else None


def count_changes(project: Path = Path()) -> int | None:
    """Count the files that differ from the last commit, or are new.

    Args:
        project: The root of the project.

    Returns:
        Their number; None if this is no git repository.
    """
    listed = _git("status", "--porcelain", "-z", "--no-renames", project=project)
    return None if listed is None else listed.count(b"\0")


def _read_training(name: str, lock: Path) -> dict[str, Any]:
    stages = _read_stages(lock)
    if f"train@{name}" not in stages:
        trained = [key.removeprefix("train@") for key in stages if key.startswith("train@")]
        raise ParameterError(
            f"no trained network {name}; there are {', '.join(trained) or 'none'}. "
            f"Run `dvc repro train@{name}`."
        )
    return dict(stages[f"train@{name}"])


def _split_training(file: Path, name: str, command: object) -> list[str]:
    words = shlex.split(command) if isinstance(command, str) else []
    if words[:3] != ["convdepth", "train", name]:
        raise DataError(
            f"{file}: the stage train@{name}: expected the command `convdepth train {name} ...`, "
            f"got {command!r}. Run `git checkout {file}`."
        )
    return words


def _read_stages(file: Path, commit: str | None = None) -> dict[str, Any]:
    content = file if commit is None else _committed(file, commit)
    try:
        return dict(YAML(typ="safe").load(content)["stages"])
    except OSError as error:
        raise DataError(
            f"{file}: cannot be read: {error.strerror}. Run in the project's folder, "
            f"after `make repro`."
        ) from error
    except (YAMLError, KeyError, TypeError, ValueError) as error:
        kind = "lock" if file.name == LOCK.name else "pipeline"
        raise DataError(f"{file}: is no DVC {kind}: {error}. Run `git checkout {file}`.") from error


def _read_values(folder: Path) -> dict[str, Any]:
    """Read a ``params.yaml`` as it is; empty if the file is missing or malformed."""
    try:
        return dict(YAML(typ="safe").load(folder / "params.yaml"))
    except (OSError, YAMLError, TypeError, ValueError):
        return {}


def _items(body: dict[str, Any], values: dict[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    """Give for each item of a stage the end of its name, and placeholder to value."""
    if "matrix" in body:
        axes = {name: _resolve(choices, values) for name, choices in body["matrix"].items()}
        for point in itertools.product(*axes.values()):
            words = [str(each) for each in point]
            item = {f"item.{name}": word for name, word in zip(axes, words, strict=True)}
            yield f"@{'-'.join(words)}", item
    elif "foreach" in body:
        choices = _resolve(body["foreach"], values)
        for each in choices:
            yield f"@{each}", {"key" if isinstance(choices, dict) else "item": str(each)}
    else:
        yield "", {}


def _fill(command: str, item: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda found: item.get(found[1], found[0]), command)


def _resolve(choices: Any, values: dict[str, Any]) -> Any:
    """Give the list or mapping that ``${a.b}`` stands for; empty if there is none."""
    if not isinstance(choices, str):
        return choices
    found: Any = values
    for key in _PLACEHOLDER.sub(r"\1", choices).split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict | list) else {}


def _committed(file: Path, commit: str) -> str:
    """Give the content of a file in a commit."""
    content = _git("cat-file", "blob", f"{commit}:./{file.name}", project=file.parent)
    if content is None:
        raise DataError(
            f"{file.name}: is not in commit {commit[:12]}. Name a commit in which the project has "
            f"results; `git log -- {file.name}` lists them."
        )
    return content.decode("utf-8", errors="replace")


def _read_outs(lock: Path, stage: str, entry: object) -> list[Any]:
    outs = entry.get("outs", []) if isinstance(entry, dict) else None
    if not isinstance(outs, list):
        raise DataError(
            f"{lock}: stages.{stage}: expected a mapping with a list of outs, got {entry!r:.100}. "
            f"Run `git checkout {lock}`."
        )
    return outs


def _find_folders(graph: Path, stages: dict[str, Any]) -> Callable[[str], str]:
    """Find for a stage the folder that its paths begin in, from the root of the project."""
    folders = {
        name: str(body.get("do", body).get("wdir", "."))
        for name, body in stages.items()
        if isinstance(body, dict)
    }

    def of_stage(stage: str) -> str:
        folder = folders.get(stage.partition("@")[0], ".")
        return posixpath.normpath(posixpath.join(graph.parent.as_posix(), folder))

    return of_stage


def _read_output(
    lock: Path, stage: str, out: object, folder: str, is_uncached: Callable[[str], bool]
) -> Output:
    entry = out if isinstance(out, dict) else {}
    path, md5 = entry.get("path"), entry.get("md5")
    place = posixpath.join(folder, path) if isinstance(path, str) and folder != "." else path
    if not (isinstance(path, str) and isinstance(place, str) and lies_within(place)):
        raise DataError(
            f"{lock}: stages.{stage}.outs: expected a path within the project, got {path!r}. "
            f"Run `git checkout {lock}`."
        )
    if entry.keys() <= {"path", "hash"} and entry.get("hash", "md5") == "md5":
        return Output(stage, place, "", cached=not is_uncached(path))
    digits = md5.removesuffix(FOLDER_SUFFIX) if isinstance(md5, str) else ""
    if entry.get("hash") != "md5" or not is_md5(digits):
        raise DataError(
            f"{lock}: stages.{stage}.outs: {path}: expected `hash: md5` and 32 hexadecimal digits, "
            f"got {entry.get('hash')!r} and {md5!r}. Run `git checkout {lock}`."
        )
    return Output(stage, place, str(md5), cached=not is_uncached(path))


def _find_uncached(graph: dict[str, Any]) -> Callable[[str], Callable[[str], bool]]:
    """Find for a stage in ``dvc.yaml`` what DVC keeps no copy of, which ``dvc.lock`` does not say.

    What a template such as ``${key}`` stands for does not matter: it may be anything.
    """
    patterns = {
        name: list(_uncached_patterns(body.get("do", body)))
        for name, body in graph.items()
        if isinstance(body, dict)
    }

    def of_stage(stage: str) -> Callable[[str], bool]:
        templates = patterns.get(stage.partition("@")[0], [])
        return lambda path: any(template.fullmatch(path) for template in templates)

    return of_stage


def _uncached_patterns(body: dict[str, Any]) -> Iterator[re.Pattern[str]]:
    for section in ("outs", "metrics", "plots"):
        for out in body.get(section) or []:
            if isinstance(out, dict):
                for path, options in out.items():
                    if isinstance(options, dict) and options.get("cache") is False:
                        yield re.compile(_TEMPLATE.sub(".+", re.escape(str(path))))


def _require(*arguments: str, project: Path) -> str:
    ended = _dvc(*arguments, project=project)
    if ended.returncode:
        raise _failed(arguments[0], ended)
    return ended.stdout


def _failed(command: str, ended: subprocess.CompletedProcess[str]) -> MachineError:
    return MachineError(
        f"`dvc {command}` failed: {_reason(ended.stderr)}. Once this works by hand, run again."
    )


def _reason(errors: str) -> str:
    """Take DVC's own words for what went wrong; they end with an invitation to its forum."""
    lines = [line for line in errors.splitlines() if line.strip()]
    words = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    # The address of a remote may hold a password.
    return re.sub(r"(?<=://)[^/\s@]*@", "", [*words, *reversed(lines), "no message"][0])


def _dvc(
    *arguments: str, project: Path, text: str = "", seconds: float | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=project,
        input=text,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=seconds,
        check=False,
    )


def _git(*arguments: str, project: Path) -> bytes | None:
    """Run git; None if it fails, or is not there."""
    try:
        ended = subprocess.run(
            ["git", *arguments],
            cwd=project,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        return None
    return ended.stdout if ended.returncode == 0 else None
