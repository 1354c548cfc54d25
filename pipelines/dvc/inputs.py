"""What a flow needs before it starts, checked without Prefect and its seconds of import."""

from pathlib import Path

from convdepth.core.errors import DataError, MachineError, ParameterError
from convdepth.workspace.dvc import default_remote, open_project
from convdepth.workspace.git import changed_files, git, newest_commit

NO_REMOTE = (
    "no default DVC remote is set. `dvc remote add --default storage s3://BUCKET/FOLDER` adds one, "
    "`dvc remote default NAME` selects one that there is; a folder that all machines see will do."
)
FIRST = ("code", "check")  # stages that run before every other one


def require_inputs(target: str, remedy: str, folder: Path = Path()) -> None:
    """Raise a `DataError` if files are missing that a stage reads; the remedy is a command."""
    with open_project(folder, ParameterError) as repo:
        missing = [
            str(out)
            for stage in repo.stage.collect(target)
            for upstream in repo.index.graph.successors(stage)
            for out in (upstream.outs if upstream.addressing not in FIRST else ())
            if not out.exists
            and any(Path(out.fs_path).is_relative_to(dep.fs_path) for dep in stage.deps)
        ]
    if missing:
        raise DataError(f"{min(missing)}: is missing, {target} reads it. Run `{remedy}` first.")


def require_remote(root: Path = Path()) -> None:
    """Raise a `ParameterError` without a default DVC remote."""
    if not default_remote(root):
        raise ParameterError(
            f"{NO_REMOTE} Machines share trainings only by a DVC remote; commit .dvc/config."
        )


def require_pushed(root: Path = Path()) -> str:
    """Return the current commit, if workers can fetch it, and share its results."""
    require_remote(root)
    if changed := changed_files(root):
        raise ParameterError(
            f"there are changes that are in no commit: {', '.join(changed[:5])}. Workers run "
            "commits: `git commit`, then `git push`."
        )
    newest_commit(root)
    commit = git("rev-parse", "HEAD", folder=root)
    if not git("branch", "--remotes", "--contains", commit, folder=root):
        raise MachineError(
            f"commit {commit[:12]} is in no branch of a git remote, so workers cannot fetch it. "
            "Run `git push`."
        )
    return commit
