"""When a task starts, and how many run at once, so that no core is long without work in the end."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from pipelines.execution.concurrency import Width


class Queue:
    """The tasks that are ready, which start in the order in which they were added.

    With three tasks for two cores, one core would have nothing to do while the third one runs. All
    three at once, which share the cores, get as much done in the same time, and end about together;
    ``benchmarks/growth.py`` measures it. So the last ones do that where it is the sooner end.

    Args:
        width: How many may run at once.
        costs: How long each task takes beside the others, 0 for what takes no time beside them.
    """

    def __init__(self, width: Width, costs: Mapping[str, float]) -> None:
        self._width, self._costs = width, costs
        self._waiting: deque[str] = deque()
        self._running: set[str] = set()
        self._begun = 0
        """How many that take time have begun since all cores were free."""

    def add(self, ready: Iterable[str]) -> None:
        """Append tasks.

        Args:
            ready: Tasks that can start now, the longest first.
        """
        self._waiting.extend(ready)

    def start(self) -> list[str]:
        """Take the tasks that are to be started now; they count as running until `end`."""
        at_once = self._width.most if self._is_time_to_share() else self._width.jobs
        count = min(len(self._waiting), max(0, at_once - len(self._running)))
        starting = [self._waiting.popleft() for _ in range(count)]
        self._running.update(starting)
        self._begun += len(self._costs_of(starting))
        return starting

    def end(self, task: str, *, was_work: bool = True) -> None:
        """Take note that a task has ended.

        Args:
            task: The task.
            was_work: Whether it took the time that was expected; not so where nothing was to do.
        """
        self._running.remove(task)
        if not self._costs_of(self._running):
            self._begun = 0
        elif not was_work:
            self._begun -= len(self._costs_of([task]))

    def _is_time_to_share(self) -> bool:
        running, waiting = self._costs_of(self._running), self._costs_of(self._waiting)
        left = sorted([*running, *waiting], reverse=True)
        # Tasks of about one length begin and end in rounds. If as many run as this round has begun,
        # all of those before have ended, and these have most of their time before them.
        have_just_begun = len(running) == self._begun % self._width.jobs
        return (
            have_just_begun
            and len(left) <= self._width.most
            and shared_length(left, self._width.jobs) < queued_length(left, self._width.jobs)
        )

    def _costs_of(self, tasks: Iterable[str]) -> list[float]:
        return [cost for task in tasks if (cost := self._costs[task])]


def queued_length(costs: Sequence[float], cores: int) -> float:
    """Give the time until all tasks have ended, each of them on a core of its own.

    Args:
        costs: How long each takes, in the order in which they start.
        cores: How many there are.
    """
    busy = [0.0] * cores
    for cost in costs:
        busy[busy.index(min(busy))] += cost
    return max(busy)


def shared_length(costs: Sequence[float], cores: int) -> float:
    """Give the time until all tasks have ended that begin at once and have equal shares of cores.

    Args:
        costs: How long each takes on a core of its own.
        cores: How many there are.
    """
    clock = done = 0.0
    for ended, cost in enumerate(sorted(costs)):
        clock += (cost - done) / min(1, cores / (len(costs) - ended))
        done = cost
    return clock
