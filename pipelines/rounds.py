"""How many tasks run at once: as many as fill the cores, and in the end no core is left without."""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple


class Width(NamedTuple):
    """How many tasks may run at once.

    Attributes:
        jobs: As a rule.
        most: Where the last round would not be full.
    """

    jobs: int
    most: int


class Queue:
    """The tasks that are ready, in the order in which they start.

    With three tasks for two cores, one core would have nothing to do while the third one runs. So
    where tasks are ready together and are no multiple of the jobs, those of the last round start
    with those of the one before, and share the cores. That gets as much done in the same time, for
    the memory of some tasks more; ``benchmarks/growth.py`` measures it.
    """

    def __init__(self, width: Width) -> None:
        self._width = width
        self._waiting: deque[str] = deque()
        self._last = 0
        """How many of them are the last that start, all at once; 0: none do."""

    def add(self, ready: Sequence[str]) -> None:
        """Put tasks before those that wait.

        So what follows from a task that has ended comes before what has not begun: results are
        there as early as they can be.

        Args:
            ready: Tasks that can start now, the longest first.
        """
        self._waiting.extendleft(reversed(ready))
        if len(ready) > 1:  # a single one takes the place of what it follows from
            jobs = self._width.jobs
            odd = len(self._waiting) % jobs
            self._last = jobs + odd if odd else 0

    def start(self, running: int) -> list[str]:
        """Take the tasks that are to be started now.

        Args:
            running: How many are running.
        """
        at_once = self._width.most if len(self._waiting) <= self._last else self._width.jobs
        count = min(len(self._waiting), max(0, at_once - running))
        return [self._waiting.popleft() for _ in range(count)]
