"""Questions to git, through its own program: revisions and committed files."""

import subprocess
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from convdepth.core.errors import DataError, ParameterError
from convdepth.core.hashes import folder_md5, md5_of
from convdepth.workspace.dvc import Output


def find_commit(revision: str, project: Path = Path()) -> str:
    """Return the 40 digits of the commit that a revision names, such as ``HEAD~1`` or a tag.

    Raises:
        ParameterError: Git knows no such commit.
    """
    # After `--end-of-options`, git does not take a leading dash for an option.
    name = f"{revision}^{{commit}}"
    found = _git("rev-parse", "--verify", "--quiet", "--end-of-options", name, project=project)
    if not found:
        raise ParameterError(
            f"{revision}: no such commit. Expected a name that git knows, such as HEAD~1, a "
            f"branch or a tag; `git log --oneline` lists commits."
        )
    return found.decode().split()[-1]  # some versions of git print the option, too


def read_commit(commit: str, arguments: Sequence[str], project: Path = Path()) -> bytes:
    """Return what ``git <arguments>`` prints; a failure is a `DataError` of the commit."""
    content = _git(*arguments, project=project)
    if content is None:
        raise DataError(
            f"{commit[:12]}: `git {' '.join(arguments)}` failed. Name a commit that has all of it."
        )
    return content


def read_file(path: str, commit: str | None, project: Path = Path()) -> bytes | None:
    """Return a file of a commit, or of the workspace for None; None if it is not there."""
    if commit is not None:
        return _git("cat-file", "blob", f"{commit}:./{path}", project=project)
    return (project / path).read_bytes() if (project / path).is_file() else None


def committed_md5(output: Output, project: Path = Path()) -> str | None:
    """Return the MD5 that an output has in the last commit; None if git does not track it."""
    listed = _git("ls-tree", "-r", "-z", "--name-only", "HEAD", "--", output.path, project=project)
    names = [name for name in (listed or b"").decode(errors="replace").split("\0") if name]
    digests = {name: md5_of(read_file(name, "HEAD", project) or b"") for name in names}
    if not output.is_folder:
        return digests.get(output.path)
    within = {str(PurePosixPath(name).relative_to(output.path)): digests[name] for name in names}
    return folder_md5(within) if within else None


def _git(*arguments: str, project: Path) -> bytes | None:
    """Return what git prints; None if it fails or is not installed."""
    try:
        ended = subprocess.run(
            ["git", *arguments],
            cwd=project,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        return None
    return ended.stdout if ended.returncode == 0 else None
