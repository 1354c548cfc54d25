"""Results as a branch: what is committed, under which name, and what is refused."""

import datetime
import shutil
from pathlib import Path

import pytest
import toy

from convdepth.core.errors import MachineError
from pipelines.checkout import publish as publication
from pipelines.checkout.git import changed_files, git
from pipelines.checkout.publish import publish, require_publishing
from project import Project

# DVC 3.67 builds its graph with a call that its library pygtrie will drop.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon:DeprecationWarning")

DATE = datetime.date(2026, 1, 31)
BRANCH = "results/2026-01-31"
RESULTS = {".gitignore", "dvc.lock", "one.json", "two.json"}


@pytest.fixture(scope="module")
def after_a_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bare repository, and a clone without a branch in which the toy has run."""
    folder = tmp_path_factory.mktemp("run")
    root = toy.create(folder / "root", folder)
    root.run("git", "branch", "--move", "main")
    root.run("git", "clone", "--quiet", "--bare", ".", str(folder / "origin.git"))
    root.run("git", "clone", "--quiet", str(folder / "origin.git"), str(folder / "place"))
    place = Project(folder / "place", folder)
    place.run("git", "switch", "--quiet", "--detach")
    place.repro()
    return folder


@pytest.fixture
def place(after_a_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it for one test: the clone; the repository lies beside it."""
    shutil.copytree(after_a_run, tmp_path, symlinks=True, dirs_exist_ok=True)
    for name, value in Project(tmp_path / "place", tmp_path).environment.items():
        monkeypatch.setenv(name, value)
    git("remote", "set-url", "origin", str(tmp_path / "origin.git"), folder=tmp_path / "place")
    return tmp_path / "place"


def branches(place: Path) -> list[str]:
    """Read which branches the repository has."""
    listed = git("for-each-ref", "--format=%(refname:lstrip=2)", folder=origin(place))
    return listed.splitlines()


def origin(place: Path) -> Path:
    return place.parent / "origin.git"


def write_hook(repository: Path, name: str, *lines: str) -> None:
    hook = repository / "hooks" / name
    hook.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    hook.chmod(0o755)


def put_something_else(place: Path, name: str) -> str:
    """Push what was run, without the results, as a branch; give the commit."""
    git("push", "--quiet", "origin", f"HEAD:refs/heads/{name}", folder=place)
    return git("rev-parse", "HEAD", folder=place)


def test_results_become_a_branch_on_top_of_what_was_run(place: Path) -> None:
    ran = git("rev-parse", "HEAD", folder=place)
    assert publish(place, DATE, "Results\n\none  accuracy  0.5\n# two") == BRANCH
    assert branches(place) == ["main", BRANCH]
    assert git("rev-parse", "main", folder=origin(place)) == ran
    assert git("rev-parse", f"{BRANCH}~1", folder=origin(place)) == ran
    names = git("diff", "--name-only", "main", BRANCH, folder=origin(place))
    assert set(names.splitlines()) == RESULTS
    message = git("log", "-1", "--format=%B", BRANCH, folder=origin(place))
    assert message == "Results\n\none  accuracy  0.5\n# two"
    assert git("show", f"{BRANCH}:dvc.lock", folder=origin(place)) == (
        (place / "dvc.lock").read_text().rstrip("\n")
    )
    assert changed_files(place) == []


def test_results_that_are_those_of_the_commit_are_not_published(place: Path) -> None:
    git("add", "--all", folder=place)
    git("commit", "--quiet", "--message", "results", folder=place)
    assert publish(place, DATE, "Results") is None
    assert branches(place) == ["main"]


def test_a_result_that_is_gone_is_gone_in_the_branch(place: Path) -> None:
    git("add", "--all", folder=place)
    git("commit", "--quiet", "--message", "results", folder=place)
    (place / "one.json").unlink()
    assert publish(place, DATE, "Results") == BRANCH
    names = git("ls-tree", "--name-only", BRANCH, folder=origin(place)).splitlines()
    assert "one.json" not in names
    assert "two.json" in names


def test_a_name_that_is_taken_gets_a_number(place: Path) -> None:
    others = [put_something_else(place, name) for name in (BRANCH, f"{BRANCH}-2")]
    assert publish(place, DATE, "Results") == f"{BRANCH}-3"
    kept = [git("rev-parse", name, folder=origin(place)) for name in (BRANCH, f"{BRANCH}-2")]
    assert kept == others


def test_results_that_were_published_before_are_not_published_again(place: Path) -> None:
    yesterday = DATE - datetime.timedelta(days=1)
    ran = git("rev-parse", "HEAD", folder=place)
    assert publish(place, yesterday, "Results") == "results/2026-01-30"
    git("reset", "--quiet", ran, folder=place)  # as if it were run again
    assert publish(place, DATE, "The same results") == "results/2026-01-30"
    assert branches(place) == ["main", "results/2026-01-30"]


@pytest.mark.parametrize("name", ["work.sh", "notes", "studies/notes", "one.json.txt"])
def test_more_than_results_is_refused_by_name(place: Path, name: str) -> None:
    (place / "studies").mkdir()
    (place / name).write_text("by hand")
    before = changed_files(place)
    ran = git("rev-parse", "HEAD", folder=place)
    with pytest.raises(MachineError, match=f"what the stages write: {name}\\. ") as caught:
        publish(place, DATE, "Results")
    assert caught.value.exit_code == 4
    assert changed_files(place) == before
    assert git("rev-parse", "HEAD", folder=place) == ran
    assert branches(place) == ["main"]


def test_a_branch_is_never_committed_onto(place: Path) -> None:
    git("switch", "--quiet", "main", folder=place)
    before = git("rev-parse", "main", folder=place)
    with pytest.raises(MachineError, match="here main is checked out"):
        publish(place, DATE, "Results")
    assert git("rev-parse", "main", folder=place) == before
    assert branches(place) == ["main"]


def test_a_refused_push_fails_in_gits_words(place: Path) -> None:
    write_hook(origin(place), "pre-receive", "echo nobody may push >&2", "exit 1")
    with pytest.raises(MachineError, match="nobody may push") as caught:
        publish(place, DATE, "Results")
    assert "hook declined" in str(caught.value)
    assert branches(place) == ["main"]


def test_a_name_that_another_machine_takes_meanwhile_gets_a_number(place: Path) -> None:
    other = git("rev-parse", "HEAD", folder=place)
    # The hook runs when git has seen that the name is free.
    write_hook(
        place / ".git",
        "pre-push",
        f"git push -q --no-verify origin {other}:refs/heads/{BRANCH} ||:",
    )
    assert publish(place, DATE, "Results") == f"{BRANCH}-2"
    assert git("rev-parse", BRANCH, folder=origin(place)) == other
    assert git("rev-parse", f"{BRANCH}-2~1", folder=origin(place)) == other


def test_a_branch_that_was_not_there_a_moment_ago_is_not_changed(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = put_something_else(place, BRANCH)
    fetch, outdated = publication._fetch_branches, [{}, {}]
    monkeypatch.setattr(
        publication, "_fetch_branches", lambda folder: outdated.pop() if outdated else fetch(folder)
    )
    # It is what was run, so that git could move it on to the results without force.
    assert publish(place, DATE, "Results") == f"{BRANCH}-2"
    assert git("rev-parse", BRANCH, folder=origin(place)) == other


def test_a_push_that_arrived_although_it_failed_counts(place: Path) -> None:
    write_hook(
        place / ".git",
        "pre-push",
        f"git push -q --no-verify origin HEAD:refs/heads/{BRANCH}",
        "exit 1",
    )
    assert publish(place, DATE, "Results") == BRANCH
    assert branches(place) == ["main", BRANCH]


def test_an_origin_that_is_gone_fails_in_gits_words(place: Path) -> None:
    origin(place).rename(place.parent / "gone.git")
    with pytest.raises(MachineError, match="does not appear to be a git repository"):
        publish(place, DATE, "Results")


def test_where_all_is_well_publishing_is_possible_and_nothing_is_pushed(place: Path) -> None:
    write_hook(place / ".git", "pre-push", "echo as after dvc install >&2", "exit 1")
    require_publishing(place)
    assert branches(place) == ["main"]


def test_an_identity_may_come_from_git_config(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_identity(monkeypatch)
    git("config", "user.name", "somebody", folder=place)
    git("config", "user.email", "somebody@example.org", folder=place)
    require_publishing(place)


def test_without_an_identity_the_commands_are_named(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_identity(monkeypatch)
    with pytest.raises(MachineError, match=r'`git config user\.name "NAME"`') as caught:
        require_publishing(place)
    assert '`git config user.email "ADDRESS"`' in str(caught.value)
    git("config", "user.name", "somebody", folder=place)
    with pytest.raises(MachineError, match="does not know who commits"):
        require_publishing(place)


def forget_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GIT_AUTHOR", "GIT_COMMITTER"):
        monkeypatch.delenv(f"{name}_NAME")
        monkeypatch.delenv(f"{name}_EMAIL")
    monkeypatch.delenv("EMAIL", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)


def test_without_an_origin_the_command_is_named(place: Path) -> None:
    git("remote", "rename", "origin", "here", folder=place)
    with pytest.raises(MachineError, match="`git remote add origin ADDRESS`"):
        require_publishing(place)


def test_an_origin_that_cannot_be_written_to_fails_in_gits_words(place: Path) -> None:
    origin(place).rename(place.parent / "gone.git")
    with pytest.raises(MachineError, match=r"`git push --dry-run .*not appear to be a git"):
        require_publishing(place)


def test_a_branch_in_the_way_of_all_results_is_found_before(place: Path) -> None:
    put_something_else(place, "results")
    with pytest.raises(MachineError, match="origin has a branch results"):
        require_publishing(place)
