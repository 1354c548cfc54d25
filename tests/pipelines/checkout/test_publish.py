"""Results as a branch: what is committed, under which name, and what is refused."""

import datetime
import shutil
from pathlib import Path

import pytest
import toy

from convdepth.core.errors import MachineError
from pipelines.checkout.publish import publish, require_publishing
from pipelines.core.git import changed_files, git
from project import Project

# DVC 3.67 builds its graph with a call that its library pygtrie will drop.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon:DeprecationWarning")

DATE = datetime.date(2026, 1, 31)
BRANCH = "results/2026-01-31"


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


def on_origin(place: Path, *arguments: str) -> str:
    return git(*arguments, folder=place.parent / "origin.git")


def branches(place: Path) -> list[str]:
    return on_origin(place, "for-each-ref", "--format=%(refname:lstrip=2)").splitlines()


def write_hook(hooks: Path, name: str, *lines: str) -> None:
    (hooks / name).write_text("\n".join(["#!/bin/sh", *lines, ""]))
    (hooks / name).chmod(0o755)


def push_without_results(place: Path, name: str) -> str:
    """Push what was run as a branch; return the commit."""
    git("push", "--quiet", "origin", f"HEAD:refs/heads/{name}", folder=place)
    return git("rev-parse", "HEAD", folder=place)


def test_results_become_a_branch_on_top_of_what_was_run(place: Path) -> None:
    ran = git("rev-parse", "HEAD", folder=place)
    assert publish(place, DATE, "Results\n\none  accuracy  0.5\n# two") == BRANCH
    assert branches(place) == ["main", BRANCH]
    assert on_origin(place, "rev-parse", "main", f"{BRANCH}~1").split() == [ran, ran]
    names = on_origin(place, "diff", "--name-only", "main", BRANCH)
    assert set(names.splitlines()) == {".gitignore", "dvc.lock", "one.json", "two.json"}
    message = on_origin(place, "log", "-1", "--format=%B", BRANCH)
    assert message == "Results\n\none  accuracy  0.5\n# two"
    assert changed_files(place) == []


def test_only_changes_are_published_and_a_missing_result_is_one(place: Path) -> None:
    git("add", "--all", folder=place)
    git("commit", "--quiet", "--message", "results", folder=place)
    assert publish(place, DATE, "Results") is None
    assert branches(place) == ["main"]
    (place / "one.json").unlink()
    assert publish(place, DATE, "Results") == BRANCH
    names = on_origin(place, "ls-tree", "--name-only", BRANCH).splitlines()
    assert {"one.json", "two.json"} & set(names) == {"two.json"}


def test_a_taken_name_gets_a_number(place: Path) -> None:
    taken = [BRANCH, f"{BRANCH}-2"]
    others = [push_without_results(place, name) for name in taken]
    # They are what was run, so that git could move them on to the results without force.
    assert publish(place, DATE, "Results") == f"{BRANCH}-3"
    assert on_origin(place, "rev-parse", *taken).split() == others


def test_results_that_were_published_before_are_not_published_again(place: Path) -> None:
    yesterday = DATE - datetime.timedelta(days=1)
    ran = git("rev-parse", "HEAD", folder=place)
    assert publish(place, yesterday, "Results") == "results/2026-01-30"
    git("reset", "--quiet", ran, folder=place)  # as if it were run again
    assert publish(place, DATE, "The same results") == "results/2026-01-30"
    assert branches(place) == ["main", "results/2026-01-30"]


@pytest.mark.parametrize("name", ["work.sh", "studies/notes", "one.json.txt"])
def test_more_than_results_is_refused_by_name(place: Path, name: str) -> None:
    (place / "studies").mkdir()
    (place / name).write_text("by hand")
    before = git("rev-parse", "HEAD", folder=place), changed_files(place)
    with pytest.raises(MachineError, match=f": {name}\\. ") as caught:
        publish(place, DATE, "Results")
    assert caught.value.exit_code == 4
    assert (git("rev-parse", "HEAD", folder=place), changed_files(place)) == before
    assert branches(place) == ["main"]


def test_a_branch_is_never_committed_onto(place: Path) -> None:
    git("switch", "--quiet", "main", folder=place)
    before = git("rev-parse", "main", folder=place)
    with pytest.raises(MachineError, match=r"branch main .*`git switch --detach`"):
        publish(place, DATE, "Results")
    assert git("rev-parse", "main", folder=place) == before
    assert branches(place) == ["main"]


def test_a_refused_push_fails_in_gits_words(place: Path) -> None:
    hooks = place.parent / "origin.git" / "hooks"
    write_hook(hooks, "pre-receive", "echo nobody may push >&2", "exit 1")
    with pytest.raises(MachineError, match="nobody may push"):
        publish(place, DATE, "Results")
    assert branches(place) == ["main"]


def test_a_name_that_another_machine_takes_meanwhile_gets_a_number(place: Path) -> None:
    other = git("rev-parse", "HEAD", folder=place)
    # The hook runs when git has seen that the name is free.
    push = f"git push -q --no-verify origin {other}:refs/heads/{BRANCH} ||:"
    write_hook(place / ".git" / "hooks", "pre-push", push)
    assert publish(place, DATE, "Results") == f"{BRANCH}-2"
    assert on_origin(place, "rev-parse", BRANCH, f"{BRANCH}-2~1").split() == [other, other]


def test_a_push_that_arrived_although_it_failed_counts(place: Path) -> None:
    push = f"git push -q --no-verify origin HEAD:refs/heads/{BRANCH}"
    write_hook(place / ".git" / "hooks", "pre-push", push, "exit 1")
    assert publish(place, DATE, "Results") == BRANCH
    assert branches(place) == ["main", BRANCH]


def test_where_all_is_well_publishing_is_possible_and_nothing_is_pushed(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_identity(monkeypatch)
    git("config", "user.name", "somebody", folder=place)
    git("config", "user.email", "somebody@example.org", folder=place)
    # As after `dvc install`: the hook would push all results.
    write_hook(place / ".git" / "hooks", "pre-push", "exit 1")
    require_publishing(place)
    assert branches(place) == ["main"]


def test_without_an_identity_the_commands_are_named(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_identity(monkeypatch)
    for _ in range(2):
        with pytest.raises(MachineError, match=r'`git config user\.name "NAME"`') as caught:
            require_publishing(place)
        assert '`git config user.email "ADDRESS"`' in str(caught.value)
        git("config", "user.name", "somebody", folder=place)  # the address is still missing


def forget_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.delenv(f"GIT_{role}_NAME")
        monkeypatch.delenv(f"GIT_{role}_EMAIL")
    monkeypatch.delenv("EMAIL", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("remote", "rename", "origin", "here"), "`git remote add origin ADDRESS`"),
        (("remote", "set-url", "origin", "gone.git"), "`git push --dry-run .*not appear to be"),
        (("push", "--quiet", "origin", "HEAD:refs/heads/results"), "the branch results "),
    ],
)
def test_an_origin_that_cannot_take_results_is_found_before_the_run(
    place: Path, command: tuple[str, ...], words: str
) -> None:
    git(*command, folder=place)
    with pytest.raises(MachineError, match=words):
        require_publishing(place)
