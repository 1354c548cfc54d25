"""Publish new results as a branch ``results/<date>``, never main, for people to merge."""

from itertools import count
from pathlib import Path

from dvc.dvcfile import LOCK_FILE

from convdepth.core.errors import MachineError, ParameterError
from convdepth.workspace.dvc import open_project
from convdepth.workspace.git import GitError, changed_files, git, require_identity

BRANCHES = "results"  # the first part of the names of all branches with results
_TRACKED = f"refs/remotes/origin/{BRANCHES}"


def require_publishing(root: Path = Path()) -> None:
    """Check, before hours of work, that results can be published from a repository."""
    require_identity(root)
    if "origin" not in git("remote", folder=root).splitlines():
        raise MachineError(
            f"{root.resolve()}: results cannot be published without a git remote called origin. "
            "Run `git remote add origin ADDRESS`."
        )
    # `--no-verify` skips the hook of `dvc install`, which would push all results for a dry run.
    target = f"HEAD:refs/heads/{BRANCHES}/trial"
    git("push", "--dry-run", "--quiet", "--no-verify", "origin", target, folder=root)
    if git("ls-remote", "origin", f"refs/heads/{BRANCHES}", folder=root):
        raise MachineError(
            f"origin: the branch {BRANCHES} leaves no room for branches {BRANCHES}/<date>. Rename "
            f"it there: `git push origin origin/{BRANCHES}:refs/heads/NAME :{BRANCHES}`."
        )


def publish_results(folder: Path, title: str, message: str) -> str | None:
    """Commit what the stages have changed in a clone without a branch, and push it as a branch.

    Return the branch with these results: ``results/<title>``, with ``-2`` and so on if that is
    taken; an earlier one if it has the same results; None if the commit itself has them.
    """
    if not (changed := changed_files(folder)):
        return None
    if branch := git("branch", "--show-current", folder=folder):
        raise MachineError(
            f"{folder}: branch {branch} is checked out, expected none: results are never committed "
            "onto a branch. Nothing was changed. Run `git switch --detach`."
        )
    _require_results(folder.resolve(), changed)
    git("--literal-pathspecs", "add", "--", *changed, folder=folder)
    tree = git("write-tree", folder=folder)
    published = _fetch_published(folder)
    if tree in published.values():
        return next(name for name, other in published.items() if other == tree)
    git("commit", "--quiet", "--message", message, folder=folder)
    return _push(folder, f"{BRANCHES}/{title}", tree)


def _require_results(folder: Path, changed: list[str]) -> None:
    with open_project(folder, ParameterError) as repo:
        outs = [(Path(out.fs_path), bool(out.use_cache)) for out in repo.index.outs]
    # Git keeps uncached outputs; for the others DVC writes a .gitignore.
    written = [path.parent / ".gitignore" if cached else path for path, cached in outs]
    others = [
        name
        for name in changed
        if Path(name).name != LOCK_FILE and not any(map((folder / name).is_relative_to, written))
    ]
    if others:
        raise MachineError(
            f"results are not published: files that no stage writes were changed: "
            f"{', '.join(others)}. Commit them, or list them in .gitignore, then run again; the "
            "results are in DVC's cache, and nothing is computed twice."
        )


def _fetch_published(folder: Path) -> dict[str, str]:
    """Fetch all published results; return the tree of each branch."""
    source = f"+refs/heads/{BRANCHES}/*:{_TRACKED}/*"
    git("fetch", "--quiet", "--no-tags", "--prune", "origin", source, folder=folder)
    listed = git("for-each-ref", "--format=%(refname:lstrip=3) %(tree)", _TRACKED, folder=folder)
    return dict(line.split() for line in listed.splitlines())


def _push(folder: Path, first: str, tree: str) -> str:
    """Push under the first free name, also if another machine takes one meanwhile."""
    for number in count(1):
        name = first if number == 1 else f"{first}-{number}"
        target = f"refs/heads/{name}"
        try:
            # The empty value lets git create the branch, and never change an existing one.
            lease = f"--force-with-lease={target}:"
            git("push", "--quiet", lease, "origin", f"HEAD:{target}", folder=folder)
        except GitError:
            arrived = _fetch_published(folder).get(name)
            if arrived is None:
                raise
            if arrived != tree:  # the name is taken; else the push arrived despite its error
                continue
        return name
    raise AssertionError("the numbers never end")
