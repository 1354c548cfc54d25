"""Results that machines share through DVC's remote, and its cache of runs that travels along."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from dvc.config import Config
from dvc.dvcfile import PROJECT_FILE
from dvc.exceptions import DvcException

from convdepth.core.errors import MachineError, ParameterError
from pipelines.checkout.git import without_credentials

Log = Callable[[str], None]

_MISSING = "Missing cache files:"


def has_remote(folder: Path = Path()) -> bool:
    """Tell whether the project has a default DVC remote.

    Args:
        folder: The root of the project.

    Raises:
        ParameterError: DVC's configuration is wrong.
    """
    return bool(_read_config(folder)["core"].get("remote"))


def fetch_results(folder: Path, log: Log) -> bool:
    """Fetch what other machines have computed: their runs, and what ``dvc.lock`` names.

    The outputs of runs that ``dvc.lock`` does not have come later, by `dvc repro --pull`, stage
    by stage. Nothing of this must succeed: the stages compute what is missing.

    Args:
        folder: The root of the project.
        log: Is called with each line of what there is to say.

    Returns:
        Whether `dvc repro --pull` can work: with a remote that is missing or does not answer it
        fails, where `dvc repro` would compute.

    Raises:
        ParameterError: DVC's configuration is wrong.
    """
    if not has_remote(folder):
        log(f"results of other machines are not used: {_explain_absence(folder)}")
        return False
    ended = _dvc(folder, "fetch")
    if ended.returncode:
        log(
            f"warning: dvc fetch failed: {_errors(ended.stdout)}. Results of other machines are "
            "not used; the stages compute what is missing here."
        )
        return False
    if missing := _count_missing(ended.stdout):
        log(
            f"warning: dvc fetch: the DVC remote lacks {missing} of the files that dvc.lock names; "
            "the stages compute what is missing here"
        )
    log(f"dvc fetch: {_last_line(ended.stdout)}")
    return True


def push_results(folder: Path, log: Log) -> None:
    """Push all runs, and what ``dvc.lock`` names.

    Args:
        folder: The root of the project, in which the stages have run.
        log: Is called with each line of what there is to say.

    Raises:
        MachineError: It failed; the results are in DVC's cache all the same.
        ParameterError: DVC's configuration is wrong.
    """
    if not has_remote(folder):
        log(f"results are not shared with other machines: {_explain_absence(folder)}")
        return
    ended = _dvc(folder, "push")
    if ended.returncode:
        raise MachineError(
            f"dvc push failed: {_errors(ended.stdout)}. The results are kept in this machine's "
            "DVC cache. To push them, run this again, which computes nothing twice; or by hand, "
            "in a checkout of the same commit: `dvc repro && dvc push --run-cache`."
        )
    log(f"dvc push: {_last_line(ended.stdout)}")


def _explain_absence(folder: Path) -> str:
    if remotes := ", ".join(_read_config(folder)["remote"]):
        return (
            f"none of the DVC remotes ({remotes}) is the default one. `dvc remote default NAME` "
            "makes it so."
        )
    return (
        "no DVC remote is set. `dvc remote add --default storage s3://BUCKET/FOLDER` sets one; a "
        "folder that all machines see will do, too."
    )


def _read_config(folder: Path) -> Config:
    try:
        return Config(str(folder.resolve() / ".dvc"))
    except DvcException as error:
        raise ParameterError(f"DVC's {error}. `dvc config --list` shows it.") from error


def _dvc(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    # The root's stages with what they depend on elsewhere, and no other pipeline's results.
    scope = ["--run-cache", "--with-deps", PROJECT_FILE]
    return subprocess.run(
        [sys.executable, "-m", "dvc", "--wait-for-lock", command, *scope],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )


def _errors(output: str) -> str:
    """Take DVC's own words, of one error for each file the first and the last."""
    errors = [line for line in output.splitlines() if line.startswith("ERROR: ")]
    words = [line.removeprefix("ERROR: ") for line in errors] or [_last_line(output)]
    return without_credentials("; ".join(dict.fromkeys([words[0], words[-1]])))


def _count_missing(output: str) -> int:
    listed = output.partition(_MISSING)[2].splitlines()
    return sum("md5: " in line for line in listed)


def _last_line(output: str) -> str:
    return next((line for line in reversed(output.splitlines()) if line.strip()), "no message")
