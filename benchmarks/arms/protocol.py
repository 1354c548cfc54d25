"""How an arm of a benchmark talks to the process that measures it; needs the standard library only.

An arm is a process. It prints ``ready`` and waits. For each line that it reads, it does its unit of
work once and prints one line of JSON: seconds and amount.
"""

import json
import sys
import time
from collections.abc import Callable

# Other output, such as the progress of an epoch, must not come between.
REPORT, sys.stdout = sys.stdout, sys.stderr


def serve(unit: Callable[[], int]) -> None:
    """Do a unit of work once for warm-up, then once per line of input.

    Args:
        unit: Does the work and returns its number of images, or of operations.
    """
    unit()
    print("ready", file=REPORT, flush=True)
    for _line in sys.stdin:
        started = time.perf_counter()
        amount = unit()
        line = {"seconds": time.perf_counter() - started, "amount": amount}
        print(json.dumps(line), file=REPORT, flush=True)
