"""A process that holds the lock of an output, as a stage does while it runs."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOLD = """
import sys
from pathlib import Path
from convdepth.workspace.locks import hold_outputs
hold_outputs(sys.argv[1], [Path(sys.argv[2])])
print("holds it", flush=True)
sys.stdin.read()
"""


@contextmanager
def holding(writer: str, output: Path) -> Iterator[None]:
    """Let another process be the writer of an output, to the end of the block."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, writer, str(output)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holds it\n"
        yield
        process.kill()
