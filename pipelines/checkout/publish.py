"""New results as a branch for people to look at and merge: ``results/<date>``, never main."""

import datetime
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from pathlib import Path

from dvc.dvcfile import LOCK_FILE
from dvc.exceptions import DvcException
from dvc.repo import Repo

from convdepth.core.errors import MachineError, ParameterError
from pipelines.checkout.git import changed_files, git

BRANCHES = "results"
"""What the names of all branches with results begin with."""

_TRACKED = f"refs/remotes/origin/{BRANCHES}"


def require_publishing(root: Path = Path()) -> None:
    """Check, before hours of work, that results can be published from here.

    Args:
        root: A git repository.

    Raises:
        MachineError: Git does not know who commits, there is no remote ``origin``, or it cannot
            be written to. The message has the command that would put it right.
    """
    _require_identity(root)
    if "origin" not in git("remote", folder=root).splitlines():
        raise MachineError(
            "results cannot be published: there is no git remote called origin. "
            "`git remote add origin ADDRESS` adds one."
        )
    # Without the hook: that of `dvc install` would push all results just to try.
    target = f"HEAD:refs/heads/{BRANCHES}/trial"
    git("push", "--dry-run", "--quiet", "--no-verify", "origin", target, folder=root)
    if git("ls-remote", "origin", f"refs/heads/{BRANCHES}", folder=root):
        raise MachineError(
            f"results cannot be published: origin has a branch {BRANCHES}, and where there is one, "
            f"git can have no {BRANCHES}/<date>. Rename it there."
        )


def publish(folder: Path, date: datetime.date, message: str) -> str | None:
    """Commit what the stages have changed, and push it as a new branch.

    The commit is on top of the one that was run. Results that are on such a branch already, for
    example because nobody has merged them since the night before, are not published again.

    Args:
        folder: A clone of its own with no branch checked out, in which the stages have run.
        date: For the branch's name; ``-2`` and so on is added if there is one of this name.
        message: Of the commit.

    Returns:
        The branch that has these results, such as ``results/2026-01-31``; None if they are those
        of the commit.

    Raises:
        MachineError: Something else was changed, too, or git cannot commit or push.
        ParameterError: DVC cannot read the stages.
    """
    changed = changed_files(folder)
    if not changed:
        return None
    _require_no_branch(folder)
    _require_results(folder, changed)
    git("--literal-pathspecs", "add", "--", *changed, folder=folder)
    tree = git("write-tree", folder=folder)
    if name := _find(tree, _fetch_branches(folder)):
        return name
    git("commit", "--quiet", "--message", message, folder=folder)
    return _push(folder, date, tree)


def _require_identity(root: Path) -> None:
    for variable in ("GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT"):
        try:
            # Without the setting git would make a name up from the machine's.
            git("-c", "user.useConfigOnly=true", "var", variable, folder=root)
        except MachineError as error:
            raise MachineError(
                "results cannot be published: git does not know who commits. "
                '`git config user.name "NAME"` and `git config user.email "ADDRESS"` tell it. '
                f"Git's words: {error}"
            ) from error


def _require_no_branch(folder: Path) -> None:
    if branch := git("branch", "--show-current", folder=folder):
        raise MachineError(
            f"{folder}: results are published from a clone without a branch, and here {branch} "
            "is checked out, onto which they would be committed. Nothing was changed. "
            "`git switch --detach` leaves the branch."
        )


def _require_results(folder: Path, changed: Iterable[str]) -> None:
    written = _written_by_stages(folder.resolve())
    paths = {name: folder.resolve() / name for name in changed}
    others = [
        name
        for name, path in paths.items()
        if path.name != LOCK_FILE and not any(map(path.is_relative_to, written))
    ]
    if others:
        raise MachineError(
            "results are not published, since more has changed than what the stages write: "
            f"{', '.join(others)}. Commit these files, or list them in .gitignore, then run again; "
            "the results are kept in DVC's cache, and nothing is computed twice."
        )


def _written_by_stages(folder: Path) -> list[Path]:
    """List the outputs that git keeps, and where DVC tells it to ignore the others."""
    try:
        with Repo(str(folder)) as repo:
            outs = [(Path(out.fs_path), bool(out.use_cache)) for out in repo.index.outs]
    except DvcException as error:
        raise ParameterError(
            f"DVC cannot read the stages: {error}. `dvc status` in the project's folder says more."
        ) from error
    return [path.parent / ".gitignore" if cached else path for path, cached in outs]


def _fetch_branches(folder: Path) -> dict[str, str]:
    """Fetch all published results; give the tree of each branch by its name."""
    source = f"+refs/heads/{BRANCHES}/*:{_TRACKED}/*"
    git("fetch", "--quiet", "--no-tags", "--prune", "origin", source, folder=folder)
    listed = git("for-each-ref", "--format=%(refname:lstrip=3) %(tree)", _TRACKED, folder=folder)
    return dict(line.split() for line in listed.splitlines())


def _find(tree: str, branches: Mapping[str, str]) -> str | None:
    return next((name for name, published in branches.items() if published == tree), None)


def _push(folder: Path, date: datetime.date, tree: str) -> str:
    """Push under the first name that is free, also if another machine takes one meanwhile."""
    branches = _fetch_branches(folder)
    while True:
        name = next(name for name in _names(date) if name not in branches)
        target = f"refs/heads/{name}"
        try:
            # With the empty value git creates the branch, and never changes one that is there.
            lease = f"--force-with-lease={target}:"
            git("push", "--quiet", lease, "origin", f"HEAD:{target}", folder=folder)
        except MachineError:
            branches = _fetch_branches(folder)
            if name not in branches:
                raise
            # It may have arrived although git was told of an error.
            if branches[name] != tree:
                continue
        return name


def _names(date: datetime.date) -> Iterator[str]:
    first = f"{BRANCHES}/{date.isoformat()}"
    yield first
    yield from (f"{first}-{number}" for number in count(2))
