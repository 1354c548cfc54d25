"""What the flows ask of git: the newest commit, and what has changed in a folder."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from convdepth.core.errors import MachineError

# A flow that a git hook has started would otherwise work on the hook's repository.
_OF_A_HOOK = ("GIT_DIR", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_WORK_TREE")

# Nobody is there to be asked for a password, and a stalled server must not hold up a worker.
_DEFAULTS = {
    "SSH_ASKPASS": "false",
    "SSH_ASKPASS_REQUIRE": "force",
    "GIT_HTTP_LOW_SPEED_LIMIT": "1",  # bytes per second
    "GIT_HTTP_LOW_SPEED_TIME": "60",  # seconds
}


@dataclass(frozen=True)
class Commit:
    """A commit, and where it was found.

    Attributes:
        sha: Its full name.
        source: For people, such as ``origin/main``.
    """

    sha: str
    source: str


def git(*arguments: str, folder: Path = Path()) -> str:
    """Run git, which never asks for a password.

    Args:
        arguments: Such as ``"fetch", "origin"``.
        folder: Where.

    Returns:
        What it printed, without the line breaks at the end.

    Raises:
        MachineError: It failed, or is not installed; the message has its own words.
    """
    environment = {name: os.environ[name] for name in os.environ if name not in _OF_A_HOOK}
    try:
        ended = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            env=_DEFAULTS | environment | {"GIT_TERMINAL_PROMPT": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except FileNotFoundError as error:
        raise MachineError("git: not found. Install it, then run again.") from error
    if ended.returncode:
        raise MachineError(_explain(arguments, folder, ended))
    return ended.stdout.strip("\r\n")


def without_credentials(text: str) -> str:
    """Leave user names, passwords and tokens out of the addresses in a text."""
    return re.sub(r"(?<=://)[^/\s@]*@", "", text)


def newest_commit(root: Path = Path()) -> Commit:
    """Find the newest commit of what the current branch follows.

    The upstream branch is fetched; neither the branch nor the files are changed.

    Args:
        root: A git repository.

    Returns:
        The commit of the upstream branch; without one, or without a branch, that of HEAD. Its
        source says so, and also how many commits of the branch are not in it.

    Raises:
        MachineError: There is no commit, or the remote cannot be reached.
    """
    branch = git("branch", "--show-current", folder=root)
    if not branch:
        sha = git("rev-parse", "HEAD", folder=root)
        return Commit(sha, "HEAD, since no branch is checked out; `git switch BRANCH` does it")
    fields = "%(objectname) %(upstream) %(upstream:short) %(upstream:remotename)"
    names = git(
        "for-each-ref", f"--format={fields} %(upstream:remoteref)", _ref(branch), folder=root
    )
    match names.split():
        case [_, upstream, short, remote, remote_ref]:
            git("fetch", "--quiet", "--no-tags", remote, remote_ref, folder=root)
            sha = git("rev-parse", upstream, folder=root)
            return Commit(sha, short + _left_out(branch, upstream, root))
        case [sha]:
            return Commit(
                sha,
                f"HEAD, since branch {branch} has no upstream; "
                f"`git push --set-upstream origin {branch}` would give it one",
            )
    raise MachineError(
        f"{root.resolve()}: branch {branch} has no commit yet. Make one: `git add --all && "
        "git commit`, or get one: `git pull`."
    )


def changed_files(folder: Path = Path()) -> list[str]:
    """List what differs from the last commit.

    Args:
        folder: The root of a git repository.

    Returns:
        The files that were changed, added or removed, and those that git neither has nor
        ignores, sorted, as paths from the root.

    Raises:
        MachineError: This is no git repository.
    """
    entries = git(
        "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", folder=folder
    )
    return sorted(entry[len("XY ") :] for entry in entries.split("\0") if entry)


def _ref(branch: str) -> str:
    return f"refs/heads/{branch}"


def _left_out(branch: str, upstream: str, root: Path) -> str:
    count = git("rev-list", "--count", f"{upstream}..{_ref(branch)}", folder=root)
    if count == "0":
        return ""
    return f", without the commits of {branch} that are only here, {count}; `git push` adds them"


def _explain(
    arguments: tuple[str, ...], folder: Path, ended: subprocess.CompletedProcess[str]
) -> str:
    command = " ".join(["git", *arguments])
    words = ended.stderr.strip() or ended.stdout.strip() or f"exit code {ended.returncode}"
    return without_credentials(
        f"`{command}` in {folder.resolve()} failed: {words}\nOnce this works by hand, run again."
    )
