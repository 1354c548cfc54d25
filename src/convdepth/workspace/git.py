"""Git through its own program: revisions, committed and changed files, and who commits."""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from convdepth.core.errors import DataError, MachineError, ParameterError
from convdepth.core.hashes import folder_md5, md5_of
from convdepth.workspace.dvc import Output, without_credentials

TIMEOUT_SECONDS = 1800.0
"""The longest run of one git command, such as a fetch of a large repository."""

# A command that a git hook has started would otherwise work on the hook's repository.
_OF_A_HOOK = ("GIT_DIR", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_WORK_TREE")

# Nobody is there to be asked for a password, and a stalled server must not hold up a worker.
_DEFAULTS = {
    "SSH_ASKPASS": "false",
    "SSH_ASKPASS_REQUIRE": "force",
    "GIT_HTTP_LOW_SPEED_LIMIT": "1",  # bytes per second
    "GIT_HTTP_LOW_SPEED_TIME": "60",  # seconds
}


class GitError(MachineError):
    """Git ended with an error, or took too long; the message has its words."""


class Commit(NamedTuple):
    """A commit's full name, and for people where it was found, such as ``origin/main``."""

    sha: str
    source: str


def git(*arguments: str, folder: Path = Path()) -> str:
    """Return the output of `git_bytes` as text, without the last line break."""
    return git_bytes(*arguments, folder=folder).decode(errors="replace").strip("\r\n")


def git_bytes(*arguments: str, folder: Path = Path(), given: bytes = b"") -> bytes:
    """Run git in a folder, without questions; return its output for a given standard input."""
    environment = {name: os.environ[name] for name in os.environ if name not in _OF_A_HOOK}
    try:
        ended = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            env=_DEFAULTS | environment | {"GIT_TERMINAL_PROMPT": "0"},
            input=given,
            capture_output=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
        )
    except FileNotFoundError as error:
        raise MachineError("git: not found. Install git, then run again.") from error
    except subprocess.TimeoutExpired:
        words = f"no end within {TIMEOUT_SECONDS:.0f} s"
    else:
        if ended.returncode == 0:
            return ended.stdout
        said = (ended.stderr.strip() or ended.stdout.strip()).decode(errors="replace")
        words = said or f"exit code {ended.returncode}"
    text = (
        f"`{' '.join(['git', *arguments])}` in {folder.resolve()} failed: {words}\n"
        "Make it work by hand, then run again."
    )
    raise GitError(without_credentials(text))


def find_commit(revision: str, project: Path = Path()) -> str:
    """Return the 40 digits of the commit that a revision names, such as ``HEAD~1`` or a tag."""
    # After `--end-of-options`, git does not take a leading dash for an option.
    words = ("rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}")
    try:
        found = git(*words, folder=project)
    except GitError as error:
        raise ParameterError(
            f"{revision}: no such commit. Expected a name that git knows, such as HEAD~1, a "
            "branch or a tag; `git log --oneline` lists commits."
        ) from error
    return found.split()[-1]  # some versions of git print the option, too


def read_commit(commit: str, arguments: Sequence[str], project: Path = Path()) -> bytes:
    """Return what ``git <arguments>`` prints; a failure is a `DataError` of the commit."""
    try:
        return git_bytes(*arguments, folder=project)
    except GitError as error:
        raise DataError(f"{commit[:12]}: name a commit that has all of it: {error}") from error


def read_file(path: str, commit: str | None, project: Path = Path()) -> bytes | None:
    """Return a file of a commit, or of the workspace for None; None if git has no such file."""
    if commit is None:
        return (project / path).read_bytes() if (project / path).is_file() else None
    question = f"{commit}:./{path}\n".encode()
    found, _, content = git_bytes("cat-file", "--batch", folder=project, given=question).partition(
        b"\n"
    )
    return content[:-1] if re.fullmatch(rb"[0-9a-f]+ blob \d+", found) else None


def committed_md5(output: Output, project: Path = Path()) -> str | None:
    """Return the MD5 of an output in the last commit; None without git, or if it does not say."""
    options = ("-r", "-z", "--name-only", "HEAD", "--", output.path)
    try:
        names = [name for name in git("ls-tree", *options, folder=project).split("\0") if name]
        digests = {name: md5_of(read_file(name, "HEAD", project) or b"") for name in names}
    except MachineError:
        return None
    if not output.is_folder:
        return digests.get(output.path)
    within = {str(PurePosixPath(name).relative_to(output.path)): digests[name] for name in names}
    return folder_md5(within) if within else None


def newest_commit(root: Path = Path()) -> Commit:
    """Fetch the upstream branch, and return its newest commit; branch and files stay unchanged.

    Without an upstream or a branch it is HEAD's, as the source says.
    """
    branch = git("branch", "--show-current", folder=root)
    if not branch:
        sha = git("rev-parse", "HEAD", folder=root)
        return Commit(sha, "HEAD: no branch is checked out; `git switch BRANCH` checks one out")
    ref = f"refs/heads/{branch}"
    fields = "%(objectname) %(upstream) %(upstream:short) %(upstream:remotename)"
    names = git("for-each-ref", f"--format={fields} %(upstream:remoteref)", ref, folder=root)
    match names.split():
        case [_, upstream, short, remote, remote_ref]:
            git("fetch", "--quiet", "--no-tags", remote, remote_ref, folder=root)
            count = git("rev-list", "--count", f"{upstream}..{ref}", folder=root)
            unpushed = f", without {count} unpushed commits of {branch}; `git push` adds them"
            source = short + ("" if count == "0" else unpushed)
            return Commit(git("rev-parse", upstream, folder=root), source)
        case [sha]:
            fix = f"`git push --set-upstream origin {branch}` sets one"
            return Commit(sha, f"HEAD: branch {branch} has no upstream; {fix}")
    raise MachineError(
        f"{root.resolve()}: branch {branch} has no commit. Run `git add --all && git commit`, "
        "or `git pull`."
    )


def changed_files(folder: Path = Path()) -> list[str]:
    """List the changed, added, removed and untracked files, as paths from the repository's root."""
    options = ("--porcelain", "-z", "--no-renames", "--untracked-files=all")
    entries = git("status", *options, folder=folder).split("\0")
    return sorted(entry[len("XY ") :] for entry in entries if entry)


def require_identity(root: Path = Path()) -> None:
    """Raise a `MachineError` with the commands to run if git does not know who commits."""
    try:
        for variable in ("GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT"):
            # Without the setting git would make a name up from the machine's.
            git("-c", "user.useConfigOnly=true", "var", variable, folder=root)
    except GitError as error:
        raise MachineError(
            f"{root.resolve()}: git does not know who commits. Run `git config user.name "
            f'"NAME"` and `git config user.email "ADDRESS"`. Git\'s words: {error}'
        ) from error
