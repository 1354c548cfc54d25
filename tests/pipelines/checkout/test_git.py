"""Git as the flows use it: the newest commit, changed files, and errors in git's own words."""

import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from convdepth.core.errors import MachineError
from pipelines.checkout.git import changed_files, git, newest_commit, without_credentials
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


@pytest.fixture
def origin(root: Path, tmp_path: Path) -> Path:
    """A bare repository that the main branch of ``root`` follows."""
    bare = tmp_path / "origin.git"
    git("clone", "--quiet", "--bare", str(root), str(bare), folder=tmp_path)
    git("remote", "add", "origin", str(bare), folder=root)
    git("push", "--quiet", "--set-upstream", "origin", "main", folder=root)
    return bare


def commit(folder: Path, text: str) -> str:
    """Commit a file; give the commit."""
    (folder / "file").write_text(text)
    git("add", "--all", folder=folder)
    git("commit", "--quiet", "--message", text, folder=folder)
    return git("rev-parse", "HEAD", folder=folder)


def commit_elsewhere(origin: Path, folder: Path) -> str:
    """Push a commit to main from another clone; give the commit."""
    git("clone", "--quiet", str(origin), str(folder), folder=origin)
    sha = commit(folder, "from elsewhere")
    git("push", "--quiet", folder=folder)
    return sha


def test_the_newest_commit_is_that_of_the_upstream(
    root: Path, origin: Path, tmp_path: Path
) -> None:
    here = git("rev-parse", "HEAD", folder=root)
    there = commit_elsewhere(origin, tmp_path / "elsewhere")
    found = newest_commit(root)
    assert (found.sha, found.source) == (there, "origin/main")
    assert git("rev-parse", "HEAD", folder=root) == here
    assert (root / "file").read_text() == "first"


def test_commits_that_are_not_pushed_are_left_out_and_counted(root: Path, origin: Path) -> None:
    pushed = git("rev-parse", "HEAD", folder=root)
    commit(root, "second")
    commit(root, "third")
    found = newest_commit(root)
    assert found.sha == pushed
    assert found.source.startswith("origin/main, without the commits of main that are only here, 2")
    assert "`git push`" in found.source
    assert origin.exists()


def test_an_upstream_of_another_name_is_followed(root: Path, origin: Path, tmp_path: Path) -> None:
    git("switch", "--quiet", "--create", "work", "--track", "origin/main", folder=root)
    there = commit_elsewhere(origin, tmp_path / "elsewhere")
    assert newest_commit(root).sha == there


def test_without_an_upstream_it_is_head_and_says_so(root: Path) -> None:
    found = newest_commit(root)
    assert found.sha == git("rev-parse", "HEAD", folder=root)
    assert found.source == (
        "HEAD, since branch main has no upstream; "
        "`git push --set-upstream origin main` would give it one"
    )


def test_without_a_branch_it_is_head_and_says_so(root: Path, origin: Path) -> None:
    git("switch", "--quiet", "--detach", folder=root)
    sha = commit(root, "on no branch")
    found = newest_commit(root)
    assert found.sha == sha
    assert "no branch is checked out" in found.source
    assert origin.exists()


def test_a_repository_without_a_commit_says_what_to_do(root: Path, tmp_path: Path) -> None:
    assert root.exists()
    git("init", "--quiet", "--initial-branch", "main", "empty", folder=tmp_path)
    with pytest.raises(MachineError, match=r"main has no commit yet.*`git add --all && git commit"):
        newest_commit(tmp_path / "empty")


def test_a_folder_without_a_repository_fails_in_gits_words(root: Path) -> None:
    with pytest.raises(MachineError, match="not a git repository") as caught:
        newest_commit(root.parent)
    assert str(root.parent) in str(caught.value)
    assert caught.value.exit_code == 4
    with pytest.raises(MachineError, match="No such file or directory"):
        newest_commit(root / "nowhere")


def test_an_unreachable_remote_fails_in_gits_words(root: Path, origin: Path) -> None:
    origin.rename(origin.with_suffix(".gone"))
    with pytest.raises(MachineError, match=r"`git fetch .*origin.*does not appear to be a git"):
        newest_commit(root)


def test_a_branch_that_the_remote_no_longer_has_fails_in_gits_words(
    root: Path, origin: Path
) -> None:
    git("branch", "--move", "main", "other", folder=origin)
    with pytest.raises(MachineError, match="couldn't find remote ref refs/heads/main"):
        newest_commit(root)


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


def test_the_first_changed_file_keeps_its_whole_name(root: Path) -> None:
    (root / "file").write_text("changed")
    assert changed_files(root) == ["file"]


def test_a_hooks_repository_is_not_taken_for_the_folders(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git("init", "--quiet", "--initial-branch", "other", "other", folder=tmp_path)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    assert git("branch", "--show-current", folder=root) == "main"
    assert changed_files(root) == []


def test_git_that_is_not_installed_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(root))
    with pytest.raises(MachineError, match="git: not found"):
        git("status", folder=root)


class AsksForAPassword(BaseHTTPRequestHandler):
    """A web server that lets nobody in."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="x"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def locked_server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), AsksForAPassword) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_nobody_is_asked_for_a_password(
    root: Path, locked_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GIT_ASKPASS", "SSH_ASKPASS", "http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    git("remote", "add", "origin", f"http://{locked_server}/it.git", folder=root)
    with pytest.raises(MachineError, match="terminal prompts disabled"):
        git("fetch", "origin", folder=root)


def test_no_error_has_a_password(root: Path) -> None:
    with pytest.raises(MachineError, match=r"//127\.0\.0\.1:1/it") as caught:
        git("fetch", "http://somebody:secret@127.0.0.1:1/it.git", folder=root)
    assert "secret" not in str(caught.value)
    assert "somebody" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see https://token@host/a and ssh://me:pw@host/b", "see https://host/a and ssh://host/b"),
        ("me@host:it.git, https://host/a@b", "me@host:it.git, https://host/a@b"),
    ],
)
def test_only_what_stands_before_the_host_is_left_out(text: str, expected: str) -> None:
    assert without_credentials(text) == expected


def test_what_git_prints_is_given_without_its_last_line_break(root: Path) -> None:
    plain = subprocess.run(
        ["git", "-C", str(root), "log", "--format= %s "], capture_output=True, text=True, check=True
    ).stdout
    assert plain == " first \n"
    assert git("log", "--format= %s ", folder=root) == " first "
