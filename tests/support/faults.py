"""What the fault tests share: a finished project with tiny networks, and what of it is compared."""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import drawn
import psutil
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

import project as projects
from conftest import TINY
from convdepth.data.idx import FILE_NAMES
from convdepth.data.mnist import SHA256
from convdepth.workspace.code_digests import MODULES
from project import Project

EPOCHS = 3

SMALL = """\
  small:
    block1: {conv1: {filters: 4, kernel_size: 3}, pool_size: 2}
    block2: {conv1: {filters: 8, kernel_size: 3}, pool_size: 2, dropout: 0.2}
    head: {units: 16}
"""

STAGES = ("download", "normalize", "validate", "train@tiny", "evaluate@tiny", "plot")
"""One of each kind."""

BETWEEN = re.compile(r"/validation/|\.numeric_class\.json$|/\.[^/]*\.tmp")
"""What lies among the results and is none: it may differ, and DVC does not look at it."""

Process = subprocess.Popen[str]


def create(folder: Path, *, tiny: bool = True) -> Project:
    """Copy the project, with few images and tiny networks, and drawn digits in MNIST's place.

    Its stage `download` takes them from a folder, and its code knows them by their SHA-256.
    """
    home = folder.parent
    project = projects.create(folder, home, {"normalize.max_images": 600, "train.epochs": EPOCHS})
    digits = home / "digits"
    drawn.write(digits)
    code = folder / "src/convdepth/data/mnist.py"
    text = code.read_text(encoding="utf-8")
    for name in FILE_NAMES.values():
        text = text.replace(SHA256[name], _digest((digits / name).read_bytes()))
    code.write_text(text, encoding="utf-8")
    if tiny:
        params = folder / "params.yaml"
        recipe = params.read_text(encoding="utf-8").partition("# One entry is one network")[0]
        params.write_text(recipe + TINY.lstrip() + SMALL, encoding="utf-8")
        project.edit_params({"tuned.settings": {}}, "studies/params.yaml")
    project.commit("Drawn digits, tiny networks")
    return at_home(project, home)


def at_home(project: Project, home: Path) -> Project:
    """Let a project run its own code, on the drawn digits that lie in a home."""
    project.environment |= {
        "HOME": str(home),
        "CONVDEPTH_MNIST": str(home / "digits"),
        "PREFECT_HOME": str(project.folder.parent / "prefect"),
        "PYTHONPATH": str(project.folder / "src"),
        "PYTHONUNBUFFERED": "1",
    }
    return project


def clone(project: Project, folder: Path) -> Project:
    """Clone a committed project, as another person does; DVC knows nothing of the clone."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    project.run("git", "clone", "--quiet", ".", str(folder))
    return at_home(Project(folder, folder.parent), Path(project.environment["HOME"]))


@dataclass(frozen=True)
class Finished:
    """A project after a whole run, committed. Tests that change it copy it first."""

    project: Project
    """Read-only by agreement."""
    results: Mapping[str, str]
    seconds: Mapping[str, float]
    """How long each stage took; under ``dvc`` how long DVC took to begin."""

    def copy(self, folder: Path) -> Project:
        """Copy all of it into a folder whose parent is new, since DVC's database lies there."""
        folder.parent.mkdir(parents=True)
        home = Path(self.project.environment["HOME"])
        return at_home(self.project.copy(folder), home)

    def output_files(self, stage: str) -> list[str]:
        """The files that a stage makes, as paths within the project."""
        outs = locked_outs(self.project, stage)
        return [name for name in self.results if any(f"{name}/".startswith(f"{o}/") for o in outs)]

    def differences(self, project: Project) -> list[str]:
        """The results that another project has not, or has otherwise."""
        return sorted({name for name, _ in self.results.items() ^ results(project).items()})


def finish_once(folder: Path) -> Finished:
    """Run the pipeline in a folder, or take what another process of the tests has run there."""
    folder.mkdir(exist_ok=True)
    known, place = folder / "seconds.json", folder / "ein Übungs platz" / "convdepth"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not known.exists():
            place.parent.mkdir()
            project = create(place)
            seconds = _timed_repro(project)
            project.commit("Results")
            known.write_text(json.dumps(seconds))
    project = at_home(Project(place, place.parent), place.parent)
    return Finished(project, results(project), json.loads(known.read_text()))


def _timed_repro(project: Project) -> dict[str, float]:
    marks, lines = [("dvc", time.monotonic())], []
    with started(project, "dvc", "repro") as process:
        for line in process.stdout or ():
            lines.append(line)
            marks += [(stage, time.monotonic()) for stage in projects.stages_run(line)]
        assert process.wait() == 0, "".join(lines)
    marks.append(("", time.monotonic()))
    return {name: round(after - before, 2) for (name, before), (_, after) in pairwise(marks)}


def results(project: Project) -> dict[str, str]:
    """Give the SHA-256 of dvc.lock, in whatever order, and of all that the stages make, by path."""
    try:
        entries = json.dumps(locked(project), sort_keys=True).encode()
    except YAMLError:  # a test has damaged it
        entries = (project.folder / "dvc.lock").read_bytes()
    found = {"dvc.lock": _digest(entries)}
    for folder in ("data", "metrics"):
        for path in sorted((project.folder / folder).rglob("*")):
            name = str(path.relative_to(project.folder))
            if path.is_file() and not BETWEEN.search(name):
                found[name] = _digest(path.read_bytes())
    return found


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def locked(project: Project) -> dict[str, Any]:
    """Read what dvc.lock has of each stage."""
    path = project.folder / "dvc.lock"
    return dict(YAML(typ="safe").load(path)["stages"]) if path.exists() else {}


def locked_outs(project: Project, stage: str) -> list[str]:
    """List the paths of a stage's outputs."""
    return [out["path"] for out in locked(project)[stage]["outs"]]


def command_of(project: Project, stage: str) -> list[str]:
    """Give the words of a stage's command, as DVC would run it."""
    return str(locked(project)[stage]["cmd"]).split()


def forget(project: Project, *stages: str) -> None:
    """Bring a project into the state in which these stages have run long ago, and otherwise.

    Their outputs are gone, also from DVC's cache, and DVC knows of no run. Their entries keep
    their places in dvc.lock.
    """
    cache = project.folder / ".dvc" / "cache"
    path, entries = project.folder / "dvc.lock", locked(project)
    text = path.read_text(encoding="utf-8")
    for stage in stages:
        for out in entries[stage]["outs"]:
            _forget_object(cache / "files" / "md5", out["md5"])
            delete(project.folder / out["path"])
        head = f"  {stage}:\n    cmd: "
        assert head in text
        text = text.replace(head, f"{head}another ")
    path.write_text(text, encoding="utf-8")
    delete(cache / "runs")


def restore(project: Project) -> None:
    """Bring a project that was committed with its results back into that state."""
    project.run("git", "checkout", "--quiet", "HEAD", "--", "dvc.lock")
    project.run("dvc", "repro")


def _forget_object(objects: Path, md5: str) -> None:
    path = objects / md5[:2] / md5[2:]
    if md5.endswith(".dir") and path.exists():
        for entry in json.loads(path.read_bytes()):
            _forget_object(objects, entry["md5"])
    delete(path)


def delete(path: Path) -> None:
    """Delete a file or a folder that may be there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


# Processes.


def start(project: Project, *command: str, **options: Any) -> Process:
    """Start a command in a session of its own, as a terminal does; SIGINT is heeded."""
    return subprocess.Popen(
        command,
        **{
            "cwd": project.folder,
            "env": project.environment,
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
            "text": True,
            "start_new_session": True,
            # A shell may have started the tests in the background, where it is ignored.
            "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            **options,
        },
    )


def kill_group(process: Process) -> None:
    """Kill a process that `start` gave, and all that is in its group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def started(project: Project, *command: str, **options: Any) -> Iterator[Process]:
    """Start a command; at the end of the block nothing of it is left."""
    process = start(project, *command, **options)
    try:
        yield process
    finally:
        kill_group(process)
        for member in session(process.pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        if process.stdout and not process.stdout.closed:
            process.communicate()
        process.wait()


def run(project: Project, *command: str, timeout: float = 600, **options: Any) -> tuple[int, str]:
    """Run a command, of which nothing is left; give its exit code and its output."""
    with started(project, *command, **options) as process:
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            return -1, f"did not end within {timeout} s"
        return process.returncode, output


def session(leader: int) -> list[psutil.Process]:
    """List the processes of a session."""
    found = []
    for member in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(member.pid) == leader:
                found.append(member)
    return found


@contextlib.contextmanager
def forks(project: Project, stage: str) -> Iterator[Callable[..., tuple[int, str]]]:
    """Give a function that runs a stage with a fault in it, see `fault_child`, as `run` does.

    It runs in forks of a process that has imported the stage's modules: so a hundred faults do not
    cost a hundred imports of TensorFlow.
    """
    command = command_of(project, stage)
    modules = ["convdepth.cli", f"convdepth.{MODULES[stage.partition('@')[0]]}"]
    child = [sys.executable, str(Path(__file__).with_name("fault_child.py")), *modules]
    with started(project, *child, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        answers = process.stdout
        assert answers.readline() == "ready\n"

        def run_stage(**fault: Any) -> tuple[int, str]:
            request = json.dumps({"command": command, "fault": fault})
            print(request, file=process.stdin, flush=True)
            code, output = json.loads(answers.readline())
            return code, output

        yield run_stage
