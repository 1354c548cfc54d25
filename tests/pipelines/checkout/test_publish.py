"""Results as a branch: what is committed, under which name, and what is refused."""

import shutil
from pathlib import Path

import pytest
import toy

from convdepth.core.errors import MachineError
from convdepth.workspace.git import changed_files, git
from pipelines.checkout.publish import publish_results, require_publishing
from project import Project

DATE = "2026-01-31"
BRANCH = "results/2026-01-31"
MESSAGE = "Results\n\none  accuracy  0.5\n# two"


@pytest.fixture(scope="module")
def after_a_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bare repository, and a clone without a branch in which the toy has run."""
    folder = tmp_path_factory.mktemp("run")
    root = toy.create(folder / "root", folder)
    root.run("git", "branch", "--move", "main")
    root.run("git", "clone", "--quiet", "--bare", ".", str(folder / "origin.git"))
    root.run("git", "clone", "--quiet", str(folder / "origin.git"), str(folder / "clone"))
    clone = Project(folder / "clone", folder)
    clone.run("git", "switch", "--quiet", "--detach")
    clone.repro()
    return folder


@pytest.fixture
def clone(after_a_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it for one test: the clone; the repository lies beside it."""
    shutil.copytree(after_a_run, tmp_path, symlinks=True, dirs_exist_ok=True)
    Project(tmp_path / "clone", tmp_path).enter(monkeypatch)
    git("remote", "set-url", "origin", str(tmp_path / "origin.git"), folder=tmp_path / "clone")
    return tmp_path / "clone"


def on_origin(clone: Path, *arguments: str) -> str:
    return git(*arguments, folder=clone.parent / "origin.git")


def branches(clone: Path) -> list[str]:
    return on_origin(clone, "for-each-ref", "--format=%(refname:lstrip=2)").splitlines()


def write_hook(hooks: Path, name: str, *lines: str) -> None:
    (hooks / name).write_text("\n".join(["#!/bin/sh", *lines, ""]))
    (hooks / name).chmod(0o755)


def test_results_become_a_branch_on_top_of_what_was_run_and_only_once(clone: Path) -> None:
    ran = git("rev-parse", "HEAD", folder=clone)
    assert publish_results(clone, DATE, MESSAGE) == BRANCH
    assert branches(clone) == ["main", BRANCH]
    assert on_origin(clone, "rev-parse", "main", f"{BRANCH}~1").split() == [ran, ran]
    names = on_origin(clone, "diff", "--name-only", "main", BRANCH)
    assert set(names.splitlines()) == {".gitignore", "dvc.lock", "one.json", "two.json"}
    assert on_origin(clone, "log", "-1", "--format=%B", BRANCH) == MESSAGE
    assert changed_files(clone) == []
    assert publish_results(clone, DATE, "Nothing new") is None
    git("reset", "--quiet", ran, folder=clone)  # as if it were run again
    assert publish_results(clone, "2026-02-01", "The same") == BRANCH
    assert branches(clone) == ["main", BRANCH]
    (clone / "one.json").unlink()
    assert publish_results(clone, DATE, "One is missing") == f"{BRANCH}-2"
    names = on_origin(clone, "ls-tree", "--name-only", f"{BRANCH}-2").splitlines()
    assert {"one.json", "two.json"} & set(names) == {"two.json"}


def test_a_name_that_is_taken_even_meanwhile_gets_a_number(clone: Path) -> None:
    other = git("rev-parse", "HEAD", folder=clone)
    git("push", "--quiet", "origin", f"HEAD:refs/heads/{BRANCH}", folder=clone)
    # It is what was run, so that git could move it on to the results without force. The hook runs
    # when git has seen that the second name is free.
    push = f"git push -q --no-verify origin {other}:refs/heads/{BRANCH}-2 ||:"
    write_hook(clone / ".git" / "hooks", "pre-push", push)
    assert publish_results(clone, DATE, "Results") == f"{BRANCH}-3"
    taken = on_origin(clone, "rev-parse", BRANCH, f"{BRANCH}-2", f"{BRANCH}-3~1")
    assert taken.split() == [other] * 3


def test_a_push_that_arrived_although_it_failed_counts(clone: Path) -> None:
    push = f"git push -q --no-verify origin HEAD:refs/heads/{BRANCH}"
    write_hook(clone / ".git" / "hooks", "pre-push", push, "exit 1")
    assert publish_results(clone, DATE, "Results") == BRANCH
    assert branches(clone) == ["main", BRANCH]


def test_more_than_results_is_refused_by_name_and_a_branch_never_committed_onto(
    clone: Path,
) -> None:
    (clone / "studies").mkdir()
    for name in ("work.sh", "studies/notes", "one.json.txt"):
        (clone / name).write_text("by hand")
        before = git("rev-parse", "HEAD", folder=clone), changed_files(clone)
        with pytest.raises(MachineError, match=f": {name}\\. ") as caught:
            publish_results(clone, DATE, "Results")
        assert caught.value.exit_code == 4
        assert (git("rev-parse", "HEAD", folder=clone), changed_files(clone)) == before
        git("clean", "--quiet", "--force", name, folder=clone)
        git("checkout", "--quiet", "HEAD", "work.sh", folder=clone)
    git("switch", "--quiet", "main", folder=clone)
    with pytest.raises(MachineError, match=r"branch main .*`git switch --detach`"):
        publish_results(clone, DATE, "Results")
    assert git("rev-parse", "main", folder=clone) == before[0]
    git("switch", "--quiet", "--detach", folder=clone)
    hooks = clone.parent / "origin.git" / "hooks"
    write_hook(hooks, "pre-receive", "echo nobody may push >&2", "exit 1")
    with pytest.raises(MachineError, match="nobody may push"):
        publish_results(clone, DATE, "Results")
    assert branches(clone) == ["main"]


def test_without_an_identity_the_commands_are_named(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AUTHOR_NAME", "AUTHOR_EMAIL", "COMMITTER_NAME", "COMMITTER_EMAIL"):
        monkeypatch.delenv(f"GIT_{name}")
    monkeypatch.delenv("EMAIL", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    for _ in range(2):
        with pytest.raises(MachineError, match=r'`git config user\.name "NAME"`') as caught:
            require_publishing(clone)
        assert '`git config user.email "ADDRESS"`' in str(caught.value)
        git("config", "user.name", "somebody", folder=clone)  # the address is still missing
    git("config", "user.email", "somebody@example.org", folder=clone)
    # As after `dvc install`: the hook would push all results.
    write_hook(clone / ".git" / "hooks", "pre-push", "exit 1")
    require_publishing(clone)
    assert branches(clone) == ["main"]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("remote", "rename", "origin", "here"), "`git remote add origin ADDRESS`"),
        (("remote", "set-url", "origin", "gone.git"), "`git push --dry-run .*not appear to be"),
        (("push", "--quiet", "origin", "HEAD:refs/heads/results"), "the branch results "),
    ],
)
def test_an_origin_that_cannot_take_results_is_found_before_the_run(
    clone: Path, command: tuple[str, ...], words: str
) -> None:
    git(*command, folder=clone)
    with pytest.raises(MachineError, match=words):
        require_publishing(clone)
