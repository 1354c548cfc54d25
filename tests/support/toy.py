"""A made-up DVC project of shell stages in the shape of ours, which runs in seconds.

Files steer a stage: ``fail-NAME`` makes it fail, ``hang-NAME`` makes it run for the seconds in that
file (60), and with ``meet`` the trainings wait until two have begun. ``accuracy`` is what
evaluations find. They lie in the project, or in the folder that the environment variable ``TOY``
names; lines of the log end with ``on MACHINE`` where that variable is set.
"""

import atexit
import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from conftest import PROJECT
from convdepth.workspace.git import newest_commit
from pipelines.checkout.clone import CLONES, temporary_clone
from pipelines.checkout.enter import CLONE
from project import Project, start

DVC_YAML = """
stages:
  download: {cmd: sh work.sh download raw.txt, deps: [work.sh], outs: [raw.txt]}
  normalize: {cmd: sh work.sh normalize normalized.txt, deps: [raw.txt], outs: [normalized.txt]}
  train:
    foreach: ${architectures}
    do:
      cmd: sh work.sh train@${key} ${key}.model
      deps: [normalized.txt]
      params: ["architectures.${key}"]
      outs: ["${key}.model"]
  evaluate:
    foreach: ${architectures}
    do:
      cmd: sh work.sh evaluate@${key} ${key}.json
      deps: ["${key}.model"]
      metrics: [{"${key}.json": {cache: false}}]
  plot: {cmd: sh work.sh plot figures/accuracy.png, deps: [one.json, two.json], outs: [figures]}
"""

EVALUATIONS = """
stages:
  evaluate:
    foreach: ${architectures}
    do:
      cmd: sh work.sh evaluate@${key} ${key}.json
      deps: [work.sh]
      metrics: ["${key}.json": {cache: false}]
"""
"""For `dvc.yaml` where it is enough that there are metrics."""

ARCHITECTURES = """architectures:
  one: {block1: {conv1: {filters: 1, kernel_size: 3}, pool_size: 2}, head: {units: 1}}
  two: {block1: {conv1: {filters: 2, kernel_size: 3}, pool_size: 2}, head: {units: 1}}
"""

WORK_SH = """
set -e
control="${TOY:-.}"
where="${MACHINE:+ on $MACHINE}"
echo "begin $1$where" >> "$control/log.txt"
if [ -f "$control/fail-$1" ]; then echo "error: $1 went wrong"; exit 6; fi
echo "$1 is at work"
if [ -f "$control/hang-$1" ]; then
  seconds=$(cat "$control/hang-$1"); echo "$1 hangs"; sleep "${seconds:-60}"
fi
if [ -f "$control/meet" ]; then
  case "$1" in train*)
    tries=0
    while [ "$(grep -c 'begin train' "$control/log.txt")" -lt 2 ]; do
      tries=$((tries + 1)); [ $tries -lt 1200 ] || exit 1; sleep 0.05
    done
  esac
fi
case "$2" in
  *.json) echo '{"accuracy": '"$(cat accuracy)"', "loss": 1.5, "digits": {"0": 0.25}}' > "$2" ;;
  *.png) mkdir -p figures && cp picture.png "$2" ;;
  *) echo "$1" > "$2" ;;
esac
echo "end $1$where" >> "$control/log.txt"
"""

IGNORED = ["log.txt", "*.model", "*.txt", "figures", "fail-*", "hang-*", "meet", "__pycache__"]

STAGES = ["download", "normalize", "train@one", "train@two", "evaluate@one", "evaluate@two", "plot"]

WHOLE_LOG = sorted(f"{event} {name}" for name in STAGES for event in ("begin", "end"))
"""The log after one run of each stage, sorted."""


def create(folder: Path, home: Path, *, ran: bool = False) -> Project:
    """Make the project in a new folder, committed; its results, if it ran, are not committed."""
    shutil.copytree(_template(ran=ran), folder, symlinks=True)
    return Project(folder, home)


@cache
def _template(*, ran: bool) -> Path:
    from PIL import Image

    if ran:
        home = _template(ran=False).parent / "ran"
        project = create(home / "toy", home)
        project.repro()
        return project.folder
    home = Path(tempfile.mkdtemp(prefix="toy-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    recipe = (PROJECT / "params.yaml").read_text(encoding="utf-8").partition("# One entry is")[0]
    files = {"dvc.yaml": DVC_YAML, "params.yaml": recipe + ARCHITECTURES, "work.sh": WORK_SH}
    files |= {"accuracy": "0.5", ".gitignore": "/log.txt\n"}
    project = start(home / "toy", home, files)
    folder = project.folder
    Image.new("RGB", (2000, 1000), "navy").save(folder / "picture.png")
    shutil.copy(PROJECT / ".dvc" / "config", folder / ".dvc")
    project.commit("The toy")
    return folder


def share(project: Project) -> None:
    """Give a project an upstream ``origin.git`` and a DVC remote ``storage`` beside its folder.

    Its stages write their log here, wherever they run.
    """
    home = project.folder.parent
    project.environment["TOY"] = str(project.folder)
    (project.folder / ".gitignore").write_text("".join(f"/{name}\n" for name in IGNORED))
    project.run("git", "init", "--quiet", "--bare", str(home / "origin.git"))
    project.run("git", "remote", "add", "origin", str(home / "origin.git"))
    project.run("dvc", "remote", "add", "--default", "storage", str(home / "storage"))
    push(project, "Remotes")


def push(project: Project, message: str) -> None:
    """Commit everything, and push it."""
    project.commit(message)
    project.run("git", "push", "--quiet", "--set-upstream", "origin", "HEAD")


def locked(project: Project, lock: str = "dvc.lock") -> Any:
    """Read what a lock file records; its order differs from run to run of DVC."""
    return YAML(typ="safe").load(project.folder / lock)


def log(project: Project) -> list[str]:
    """Read which stages began and ended, in order."""
    path = project.folder / "log.txt"
    return path.read_text().splitlines() if path.exists() else []


def clones(project: Project) -> list[Path]:
    """List the clones of a project in which processes work, or that they have left."""
    return [path for path in (project.folder / CLONES).iterdir() if path.name.isdigit()]


@contextlib.contextmanager
def entered(project: Project) -> Iterator[Path]:
    """Let this process work in a clone of the newest commit, as it does for a worker."""
    commit = newest_commit(project.folder).sha
    with temporary_clone(commit, project.folder) as folder, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv(CLONE, str(folder))
        yield folder


def use_server(project: Project, url: str) -> None:
    """Let the flows, which are not copied into a project, use a server."""
    home = str(project.folder.parent / "prefect")
    variables = {"PREFECT_API_URL": url, "PREFECT_HOME": home, "PYTHONPATH": str(PROJECT)}
    project.environment |= variables


def edit_work(project: Project, old: str, new: str) -> None:
    """Change what the stages do."""
    assert old in WORK_SH
    (project.folder / "work.sh").write_text(WORK_SH.replace(old, new))


def mark(project: Project, *names: str) -> None:
    """Put the files there that steer the stages."""
    for name in names:
        (project.folder / name).touch()
