"""How an arm of a benchmark talks with what measures it; the standard library is all it needs.

An arm is a process. It says ``ready``, and waits for a line. By ``go`` it does its unit of work
again and again, each time with one line of JSON about it, until it is stopped: so the arms that
share the machine begin at the same moment, and none is measured while the others have ended. By
``once`` it does it once, and waits for the next line.
"""

import json
import resource
import sys
import time
from collections.abc import Callable

# What else is printed, such as the progress of an epoch, must not come between.
REPORT, sys.stdout = sys.stdout, sys.stderr


def serve(unit: Callable[[], int]) -> None:
    """Do a unit of work as often as asked for, and tell how long each took.

    Args:
        unit: Does the work, which has been done once before; gives the number of its images, or
            of its operations.
    """
    print("ready", file=REPORT, flush=True)
    for line in sys.stdin:
        _report(unit)
        while line.strip() == "go":
            _report(unit)


def _report(unit: Callable[[], int]) -> None:
    started = time.perf_counter()
    amount = unit()
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts kilobytes
    line = {"seconds": seconds, "amount": amount, "peak_bytes": peak}
    print(json.dumps(line), file=REPORT, flush=True)
