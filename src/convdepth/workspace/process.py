"""The process of a command: how it ends, and what DVC's stages need beyond that.

No stage imports this module: it decides how a command starts and ends, never what comes out.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import psutil

import convdepth
from convdepth.core.errors import ConvdepthError, MachineError

STAGE_VARIABLE = "DVC_STAGE"
"""DVC gives it to what it starts as a stage: the stage's name."""

POLL_SECONDS = 0.5
"""How often a stage looks whether its DVC still lives."""

GRACE_SECONDS = 3.0
"""How long a stage whose DVC has ended may clean up before it is killed."""

_received: list[int] = []
"""The signals that have asked this process to end."""


def run_app(app: Callable[[], Any]) -> NoReturn:
    """Run a command line; an expected error becomes one message and its exit code.

    A signal ends it with exit code 128 + n, after all that is open was cleaned up. As a stage
    of DVC it runs the code of the project that it was started in, and ends when DVC does.

    Args:
        app: Reads the arguments and runs the command.

    Raises:
        SystemExit: Always; the exit codes are those of `convdepth.errors`.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        # A shell may have set a background job to ignore one, and that shall stay so.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    try:
        if STAGE_VARIABLE in os.environ:
            run_code_of_project()
            end_with_dvc()
        app()
    except ConvdepthError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except Exception:
        if not _received:
            raise
        # TensorFlow was calling Python just then, and has made an error of its own of the signal.
        sys.exit(128 + _received[0])
    sys.exit(0)


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    # Raised, since by default SIGTERM ends Python at once and leaves temporary files behind.
    _received.append(number)
    if number == signal.SIGINT:
        raise KeyboardInterrupt  # what libraries know: Prefect calls the run interrupted by it
    sys.exit(128 + number)


def run_code_of_project() -> None:
    """Start this process again if it runs other code than that of the project it works in.

    The package is installed from one clone of the project, but DVC runs stages in others, too:
    in the temporary ones of experiments, and in all that share an environment. It records the
    digests of their code, so that code has to run. DVC_ROOT does not tell where that is: in an
    experiment it is the project that the experiment belongs to.

    Raises:
        MachineError: It was started again, and still runs other code.
    """
    running, expected = Path(convdepth.__file__).resolve().parent, _find_code()
    if expected is None or expected.resolve() == running:
        return
    setting = os.environ.get("PYTHONPATH")
    path = setting.split(os.pathsep) if setting else []
    if path[:1] == [str(expected.parent)]:
        raise MachineError(
            f"{running}: this code runs, but the stage belongs to the project with {expected}, "
            f"which stands first in PYTHONPATH. Run `make environment` in that project, and use "
            f"its own .venv."
        )
    os.environ["PYTHONPATH"] = os.pathsep.join([str(expected.parent), *path])
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606


def _find_code() -> Path | None:
    """Find the package in the nearest project above the working folder."""
    folder = Path.cwd().resolve()
    for project in (folder, *folder.parents):
        code = project / "src" / "convdepth"
        if (code / "__init__.py").is_file():
            return code
    return None


def end_with_dvc() -> None:
    """Let this process end soon after the DVC that has started it, even if that was killed.

    A stage that went on would write its outputs behind the back of a later run. Linux can signal
    the death of a parent by itself, but the parent may be a shell between DVC and the stage
    (dash stays, bash does not), and the shell survives DVC. So a thread watches.

    Raises:
        SystemExit: DVC has ended already.
    """
    dvc = find_dvc(psutil.Process())
    if dvc is None:
        print("error: the DVC that has started this stage is gone", file=sys.stderr)
        sys.exit(128 + signal.SIGTERM)
    threading.Thread(target=_watch, args=(dvc,), name="watch DVC", daemon=True).start()


def find_dvc(process: psutil.Process) -> psutil.Process | None:
    """Find the DVC that has started a stage: the nearest ancestor that is no part of that stage.

    What has lost DVC was adopted, usually by process 1, which must not be taken for DVC.

    Args:
        process: The stage's process, which has DVC's variable for it.

    Returns:
        DVC, or None if it is gone.

    Raises:
        psutil.Error: The process has ended, or is another user's.
        KeyError: DVC did not start it.
    """
    stage = process.environ()[STAGE_VARIABLE]
    with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
        for ancestor in process.parents():
            if _runs_dvc(ancestor):
                return ancestor
            if _environment(ancestor).get(STAGE_VARIABLE) != stage:
                adopted = ancestor.pid == 1 or os.getsid(ancestor.pid) != os.getsid(process.pid)
                return None if adopted else ancestor
    return None


def _runs_dvc(process: psutil.Process) -> bool:
    """Tell whether a process is `dvc ...`, `python .../dvc ...`, or `python -m dvc ...`."""
    with contextlib.suppress(psutil.AccessDenied):
        return any(Path(word).name == "dvc" for word in process.cmdline()[:3])
    return False


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return dict(process.environ())
    except psutil.AccessDenied:  # another user's
        return {}


def _watch(dvc: psutil.Process) -> None:
    while lives(dvc):
        time.sleep(POLL_SECONDS)
    with contextlib.suppress(OSError):  # whoever read it may be gone as well
        print("error: DVC has ended, and so does its stage", file=sys.stderr, flush=True)
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def lives(process: psutil.Process) -> bool:
    """Tell whether a process is there, and not only its exit code.

    Args:
        process: Any process, also of another user.
    """
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
