"""Whether damage is found and can be mended: with a real DVC, and a byte changed here and there."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from holding import holding
from ruamel.yaml import YAML

from convdepth.core.errors import DataError, IntegrityError
from convdepth.core.hashes import folder_md5, hash_files
from convdepth.integrity import verify as verification
from convdepth.integrity.verify import print_verification, verify
from convdepth.workspace.dvc import STUDIES, cache_folder, object_path, recorded_outputs
from convdepth.workspace.git import committed_md5
from project import Project

DVC_YAML = """
stages:
  download:
    cmd: mkdir -p raw/deep && cp seed.txt 'raw/an ä.txt' && echo 2 > raw/b && echo 3 > raw/deep/b
    deps: [seed.txt]
    outs: [raw]
  train:
    foreach: {one: 1, two: 2}
    do:
      cmd: mkdir -p models && cat raw/b raw/deep/b > models/${key}.keras
        && echo ${key} >> models/${key}.keras
      deps: [raw]
      outs: ["models/${key}.keras"]
  evaluate:
    foreach: {one: 1, two: 2}
    do:
      cmd: mkdir -p metrics && printf '[${item}]' > metrics/${key}.json
      deps: ["models/${key}.keras"]
      metrics:
        - metrics/${key}.json:
            cache: false
  plot:
    cmd: mkdir -p figures/deep && echo picture > figures/a.png && echo other > figures/deep/a.png
    deps: [metrics/one.json, metrics/two.json]
    outs:
      - figures:
          cache: false
"""


STUDIES_YAML = """
stages:
  again:
    foreach: {one: 1, two: 2}
    do:
      wdir: ..
      cmd: mkdir -p again && cat models/${key}.keras > again/${key}.txt && cp seed.txt ${key}.page
      deps: ["models/${key}.keras"]
      outs:
        - again/${key}.txt:
            cache: false
        - ${key}.page
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose outputs are files and folders, with and without copies. Not to be changed."""
    home = tmp_path_factory.mktemp("home")
    project = Project(tmp_path_factory.mktemp("a place") / "toy", home)
    project.folder.mkdir()
    (project.folder / "dvc.yaml").write_text(DVC_YAML)
    (project.folder / "seed.txt").write_text("sown")
    project.run("git", "init", "--quiet")
    project.run("dvc", "init", "--quiet")
    (project.folder / ".dvcignore").write_text(".*.tmp*\n")
    assert len(project.repro()) == 6
    project.commit("Results")
    return project


@pytest.fixture
def project(
    finished: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Project]:
    """A copy of it, to be damaged."""
    project = finished.copy(tmp_path / "toy")
    for name in ("HOME", "DVC_SITE_CACHE_DIR"):
        monkeypatch.setenv(name, project.environment[name])
    return project


def let_dvc_look(project: Project) -> None:
    """Let DVC note size and time of all files of the copy, which it then relies on."""
    project.run("dvc", "status")


def change_byte(path: Path, place: int = 0) -> None:
    """Damage a file in a way that nothing but its content shows."""
    before, content = path.stat(), bytearray(path.read_bytes())
    content[place] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def output_files(project: Project) -> list[Path]:
    roots = [project.folder / name for name in ("raw", "models", "metrics", "figures")]
    return sorted(path for root in roots for path in root.rglob("*") if is_output(path))


def is_output(path: Path) -> bool:
    return path.is_file() and path.name != ".gitignore"


def copies(project: Project) -> list[Path]:
    cache = project.folder / ".dvc" / "cache" / "files" / "md5"
    return sorted(path for path in cache.rglob("*") if path.is_file())


def follow(project: Project, rounds: int = 1) -> None:
    """Do what the report says, each thing once, and see that all is well then."""
    for _ in range(rounds):
        remedies = dict.fromkeys(damage.remedy for damage in verify(project.folder).damages)
        assert remedies
        for remedy in remedies:
            project.run("sh", "-c", remedy)
    report = verify(project.folder)
    assert report.damages == []
    assert report.notes == []


@pytest.fixture
def quick(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC is asked for its cache once, and not each of many times, which takes half a second."""
    cache = cache_folder(project.folder)
    monkeypatch.setattr(verification, "cache_folder", lambda _: cache)


@pytest.mark.usefixtures("quick")
def test_what_is_whole_is_never_called_damaged(project: Project) -> None:
    # Of the metrics, too, DVC keeps copies, for runs that are equal.
    size = sum(path.stat().st_size for path in [*output_files(project), *copies(project)])
    for _ in range(20):
        report = verify(project.folder)
        assert (report.damages, report.notes) == ([], [])
        assert (report.outputs, report.objects, report.size) == (6, 8, size)
    assert report.summary == ("6 outputs, DVC's copies of 8 files, 0.0 MB: all as dvc.lock records")


@pytest.mark.usefixtures("quick")
def test_each_changed_byte_is_found(project: Project) -> None:
    paths = [*output_files(project), *copies(project)]
    assert len(paths) == 9 + 8
    for path in paths:
        change_byte(path, -1)
        report = verify(project.folder)
        change_byte(path, -1)
        texts = [damage.text for damage in report.damages]
        assert any(str(path.relative_to(project.folder)) in text for text in texts) or (
            # Of a folder without copies, nobody knows what its files were.
            path.is_relative_to(project.folder / "figures") and "figures: differs" in texts[0]
        )
        assert len(texts) == 1
        assert all(damage.remedy for damage in report.damages)
    assert verify(project.folder).damages == []


def test_dvc_itself_does_not_see_it(project: Project) -> None:
    """Why there is this module at all."""
    let_dvc_look(project)
    change_byte(copies(project)[0])
    change_byte(project.folder / "models" / "one.keras")
    assert "up to date" in project.run("dvc", "status")


def test_changed_outputs_can_be_mended(project: Project) -> None:
    let_dvc_look(project)
    for path in output_files(project):
        change_byte(path)
    texts = [damage.text for damage in verify(project.folder).damages]
    assert len(texts) == 3 + 2 + 2 + 1
    assert all("damaged, or changed by hand" in text for text in texts)
    follow(project)
    assert project.run("git", "status", "--porcelain") == ""


def test_changed_copies_can_be_mended(project: Project) -> None:
    let_dvc_look(project)
    for path in copies(project):
        change_byte(path)
    damages = verify(project.folder).damages
    assert sum("DVC's copy of" in damage.text for damage in damages) == 7
    assert sum("DVC's list of the files in raw" in damage.text for damage in damages) == 1
    follow(project)
    modes = {path.stat().st_mode & 0o777 for path in copies(project)}
    assert modes == {0o444}
    assert project.run("git", "status", "--porcelain") == ""


def test_what_is_good_nowhere_is_made_again(project: Project) -> None:
    for path in [*output_files(project), *copies(project)]:
        change_byte(path)
    project.run("git", "rm", "--quiet", "--cached", "-r", "metrics", "figures")
    project.commit("No results")
    remedies = {damage.remedy.rpartition("&& ")[2] for damage in verify(project.folder).damages}
    stages = ("download", "train@one", "train@two", "evaluate@one", "evaluate@two", "plot")
    assert remedies == {f"dvc repro --single-item {stage}" for stage in stages}
    # While the list of the files in raw is damaged, nobody knows which copies belong to it.
    follow(project, rounds=2)


def test_what_is_good_nowhere_is_pulled(project: Project, tmp_path: Path) -> None:
    project.run("dvc", "remote", "add", "--default", "storage", str(tmp_path / "remote"))
    project.run("dvc", "push")
    let_dvc_look(project)
    for output in recorded_outputs(project.folder):
        if output.path in ("raw", "models/one.keras"):
            change_byte(object_path(cache_folder(project.folder), output.md5))
            change_byte(project.folder / output.path / ("b" if output.is_folder else ""))
    remedies = [damage.remedy for damage in verify(project.folder).damages]
    assert [remedy.rpartition("&& ")[2] for remedy in remedies] == [
        "dvc pull raw",
        "dvc pull models/one.keras",
        "dvc pull models/one.keras",
    ]
    follow(project)


def test_a_fresh_clone_is_not_damaged(project: Project) -> None:
    for path in (project.folder / "raw", project.folder / "models", project.folder / ".dvc/cache"):
        shutil.rmtree(path)
    report = verify(project.folder)
    assert report.damages == []
    assert (report.outputs, report.objects) == (3, 0)
    (note,) = report.notes
    assert note.startswith("3 outputs not in this workspace: raw, models/one.keras, models/two")


def test_an_output_without_a_digest_is_not_damaged(project: Project) -> None:
    lock = project.folder / "dvc.lock"
    entries = YAML(typ="safe").load(lock)
    (out,) = entries["stages"]["train@one"]["outs"]
    for key in ("hash", "md5", "size"):
        del out[key]
    YAML().dump(entries, lock)
    recorded = {output.path: output for output in recorded_outputs(project.folder)}
    assert (recorded["models/one.keras"].md5, recorded["models/one.keras"].is_folder) == ("", False)
    model = project.folder / "models" / "one.keras"
    report = verify(project.folder)
    (note,) = report.notes
    assert (report.damages, report.outputs) == ([], 6)
    assert "models/one.keras was not verified" in note
    model.unlink()
    report = verify(project.folder)
    (note,) = report.notes
    assert (report.damages, report.outputs) == ([], 5)
    assert note.startswith("1 output not in this workspace: models/one.keras")
    assert "changed outs" in project.run("dvc", "status", "train@one")  # DVC takes the entry, too
    assert "skipping" in project.run(
        "dvc", "repro", "--allow-missing", "--single-item", "train@one"
    )


def test_without_copies_the_outputs_are_not_damaged(project: Project) -> None:
    shutil.rmtree(project.folder / ".dvc" / "cache")
    report = verify(project.folder)
    assert report.damages == []
    (note,) = report.notes
    assert note.startswith("DVC's cache has no copy of 6 outputs: raw, raw/an ä.txt, raw/b")
    project.run("dvc", "commit")
    assert verify(project.folder).notes == []


def test_without_outputs_the_copies_are_verified(project: Project) -> None:
    shutil.rmtree(project.folder / "raw")
    for path in copies(project):
        change_byte(path)
    assert len(verify(project.folder).damages) == 1 + 2 + 2
    for path in copies(project):
        change_byte(path)
    report = verify(project.folder)
    assert report.damages == []
    assert "1 output not in this workspace: raw" in report.notes[0]
    project.run("dvc", "checkout")
    assert verify(project.folder).notes == []


def test_a_file_that_a_folder_lacks_is_damage(project: Project) -> None:
    (project.folder / "raw" / "b").unlink()
    (damage,) = verify(project.folder).damages
    assert damage.text == "raw/b: is missing; dvc.lock records it as made by download"
    follow(project)


def test_a_file_too_many_is_damage_unless_dvc_ignores_it(project: Project) -> None:
    for folder in ("raw", "figures"):
        (project.folder / folder / ".model.1234.tmp.keras").write_text("half")
    assert verify(project.folder).damages == []
    (project.folder / "raw" / "new").write_text("mine")
    (damage,) = verify(project.folder).damages
    assert damage.text == "raw/new: is in raw, but not in what dvc.lock records"
    follow(project)


@pytest.mark.parametrize("kind", ["folder", "pipe", "secret"])
def test_what_cannot_be_read_is_damage(project: Project, kind: str) -> None:
    path = project.folder / "models" / "one.keras"
    if kind == "secret" and os.geteuid() == 0:
        pytest.skip("root can read everything")
    if kind == "secret":
        path.chmod(0)
    else:
        path.unlink()
        path.mkdir() if kind == "folder" else os.mkfifo(path)
    (damage,) = verify(project.folder).damages
    expected = "cannot be read: Permission denied" if kind == "secret" else "is no file"
    assert damage.text == f"models/one.keras: {expected}"
    follow(project)


def test_what_is_being_written_is_left_out(project: Project) -> None:
    change_byte(project.folder / "models" / "one.keras")
    with holding("train@one", project.folder / "models" / "one.keras"):
        report = verify(project.folder)
    assert report.damages == []
    assert re.match(r"models/one.keras was not verified: train@one \(process \d+", report.notes[0])
    assert len(verify(project.folder).damages) == 1


def test_a_cache_elsewhere_is_verified(project: Project, tmp_path: Path) -> None:
    cache = tmp_path / "elsewhere" / "cache"
    shutil.move(project.folder / ".dvc" / "cache", cache)
    project.run("dvc", "cache", "dir", "--local", str(cache))
    assert verify(project.folder).objects == 8
    damaged = next(path for path in sorted((cache / "files").rglob("*")) if path.is_file())
    change_byte(damaged)
    (damage,) = verify(project.folder).damages
    assert str(damaged) in damage.text
    follow(project)


def test_linked_outputs_are_read_through_their_links(project: Project) -> None:
    project.run("dvc", "config", "cache.type", "symlink")
    project.run("dvc", "checkout", "--relink")
    assert (project.folder / "models" / "one.keras").is_symlink()
    assert verify(project.folder).damages == []
    change_byte((project.folder / "models" / "one.keras").resolve())
    assert len(verify(project.folder).damages) == 2  # the one file by its two names
    follow(project)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("path: raw", "path: ../raw", r"stages.download.outs: expected a path within .*'\.\./raw'"),
        ("path: raw", "path: /etc", r"expected a path within the project, got '/etc'"),
        ("path: raw", "path: [raw]", r"expected a path within the project, got \['raw'\]"),
        (".dir", "/../../x", r"raw: expected `hash: md5` and 32 hexadecimal digits"),
        ("hash: md5", "hash: etag", r"expected `hash: md5`.*got 'etag'"),
        ("md5: ", "md5: 1", r"raw: expected `hash: md5` and 32 hexadecimal digits"),
        ("md5: ", "etag: ", r"expected `hash: md5`.*got 'md5' and None"),
        ("outs:", "outs: 3\n    other:", r"stages.download: expected a mapping with a list of out"),
        ("schema: '2.0'", "[1, 2", r"is no DVC lock"),
        ("stages:", "stages:\n  more: 3", r"stages.more: expected a mapping"),
    ],
)
def test_a_lock_that_dvc_did_not_write_is_refused(
    project: Project, old: str, new: str, message: str
) -> None:
    lock = project.folder / "dvc.lock"
    head, _, tail = lock.read_text().partition("    outs:\n")
    text = head + "    outs:\n" + tail
    lock.write_text(text.replace(old, new) if old in text else text)
    with pytest.raises(DataError, match=rf"dvc\.lock: .*{message}"):
        verify(project.folder)


def test_a_list_of_files_that_leaves_its_folder_is_not_followed(project: Project) -> None:
    listed = '[{"md5": "900150983cd24fb0d6963f7d28e17f72", "relpath": "../../secret"}]'
    cache = project.folder / ".dvc" / "cache" / "files" / "md5"
    (index,) = cache.rglob("*.dir")
    lock = project.folder / "dvc.lock"
    old = next(output.md5 for output in recorded_outputs(project.folder) if output.path == "raw")
    made = project.folder / "list"
    made.write_text(listed)
    md5 = hash_files([made])[made].md5
    (cache / md5[:2]).mkdir(exist_ok=True)
    made.rename(cache / md5[:2] / f"{md5[2:]}.dir")
    index.unlink()
    lock.write_text(lock.read_text().replace(old, f"{md5}.dir"))
    (damage,) = verify(project.folder).damages
    assert "DVC's list of the files in raw is damaged" in damage.text


def test_what_the_studies_made_is_verified_too(project: Project) -> None:
    studies = project.folder / "studies"
    studies.mkdir()
    (studies / "dvc.yaml").write_text(STUDIES_YAML)
    project.run("dvc", "repro", "studies/dvc.yaml")
    report = verify(project.folder)
    assert (report.damages, report.outputs) == ([], 10)
    outputs = {each.path: each for each in recorded_outputs(project.folder, graph=STUDIES)}
    assert {path: each.cached for path, each in outputs.items()} == {
        "again/one.txt": False,
        "again/two.txt": False,
        "one.page": True,
        "two.page": True,
    }
    let_dvc_look(project)
    change_byte(project.folder / "two.page")
    change_byte(project.folder / "again" / "one.txt")
    texts = [damage.text for damage in verify(project.folder).damages]
    assert texts == [
        f"{path}: differs from what studies/dvc.lock records for studies/dvc.yaml:again@{key}: "
        "damaged, or changed by hand"
        for path, key in (("again/one.txt", "one"), ("two.page", "two"))
    ]
    follow(project)
    for copy in copies(project):
        copy.chmod(0o644)
        copy.unlink()
    (project.folder / "two.page").chmod(0o644)
    change_byte(project.folder / "two.page")
    assert "dvc repro --single-item studies/dvc.yaml:again@two" in str(verify(project.folder))
    (studies / "dvc.lock").write_text(
        (studies / "dvc.lock").read_text().replace("path: one.page", "path: ../one.page")
    )
    with pytest.raises(
        DataError, match=r"expected a path within the project, got '\.\./one\.page'"
    ):
        verify(project.folder)


def test_the_digest_of_a_folder_is_dvcs_own(project: Project) -> None:
    for output in recorded_outputs(project.folder):
        if output.is_folder:
            folder = project.folder / output.path
            files = hash_files(path for path in folder.rglob("*") if path.is_file())
            names = {path.relative_to(folder).as_posix(): files[path].md5 for path in files}
            assert folder_md5(names) == output.md5


def test_what_dvc_keeps_no_copy_of_is_known(project: Project) -> None:
    cached = {output.path: output.cached for output in recorded_outputs(project.folder)}
    assert cached == {
        "raw": True,
        "models/one.keras": True,
        "models/two.keras": True,
        "metrics/one.json": False,
        "metrics/two.json": False,
        "figures": False,
    }


def test_what_is_committed_is_known(project: Project) -> None:
    for output in recorded_outputs(project.folder):
        expected = None if output.cached else output.md5
        assert committed_md5(output, project.folder) == expected


def test_the_command_says_what_is_damaged_and_exits_with_7(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    print_verification(project.folder)
    assert capsys.readouterr().out.count("\n") == 1
    assert "all as dvc.lock records" in project.run("convdepth", "verify")
    change_byte(project.folder / "models" / "one.keras")
    with pytest.raises(IntegrityError, match=r"1 file not as dvc\.lock records; above"):
        print_verification(project.folder)
    out = capsys.readouterr().out
    assert "to mend it: rm -rf models/one.keras && dvc checkout models/one.keras\n" in out
    assert "error: 1 file not as" in project.run("convdepth", "verify", code=7)


def test_the_command_loads_no_heavy_library(project: Project) -> None:
    finished = subprocess.run(
        ["convdepth", "verify"],
        cwd=project.folder,
        env=project.environment | {"PYTHONPROFILEIMPORTTIME": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    # Its children, too, have that setting, but their words are not its own.
    loaded = {line.rpartition("|")[2].strip() for line in finished.stderr.splitlines()}
    assert "ruamel.yaml" in loaded
    assert not loaded & {"tensorflow", "keras", "pandas", "dvc", "prefect", "numpy"}
