"""The process of a command: its exit code, and what it needs as a stage of DVC.

No stage imports this module: it decides how a command starts and ends, never its result.
"""

import contextlib
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import psutil

import convdepth
from convdepth.core.errors import ConvdepthError, MachineError

STAGE_VARIABLE = "DVC_STAGE"  # DVC sets it to a stage's name for the stage's process
POLL_SECONDS = 0.5
GRACE_SECONDS = 3.0  # how long a stage may clean up after its DVC has ended
PARENT_VARIABLE = "CONVDEPTH_PARENT"  # process id of the parent, see `end_with_parent`
PARENT_POLL_SECONDS = 0.1
PARENT_GRACE_SECONDS = 10.0  # how long a command may clean up after its flow has ended
_received: list[int] = []  # the signals that have asked this process to end


def run_captured(
    command: Sequence[str],
    folder: Path = Path(),
    variables: Mapping[str, str] | None = None,
    seconds: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program with an empty standard input and additional variables; capture its output."""
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(variables or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=seconds,
        check=False,
    )


def run_app(app: Callable[[], Any]) -> NoReturn:
    """Run a command line; an expected error becomes one message and its exit code.

    A signal ends it with exit code 128 + n, after open files are cleaned up. As a stage of DVC it
    runs the code of the project in which DVC started it, and ends when DVC does. A child of a flow
    ends with the flow.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # a shell ignores it for background jobs
            signal.signal(number, _stop)
    try:
        if PARENT_VARIABLE in os.environ:
            end_with_parent(PARENT_GRACE_SECONDS)
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
        sys.exit(128 + _received[0])  # TensorFlow turns the signal's SystemExit into another error
    sys.exit(0)


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    # Without it, SIGTERM ends Python at once and leaves temporary files behind.
    _received.append(number)
    if number == signal.SIGINT:
        raise KeyboardInterrupt  # libraries know it: Prefect then calls the run interrupted
    sys.exit(128 + number)


def end_with_parent(grace: float = math.inf) -> None:
    """Send SIGTERM to this process once it has lost its parent, and SIGKILL `grace` seconds later.

    A parent that sets `PARENT_VARIABLE` to its own process id is missed even if it died while this
    process imported its modules. The variable is removed, since it is wrong for children.
    """
    parent = int(os.environ.pop(PARENT_VARIABLE, os.getppid()))

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_POLL_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)
        if grace < math.inf:
            time.sleep(grace)
            os.kill(os.getpid(), signal.SIGKILL)

    thread = threading.Thread(target=watch, name="watch parent", daemon=True)
    thread.start()
    if os.getppid() != parent:
        thread.join(PARENT_POLL_SECONDS)  # nothing begins before the signal


def run_code_of_project() -> None:
    """Start this process again if it runs other code than the project's own.

    The package is installed from one clone, but DVC also runs stages in other clones that share
    the environment, and in temporary ones of experiments, and records the digests of their code.
    DVC_ROOT does not help: in an experiment it names the project that the experiment belongs to.
    """
    folder = Path.cwd().resolve()
    codes = (project / "src" / "convdepth" for project in (folder, *folder.parents))
    expected = next((code for code in codes if (code / "__init__.py").is_file()), None)
    running = Path(convdepth.__file__).resolve().parent
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


def end_with_dvc() -> None:
    """Let this process end soon after the DVC that started it, even if DVC was killed.

    A stage that went on would write its outputs behind the back of a later run. The lock of the
    outputs does not replace this: it makes the later run wait for the orphan, and ends nothing.
    Linux can signal a parent's death, but that parent may be a shell that survives DVC (dash does).
    """
    if (dvc := _find_dvc()) is None:
        print("error: the DVC that has started this stage is gone", file=sys.stderr)
        sys.exit(128 + signal.SIGTERM)
    threading.Thread(target=_watch, args=(dvc,), name="watch DVC", daemon=True).start()


def _find_dvc() -> psutil.Process | None:
    """Return the DVC that started this stage: the nearest ancestor outside the stage.

    A process that has lost DVC is adopted, usually by process 1, which must not pass for DVC.
    """
    stage = os.environ[STAGE_VARIABLE]
    with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
        for ancestor in psutil.Process().parents():
            facts = ancestor.as_dict(["cmdline", "environ"])  # None if it is another user's
            if any(Path(word).name == "dvc" for word in (facts["cmdline"] or [])[:3]):
                return ancestor  # `dvc ...`, `python .../dvc ...`, or `python -m dvc ...`
            if (facts["environ"] or {}).get(STAGE_VARIABLE) != stage:
                adopted = ancestor.pid == 1 or os.getsid(ancestor.pid) != os.getsid(0)
                return None if adopted else ancestor
    return None


def lives(process: psutil.Process) -> bool:
    """Tell whether a process is there, and not only its exit code."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _watch(dvc: psutil.Process) -> None:
    while lives(dvc):
        time.sleep(POLL_SECONDS)
    with contextlib.suppress(OSError):  # its reader may be gone, too
        print("error: DVC has ended, and so does its stage", file=sys.stderr, flush=True)
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
