"""Child processes are ended together, with everything they have started."""

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from waiting import lives, wait_until

from pipelines.core.process_tree import Processes, StoppedError

STUBBORN = "trap '' TERM; echo ready; sleep 60 & sleep 60; sleep 60"


def family() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def run(processes: Processes, script: str, folder: Path, codes: list[int]) -> threading.Thread:
    """Run a shell script in a thread, and wait for its first line."""
    ready = threading.Event()

    def work() -> None:
        code = processes.run(["sh", "-c", script], folder, os.environ, lambda _: ready.set())
        codes.append(code)

    thread = threading.Thread(target=work)
    thread.start()
    assert ready.wait(10)
    return thread


def test_stopping_leaves_no_process_and_starts_no_other(tmp_path: Path) -> None:
    codes: list[int] = []
    before = family()
    with Processes() as processes:
        thread = run(processes, STUBBORN, tmp_path, codes)
        wait_until(lambda: len(family()) == len(before) + 3)
        started = [member for member in family() if member not in before]
        assert {os.getpgid(member.pid) for member in started} == {os.getpgrp()}
    thread.join(10)
    assert codes == [-9]
    wait_until(lambda: not any(map(lives, started)))
    with pytest.raises(StoppedError):
        processes.run(["true"], tmp_path, os.environ, print)


def test_a_process_may_end_by_itself_when_it_is_told_to(tmp_path: Path) -> None:
    codes: list[int] = []
    tidy = "trap 'exit 7' TERM; echo ready; while true; do sleep 0.1; done"
    with Processes() as processes:
        thread = run(processes, tidy, tmp_path, codes)
    thread.join(10)
    assert codes == [7]


def test_an_interruption_while_a_line_is_read_ends_the_process(tmp_path: Path) -> None:
    before = family()

    def interrupt(_line: str) -> None:
        raise KeyboardInterrupt

    command = ["sh", "-c", "echo ready; sleep 60"]
    with pytest.raises(KeyboardInterrupt):
        Processes().run(command, tmp_path, os.environ, interrupt)
    wait_until(lambda: not any(lives(each) for each in family() if each not in before))


@pytest.mark.parametrize("code", [0, 3])
def test_lines_and_exit_code_are_those_of_the_command(tmp_path: Path, code: int) -> None:
    lines: list[str] = []
    text = f"import sys; print('out'); print('err  ', file=sys.stderr); sys.exit({code})"
    log: Callable[[str], None] = lines.append
    ended = Processes().run([sys.executable, "-uc", text], tmp_path, os.environ, log)
    assert (ended, lines) == (code, ["out", "err"])
