"""`convdepth verify` finds and mends damage, with a real DVC."""

import errno
import os
import shlex
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from holding import holding
from ruamel.yaml import YAML

from convdepth.core.errors import DataError, MachineError
from convdepth.core.hashes import md5_of
from convdepth.integrity.published import describe_published
from convdepth.integrity.verify import verify
from convdepth.workspace.dvc import object_path, recorded_outputs
from project import Project, start

DVC_YAML = """
stages:
  download:
    cmd: mkdir -p raw/deep && cp seed.txt 'raw/an ä.txt' && echo 2 > raw/b && echo 3 > raw/deep/b
    deps: [seed.txt]
    outs: [raw]
  train:
    foreach: [one, two]
    do:
      cmd: mkdir -p models && cat raw/b raw/deep/b > models/${item}.keras
        && echo ${item} >> models/${item}.keras
      deps: [raw]
      outs: ["models/${item}.keras"]
  plot:
    cmd: mkdir -p figures/deep && echo picture > figures/a.png && echo other > figures/deep/a.png
    deps: [models/one.keras]
    outs: [figures: {cache: false}]
"""

STUDIES_YAML = """
stages:
  again:
    foreach: [one, two]
    do:
      wdir: ..
      cmd: mkdir -p again && cp seed.txt ${item}.page
        && tac models/${item}.keras > again/${item}.txt
      deps: ["models/${item}.keras"]
      outs:
        - again/${item}.txt: {cache: false}
        - ${item}.page
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose outputs are files and folders, with and without copies. Not to be changed."""
    folder, home = (tmp_path_factory.mktemp(name) for name in ("a place", "home"))
    files = {"dvc.yaml": DVC_YAML, "studies/dvc.yaml": STUDIES_YAML, "seed.txt": "sown"}
    project = start(folder / "toy", home, files)
    (project.folder / ".dvcignore").write_text(".*.tmp*\n")
    project.run("dvc", "repro", "--all-pipelines")
    project.commit("Results")
    return project


@pytest.fixture
def project(finished: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy to damage."""
    return finished.entered_copy(tmp_path / "toy", monkeypatch)


def flip(path: Path) -> None:
    """Change the last byte; size, mtime and permissions stay."""
    before, content = path.stat(), bytearray(path.read_bytes())
    content[-1] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


OUTPUTS = (
    *("raw/an ä.txt", "raw/b", "raw/deep/b", "models/one.keras", "models/two.keras"),
    *("figures/a.png", "figures/deep/a.png", "again/one.txt", "two.page"),
)


def copies(project: Project) -> list[str]:
    """List all files in DVC's cache."""
    cache = (project.folder / ".dvc" / "cache").rglob("files/md5/*/*")
    return [str(path.relative_to(project.folder)) for path in cache]


def copy_of(project: Project, output: str) -> str:
    (md5,) = (each.md5 for each in recorded_outputs(project.folder) if each.path == output)
    return str(object_path(Path(".dvc/cache"), md5))


def flip_outputs(project: Project) -> list[str]:
    for name in OUTPUTS:
        flip(project.folder / name)
    return [name for name in OUTPUTS if not name.startswith("figures/")] + ["figures"]


def flip_copies(project: Project) -> list[str]:
    names = copies(project)
    for name in names:
        flip(project.folder / name)
    return names


def flip_all(project: Project) -> list[str]:
    """Leave nothing good. While the list of the files in raw is damaged, they are not named."""
    flip_copies(project)
    named = [name for name in flip_outputs(project) if not name.startswith("raw/")]
    project.run("git", "rm", "--quiet", "--cached", "-r", "figures", "again")
    project.commit("No results")
    return ["raw", copy_of(project, "raw"), copy_of(project, "models/one.keras"), *named]


def flip_what_a_remote_has(project: Project) -> list[str]:
    project.run("dvc", "remote", "add", "--default", "storage", str(project.folder / "remote"))
    project.run("dvc", "push")
    names = ["models/one.keras", copy_of(project, "models/one.keras"), copy_of(project, "raw")]
    for name in (*names, "raw/b"):
        flip(project.folder / name)
    return ["raw", *names]


def replace_files(project: Project) -> list[str]:
    """Put something else in the places of files, and files where none belong."""
    model, other = (project.folder / "models" / name for name in ("one.keras", "two.keras"))
    for path in (model, other, project.folder / "raw" / "b"):
        path.unlink()
    model.mkdir()
    os.mkfifo(other)
    (project.folder / "raw" / "loop").symlink_to("loop")
    (project.folder / "raw" / "new").write_text("mine")
    (project.folder / "raw" / ".model.1234.tmp.keras").write_text("half, and ignored by DVC")
    return ["raw/b", "raw/loop", "raw/new", "models/one.keras", "models/two.keras"]


def link_outputs(project: Project) -> list[str]:
    """Damage a file that is its own copy."""
    project.run("dvc", "config", "cache.type", "symlink")
    project.run("dvc", "checkout", "--relink")
    copy = (project.folder / "models" / "one.keras").resolve()
    flip(copy)
    return ["models/one.keras", str(copy.relative_to(project.folder))]


def move_cache(project: Project) -> list[str]:
    cache = project.folder.parent / "another place"
    (project.folder / ".dvc" / "cache").rename(cache)
    project.run("dvc", "cache", "dir", "--local", str(cache))
    copy = next(cache.rglob("files/md5/*/*"))
    flip(copy)
    return [str(copy)]


def forge_list(project: Project) -> list[str]:
    """Let DVC's list of a folder's files name a file outside of the folder."""
    listed = b'[{"md5": "900150983cd24fb0d6963f7d28e17f72", "relpath": "../../secret"}]'
    lock, old = project.folder / "dvc.lock", copy_of(project, "raw")
    digits = "".join(Path(old).parts[-2:])
    lock.write_text(lock.read_text().replace(digits, f"{md5_of(listed)}.dir"))
    new = copy_of(project, "raw")
    (project.folder / new).parent.mkdir(exist_ok=True)
    (project.folder / new).write_bytes(listed)
    return ["raw", new]


DAMAGES = (
    *(flip_outputs, flip_copies, flip_all, flip_what_a_remote_has),
    *(replace_files, link_outputs, move_cache, forge_list),
)


@pytest.mark.parametrize("damaging", DAMAGES)
def test_damage_is_named_and_mended_by_its_remedy(
    project: Project, damaging: Callable[[Project], list[str]]
) -> None:
    project.run("dvc", "status")  # DVC notes size and mtime of each file, and relies on them
    expected = damaging(project)
    damages = verify(project.folder).damages
    named = {damage.path for damage in damages}
    assert named >= set(expected)
    if damaging != flip_all:
        assert named == set(expected)
    for _ in range(2 if damaging == flip_all else 1):
        for remedy in dict.fromkeys(damage.remedy for damage in damages):
            for command in remedy.split(" && "):
                project.run(*shlex.split(command))
        damages = verify(project.folder).damages
    report = verify(project.folder)
    assert (report.damages, report.unverified, report.absent, report.uncopied) == ([], [], [], [])
    assert report.outputs == 8


def test_what_is_not_here_is_no_damage(project: Project) -> None:
    lock = project.folder / "dvc.lock"
    entries = YAML(typ="safe").load(lock)
    (out,) = entries["stages"]["train@one"]["outs"]
    entries["stages"]["train@one"]["outs"] = [{"path": out["path"]}]
    YAML().dump(entries, lock)
    assert len(verify(project.folder).unverified) == 1
    shutil.rmtree(project.folder / ".dvc" / "cache")
    report = verify(project.folder)
    assert {"raw", "raw/b", "models/two.keras", "one.page"} <= set(report.uncopied)
    assert report.absent == []
    for name in ("raw", "models"):
        shutil.rmtree(project.folder / name)
    report = verify(project.folder)
    assert report.absent == ["raw", "models/one.keras", "models/two.keras"]
    assert report.damages == []


def test_an_output_that_is_being_written_is_left_out(project: Project) -> None:
    model = project.folder / "models" / "one.keras"
    flip(model)
    with holding("train@one", model):
        report = verify(project.folder)
    assert report.damages == []
    assert "models/one.keras: train@one" in report.unverified[0]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (".dir", "/../../x"),
        ("hash: md5\n      md5", "hash: etag\n      etag"),
        ("path: raw", "path: ../raw"),
        ("path: raw", "path: /raw"),
    ],
)
def test_a_lock_that_dvc_did_not_write_is_refused(project: Project, old: str, new: str) -> None:
    lock = project.folder / "dvc.lock"
    head, outs, tail = lock.read_text().partition("outs:\n    - path: raw\n")
    assert old in outs + tail
    lock.write_text(head + (outs + tail).replace(old, new, 1))
    with pytest.raises(DataError, match=r"dvc\.lock: stages\.download\.outs: .*raw"):
        verify(project.folder)


def test_a_lock_of_an_output_that_cannot_be_read_is_named(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_project: Path) -> dict[str, str]:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "raw.lock")

    monkeypatch.setattr("convdepth.integrity.verify.held_outputs", fail)
    with pytest.raises(MachineError, match=r"raw\.lock"):
        verify(project.folder)


def test_models_are_compared_with_the_published_ones(project: Project) -> None:
    assert describe_published(project.folder) == []
    digests = {
        "one": sha256((project.folder / "models" / "one.keras").read_bytes()).hexdigest(),
        **dict.fromkeys(("two", "absent"), "0" * 64),
    }
    rows = [f"| `{name}` | `{digest}` |\n" for name, digest in digests.items()]
    (project.folder / "README.md").write_text("".join(rows))
    same, other = describe_published(project.folder)
    assert (same.partition(":")[0], other.partition(":")[0]) == ("one", "two")
    graph = project.folder / "dvc.yaml"
    graph.write_text(graph.read_text().replace("foreach: [one, two]", "foreach: [one]"))
    assert describe_published(project.folder) == [same]  # dvc.lock still has the removed network
    (project.folder / "models" / "one.keras").unlink()
    assert describe_published(project.folder) == []
