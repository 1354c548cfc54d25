"""Child processes are ended together, with everything they have started."""

import os
import threading
from pathlib import Path

import psutil
import pytest
from waiting import lives, wait_until

from convdepth.workspace.process_tree import TIMED_OUT, Processes, StoppedError


def family() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


@pytest.mark.parametrize(
    ("script", "children", "code"),
    [
        ("trap '' TERM; echo ready; sleep 60 & sleep 60; sleep 60", 3, -9),
        ("trap 'exit 7' TERM; echo ready; while true; do sleep 0.1; done", 2, 7),
    ],
)
def test_stopping_leaves_no_process_and_starts_no_other(
    tmp_path: Path, script: str, children: int, code: int
) -> None:
    codes: list[int] = []
    ready = threading.Event()
    command = ["sh", "-c", script]

    def work() -> None:
        codes.append(processes.run(command, tmp_path, os.environ, lambda _: ready.set()))

    before = family()
    with Processes() as processes:
        thread = threading.Thread(target=work)
        thread.start()
        assert ready.wait(10)
        wait_until(lambda: len(family()) == len(before) + children)
        started = [member for member in family() if member not in before]
        assert os.getpgid(started[0].pid) == os.getpgrp()
    thread.join(10)
    assert codes == [code]
    wait_until(lambda: not any(map(lives, started)))
    with pytest.raises(StoppedError):
        processes.run(["true"], tmp_path, os.environ, print)


def test_an_interruption_while_a_line_is_read_ends_the_process(tmp_path: Path) -> None:
    before = family()

    def interrupt(_line: str) -> None:
        raise KeyboardInterrupt

    command = ["sh", "-c", "echo ready; sleep 60"]
    with pytest.raises(KeyboardInterrupt):
        Processes().run(command, tmp_path, os.environ, interrupt)
    wait_until(lambda: not any(lives(each) for each in family() if each not in before))


def test_a_command_over_its_time_limit_is_ended_with_all_that_it_has_started(
    tmp_path: Path,
) -> None:
    before = family()
    command = ["sh", "-c", "sleep 60 & sleep 60"]
    assert Processes().run(command, tmp_path, os.environ, print, seconds=0.5) == TIMED_OUT
    wait_until(lambda: not any(lives(each) for each in family() if each not in before))
    assert Processes().run(["true"], tmp_path, os.environ, print, seconds=60) == 0
