"""Results that machines share through DVC's remote, with DVC's run cache."""

from collections.abc import Callable
from pathlib import Path

from dvc.dvcfile import PROJECT_FILE

from convdepth.core.errors import MachineError
from convdepth.workspace.dvc import default_remote
from convdepth.workspace.process_tree import Processes
from pipelines.core.dvc_child import dvc_command
from pipelines.dvc.inputs import NO_REMOTE
from pipelines.dvc.stage import Options, StageError, run_child

Log = Callable[[str], None]

TRANSFER_SECONDS = 2 * 3600.0  # a remote that hangs must not hold up the nights to come


def fetch_results(folder: Path, log: Log) -> bool:
    """Fetch the run cache of other machines, and the files that ``dvc.lock`` names.

    The outputs of runs that ``dvc.lock`` lacks come later, by `dvc repro --pull`. Nothing here
    must succeed: the stages compute what is missing. False means that `dvc repro --pull` would
    fail where `dvc repro` computes.
    """
    if not default_remote(folder):
        log(f"results of other machines are not used: {NO_REMOTE}")
        return False
    try:
        _transfer("fetch", folder, log)
    except StageError as error:
        log(f"warning: {error}\nThe stages compute what is missing here.")
        return False
    return True


def push_results(folder: Path, log: Log) -> None:
    """Push all runs, and the files that ``dvc.lock`` names; a failure is a `MachineError`."""
    if not default_remote(folder):
        log(f"results are not shared with other machines: {NO_REMOTE}")
        return
    lost: list[str] = []

    def watch(line: str) -> None:
        log(line)
        if line.startswith("ERROR: failed to transfer"):  # of runs; DVC 3.67 succeeds all the same
            lost.append(line)

    try:
        _transfer("push", folder, watch)
        if lost:
            raise StageError("dvc push", 1, lost)
    except StageError as error:
        raise MachineError(
            f"{error}\nThe results are in this machine's DVC cache. To push them, run this again, "
            "which computes nothing twice; or in a checkout of the same commit "
            "`dvc repro && dvc push --run-cache`."
        ) from error


def _transfer(command: str, folder: Path, log: Log) -> None:
    # The root's stages with what they depend on elsewhere, and no other pipeline's results.
    words = dvc_command(command, "--run-cache", "--with-deps", PROJECT_FILE)
    with Processes() as processes:
        options = Options(folder=folder, seconds=TRANSFER_SECONDS)
        run_child(f"dvc {command}", words, processes, log, options)
