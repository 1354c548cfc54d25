"""Git: the newest commit, changed files, and errors in git's own words."""

from pathlib import Path

import pytest
import servers

from convdepth.core.errors import DataError, MachineError, ParameterError
from convdepth.workspace import git as runner
from convdepth.workspace.dvc import without_credentials
from convdepth.workspace.git import changed_files, find_commit, git, newest_commit, read_commit
from project import Project


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit on main."""
    folder = tmp_path / "root"
    for name, value in Project(folder, tmp_path).environment.items():
        monkeypatch.setenv(name, value)
    folder.mkdir()
    git("init", "--quiet", "--initial-branch", "main", folder=folder)
    commit(folder, "first")
    return folder


def commit(folder: Path, text: str) -> str:
    """Commit a file; return the commit."""
    (folder / "file").write_text(text)
    git("add", "--all", folder=folder)
    git("commit", "--quiet", "--message", text, folder=folder)
    return git("rev-parse", "HEAD", folder=folder)


def test_the_newest_commit_is_that_of_the_upstream(root: Path, tmp_path: Path) -> None:
    git("clone", "--quiet", "--bare", str(root), "origin.git", folder=tmp_path)
    git("remote", "add", "origin", str(tmp_path / "origin.git"), folder=root)
    git("push", "--quiet", "--set-upstream", "origin", "main", folder=root)
    git("switch", "--quiet", "--create", "work", "--track", "origin/main", folder=root)
    git("clone", "--quiet", "origin.git", "other", folder=tmp_path)
    there = commit(tmp_path / "other", "of another clone")
    git("push", "--quiet", folder=tmp_path / "other")
    here = git("rev-parse", "HEAD", folder=root)
    found = newest_commit(root)
    assert (found.sha, found.source) == (there, "origin/main")
    assert git("rev-parse", "HEAD", folder=root) == here
    assert (root / "file").read_text() == "first"
    commit(root, "second")
    commit(root, "third")
    found = newest_commit(root)
    assert found.sha == there
    assert "2 unpushed" in found.source
    git("branch", "--move", "main", "other", folder=tmp_path / "origin.git")
    with pytest.raises(MachineError, match=r"(?s)`git fetch .*couldn't find remote ref") as caught:
        newest_commit(root)
    assert caught.value.exit_code == 4


def test_without_an_upstream_it_is_head_with_the_command_to_fix(root: Path, tmp_path: Path) -> None:
    head = git("rev-parse", "HEAD", folder=root)
    found = newest_commit(root)
    assert found.sha == head
    assert "`git push --set-upstream origin main`" in found.source
    git("switch", "--quiet", "--detach", folder=root)
    found = newest_commit(root)
    assert found.sha == head
    assert "`git switch BRANCH`" in found.source
    git("init", "--quiet", "--initial-branch", "main", "empty", folder=tmp_path)
    with pytest.raises(MachineError, match=r"empty: branch main .*`git add --all && git commit`"):
        newest_commit(tmp_path / "empty")


def test_a_revision_that_git_does_not_know_is_named(root: Path, tmp_path: Path) -> None:
    assert find_commit("main", root) == git("rev-parse", "HEAD", folder=root)
    for revision in ("nonsense", "--all", "0" * 40):
        with pytest.raises(ParameterError, match=f"^{revision}: "):
            find_commit(revision, root)
    with pytest.raises(DataError, match=r"^HEAD: .*gone"):
        read_commit("HEAD", ("archive", "HEAD", "gone"), root)
    with pytest.raises(MachineError, match=r"in .*nowhere failed: .*No such file or directory"):
        git("status", folder=tmp_path / "nowhere")


def test_changed_files_are_all_that_git_does_not_ignore(root: Path) -> None:
    names = [".gitignore", "changed", "removed", "renamed", "folder/kept"]
    (root / "folder").mkdir()
    for name in names:
        (root / name).write_text("ignored\n" if name == ".gitignore" else name * 20)
    commit(root, "second")
    assert changed_files(root) == []
    (root / "changed").write_text("else")
    (root / "removed").unlink()
    git("mv", "renamed", "ä name", folder=root)
    (root / "folder" / "new").touch()
    (root / "new").mkdir()
    (root / "new" / " first").touch()
    (root / "ignored").touch()
    expected = ["changed", "folder/new", "new/ first", "removed", "renamed", "ä name"]
    assert changed_files(root) == sorted(expected)


def test_a_hooks_repository_is_not_taken_for_the_folders(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git("init", "--quiet", "--initial-branch", "other", "other", folder=tmp_path)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    assert git("branch", "--show-current", folder=root) == "main"


def test_git_that_is_missing_or_hangs_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "TIMEOUT_SECONDS", 0.2)
    with pytest.raises(MachineError, match="sleep 60"):
        git("-c", "alias.hang=!exec sleep 60", "hang", "sleep 60", folder=root)
    monkeypatch.setenv("PATH", str(root))
    for ask in (git, find_commit):
        with pytest.raises(MachineError, match="git: not found"):
            ask("HEAD")


def test_nobody_is_asked_for_a_password_and_no_error_has_one(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GIT_ASKPASS", "SSH_ASKPASS", "http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    replies = {"*": servers.answer(status=401, WWW_Authenticate='Basic realm="x"')}
    with (
        servers.serve(replies, secure=False) as server,
        pytest.raises(MachineError, match="terminal prompts disabled"),
    ):
        git("fetch", f"{server.url}it.git", folder=root)
    with pytest.raises(MachineError, match=r"//127\.0\.0\.1:1/it") as caught:
        git("fetch", "http://somebody:secret@127.0.0.1:1/it.git", folder=root)
    assert "secret" not in str(caught.value)
    kept = "me@host:it.git, https://host/a@b"
    assert without_credentials(f"{kept} https://token@host/a") == f"{kept} https://host/a"
