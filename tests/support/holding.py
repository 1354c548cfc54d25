"""A process that holds the locks of outputs, as a stage does while it runs."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOLD = """
import sys
from pathlib import Path
from convdepth.workspace.locks import hold_outputs
hold_outputs(sys.argv[1], map(Path, sys.argv[2:]))
print("holds it", flush=True)
sys.stdin.read()
"""


def start_holder(writer: str, *outputs: Path) -> "subprocess.Popen[str]":
    """Start a process that becomes the writer of some outputs, says so, and then waits."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, writer, *map(str, outputs)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@contextmanager
def holding(writer: str, *outputs: Path) -> Iterator["subprocess.Popen[str]"]:
    """Let another process be the writer of some outputs, to the end of the block."""
    with start_holder(writer, *outputs) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holds it\n"
        try:
            yield process
        finally:
            process.kill()
