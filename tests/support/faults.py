"""What the fault tests share: a finished project with tiny networks, and what of it is compared."""

import contextlib
import fcntl
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

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

PARAMS = {"normalize.max_images": 600, "train.epochs": EPOCHS}

NETWORKS = (
    TINY.lstrip()
    + """\
  small:
    block1:
      conv1: {filters: 4, kernel_size: 3}
      pool_size: 2
    block2:
      conv1: {filters: 8, kernel_size: 3}
      pool_size: 2
      dropout: 0.2
    head: {units: 16}
"""
)

STAGES = ("download", "normalize", "validate", "train@tiny", "evaluate@tiny", "plot")
"""One of each kind."""

BETWEEN = ("*/validation/*", "*.numeric_class.json", ".*.tmp*")
"""What lies among the results and is none: it may differ, and DVC does not look at it."""


def choose(seed: str, items: Sequence[Any], count: int) -> list[Any]:
    """Draw some items, the same ones each time, in their order."""
    if count >= len(items):
        return list(items)
    places = random.Random(seed).sample(range(len(items)), count)
    return [items[place] for place in sorted(places)]


def create(folder: Path, *, networks: str | None = NETWORKS) -> Project:
    """Copy the project, with few images and tiny networks, and drawn digits in MNIST's place.

    Its stage `download` takes them from a folder, and its code knows them by their SHA-256. No
    path that the project has is one of this machine.
    """
    home = folder.parent
    project = projects.create(folder, home, PARAMS)
    digits = home / "digits"
    drawn.write(digits)
    code = folder / "src" / "convdepth" / "data" / "mnist.py"
    text = code.read_text(encoding="utf-8")
    for name in FILE_NAMES.values():
        digest = hashlib.sha256((digits / name).read_bytes()).hexdigest()
        text = text.replace(SHA256[name], digest)
    code.write_text(text, encoding="utf-8")
    if networks is not None:
        params = folder / "params.yaml"
        recipe = params.read_text(encoding="utf-8").partition("# One entry is one network")[0]
        params.write_text(recipe + networks, encoding="utf-8")
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


@dataclass(frozen=True)
class Finished:
    """A project after a whole run, committed. Tests that change it copy it first.

    Attributes:
        project: Read-only by agreement.
        results: What came out, see `results`.
        seconds: How long each stage took; under ``dvc`` how long DVC took to begin.
    """

    project: Project
    results: Mapping[str, str]
    seconds: Mapping[str, float]

    def copy(self, folder: Path) -> Project:
        """Copy all of it into a folder whose parent is new, since DVC's database lies there."""
        folder.parent.mkdir(parents=True)
        home = Path(self.project.environment["HOME"])
        return at_home(self.project.copy(folder), home)

    def output_files(self, stage: str) -> list[str]:
        """The files that a stage makes, as paths within the project."""
        outs = locked_outs(self.project, stage)
        return [name for name in self.results if any(_is_within(name, out) for out in outs)]


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
    marks = [("dvc", time.monotonic())]
    lines = []
    with start(project, "dvc", "repro") as process:
        for line in process.stdout or ():
            lines.append(line)
            if line.startswith("Running stage '"):
                marks.append((line.split("'")[1], time.monotonic()))
    assert process.returncode == 0, "".join(lines)
    marks.append(("", time.monotonic()))
    return {name: round(after - before, 2) for (name, before), (_, after) in pairwise(marks)}


def results(project: Project) -> dict[str, str]:
    """Give the SHA-256 of dvc.lock, and of all that the stages make, by path in the project.

    DVC writes new entries of dvc.lock in an order that differs from process to process.
    """
    files: list[Path] = []
    for name in ("data", "metrics"):
        files += [path for path in (project.folder / name).rglob("*") if path.is_file()]
    names = sorted(str(path.relative_to(project.folder)) for path in files if path.exists())
    path = project.folder / "dvc.lock"
    lock = {}
    if path.exists():
        try:
            entries = json.dumps(locked(project), sort_keys=True).encode()
        except YAMLError:  # a test has damaged it
            entries = path.read_bytes()
        lock = {"dvc.lock": hashlib.sha256(entries).hexdigest()}
    return lock | {
        name: hashlib.sha256((project.folder / name).read_bytes()).hexdigest()
        for name in names
        if not is_between(name)
    }


def is_between(name: str) -> bool:
    """Tell whether a file is none of the results, although it lies among them."""
    return any(fnmatch(name, pattern) or fnmatch(Path(name).name, pattern) for pattern in BETWEEN)


def leftovers(project: Project) -> list[str]:
    """List the temporary files of the stages that are there."""
    found = project.folder.rglob(".*.tmp*")
    names = [str(path.relative_to(project.folder)) for path in found]
    return sorted(name for name in names if not name.startswith((".dvc/cache/", ".git/")))


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


def checkpoints(project: Project, stage: str) -> Path:
    """Give the folder of a training's checkpoints."""
    words = command_of(project, stage)
    return project.folder / words[words.index("--checkpoints") + 1]


def _is_within(name: str, out: str) -> bool:
    return name == out or name.startswith(f"{out}/")


def cached_files(project: Project) -> list[Path]:
    """List the files in DVC's cache."""
    folder = project.folder / ".dvc" / "cache" / "files"
    return sorted(path for path in folder.rglob("*") if path.is_file())


def forget(project: Project, *stages: str) -> None:
    """Bring a project into the state in which these stages have run long ago, and otherwise.

    Their outputs are gone, also from DVC's cache, and DVC knows of no run. Their entries keep
    their places in dvc.lock.
    """
    path, entries = project.folder / "dvc.lock", locked(project)
    text = path.read_text(encoding="utf-8")
    for stage in stages:
        for out in entries[stage]["outs"]:
            _forget_object(project, out["md5"])
            _delete(project.folder / out["path"])
        head = f"  {stage}:\n    cmd: "
        assert head in text
        text = text.replace(head, f"{head}another ")
    path.write_text(text, encoding="utf-8")
    shutil.rmtree(project.folder / ".dvc" / "cache" / "runs", ignore_errors=True)


def forget_all(project: Project) -> None:
    """Bring a project into the state in which nothing has ever run."""
    forget(project, *locked(project))
    (project.folder / "dvc.lock").unlink()


def restore(project: Project) -> None:
    """Bring a project that was committed with its results back into that state."""
    project.run("git", "checkout", "--quiet", "HEAD", "--", "dvc.lock")
    project.run("dvc", "repro")


def _forget_object(project: Project, md5: str) -> None:
    cache = project.folder / ".dvc" / "cache" / "files" / "md5"
    path = cache / md5[:2] / md5[2:]
    if md5.endswith(".dir") and path.exists():
        for entry in json.loads(path.read_bytes()):
            _delete(cache / entry["md5"][:2] / entry["md5"][2:])
    _delete(path)


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


# Processes.


def start(project: Project, *command: str, **options: Any) -> "subprocess.Popen[str]":
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


def kill_group(process: "subprocess.Popen[str]") -> None:
    """Kill a process that `start` gave, and all that is in its group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def started(project: Project, *command: str, **options: Any) -> "Iterator[subprocess.Popen[str]]":
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


def session(leader: int) -> list[psutil.Process]:
    """List the processes of a session."""
    found = []
    for member in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(member.pid) == leader:
                found.append(member)
    return found


def find_stage(
    process: "subprocess.Popen[str]", stage: str
) -> Callable[[], "psutil.Process | None"]:
    """Give a function that looks for the process of a stage among what a process has started."""
    verb = stage.partition("@")[0]

    def look() -> "psutil.Process | None":
        with contextlib.suppress(psutil.NoSuchProcess):
            for member in reversed(psutil.Process(process.pid).children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                    words = member.cmdline()
                    if words[2:3] == [verb] and Path(words[1]).name == "convdepth":
                        return member
        return None

    return look


def wait_for_stage(
    process: "subprocess.Popen[str]", stage: str, seconds: float = 120
) -> psutil.Process:
    """Wait until the process of a stage is there; give it."""
    look, deadline = find_stage(process, stage), time.monotonic() + seconds
    while (found := look()) is None:
        if process.poll() is not None:
            said = process.stdout.read() if process.stdout else ""
            raise AssertionError(f"ended before {stage}:\n{said}")
        assert time.monotonic() < deadline, f"{stage} did not begin"
        time.sleep(0.01)
    return found


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: Its exit code; negative if a signal ended it.
        output: What it printed.
    """

    code: int
    output: str


class Forks:
    """A process that has imported a stage's modules, and runs the stage in forks of itself.

    So a hundred faults do not cost a hundred imports of TensorFlow.
    """

    def __init__(self, project: Project, stage: str) -> None:
        self.command = command_of(project, stage)
        modules = ["convdepth.cli", f"convdepth.{MODULES[stage.partition('@')[0]]}"]
        child = [sys.executable, str(Path(__file__).with_name("fault_child.py")), *modules]
        self.process = start(project, *child, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self._answer() == "ready\n"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        kill_group(self.process)
        self.process.communicate()

    def run(self, **fault: Any) -> Ended:
        """Run the stage, with a fault in it; see `fault_child`."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"command": self.command, "fault": fault}) + "\n")
        self.process.stdin.flush()
        return Ended(**json.loads(self._answer()))

    def count(self) -> tuple[dict[str, int], list[int]]:
        """Run the stage without a fault; give how often it calls what, and its files' sizes."""
        ended = self.run(kind="nothing")
        assert ended.code == 0, ended.output
        counted = json.loads(ended.output.splitlines()[-1])
        return counted["calls"], counted["sizes"]

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()
