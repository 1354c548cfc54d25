"""Child processes are stopped together, and none is left."""

import os
import time
from pathlib import Path

import psutil
import pytest
from waiting import lives, wait_until

from pipelines.execution.process_tree import GRACE_SECONDS, Processes, StoppedError


def test_stopping_leaves_no_process_and_starts_no_other(tmp_path: Path) -> None:
    stubborn = "trap '' TERM; echo ready; sleep 60 & sleep 60; sleep 60"
    with (
        Processes() as processes,
        processes.start(["sh", "-c", stubborn], tmp_path, os.environ) as p,
    ):
        assert p.stdout is not None
        assert p.stdout.readline() == "ready\n"
        wait_until(lambda: len(psutil.Process(p.pid).children()) == 2)
        family = [psutil.Process(p.pid), *psutil.Process(p.pid).children()]
        started = time.monotonic()
        processes.stop()
        assert time.monotonic() - started < GRACE_SECONDS + 2
        wait_until(lambda: not any(map(lives, family)))
        with pytest.raises(StoppedError), processes.start(["true"], tmp_path, os.environ):
            pass


def test_a_process_may_end_by_itself_when_it_is_told_to(tmp_path: Path) -> None:
    tidy = "trap 'exit 7' TERM; echo ready; while true; do sleep 0.1; done"
    with Processes() as processes, processes.start(["sh", "-c", tidy], tmp_path, os.environ) as p:
        assert p.stdout is not None
        p.stdout.readline()
        processes.stop()
        assert p.wait(5) == 7


def test_a_child_stays_in_the_process_group(tmp_path: Path) -> None:
    with Processes() as processes, processes.start(["sleep", "60"], tmp_path, os.environ) as p:
        assert os.getpgid(p.pid) == os.getpgrp()
        processes.stop()
