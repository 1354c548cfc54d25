"""Git for the flows: one way to run it, the newest commit, changed files, and who commits."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from convdepth.core.errors import MachineError
from convdepth.workspace.dvc import without_credentials

TIMEOUT_SECONDS = 1800.0
"""The longest run of one git command, a fetch of a large repository included."""

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
    """A commit's full name, and for people where it was found, such as ``origin/main``."""

    sha: str
    source: str


def git(*arguments: str, folder: Path = Path()) -> str:
    """Run git in a folder, without questions, and return its output without the last line break.

    Raises:
        MachineError: Git failed, took too long, or is not installed; the message has its words.
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
            timeout=TIMEOUT_SECONDS,
        )
    except FileNotFoundError as error:
        raise MachineError("git: not found. Install git, then run again.") from error
    except subprocess.TimeoutExpired:
        words = f"no end within {TIMEOUT_SECONDS:.0f} s"
    else:
        if ended.returncode == 0:
            return ended.stdout.strip("\r\n")
        words = ended.stderr.strip() or ended.stdout.strip() or f"exit code {ended.returncode}"
    command = " ".join(["git", *arguments])
    text = (
        f"`{command}` in {folder.resolve()} failed: {words}\nMake it work by hand, then run again."
    )
    raise MachineError(without_credentials(text))


def newest_commit(root: Path = Path()) -> Commit:
    """Fetch the upstream branch, and return its newest commit; branch and files stay unchanged.

    Without an upstream, or without a branch, it is the commit of HEAD. The source says so, and how
    many local commits are not pushed.

    Raises:
        MachineError: There is no commit, or the remote cannot be reached.
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
    """List the changed, added, removed and untracked files of a repository, as paths from its root.

    Raises:
        MachineError: The folder is no git repository.
    """
    options = ("--porcelain", "-z", "--no-renames", "--untracked-files=all")
    entries = git("status", *options, folder=folder).split("\0")
    return sorted(entry[len("XY ") :] for entry in entries if entry)


def require_identity(root: Path = Path()) -> None:
    """Check that git knows who commits.

    Raises:
        MachineError: It does not; the message has the commands that tell it.
    """
    try:
        for variable in ("GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT"):
            # Without the setting git would make a name up from the machine's.
            git("-c", "user.useConfigOnly=true", "var", variable, folder=root)
    except MachineError as error:
        raise MachineError(
            f"{root.resolve()}: git does not know who commits. Run `git config user.name "
            f'"NAME"` and `git config user.email "ADDRESS"`. Git\'s words: {error}'
        ) from error
