"""Tests of the order in which tasks start, and of how many run at once."""

import pytest

from pipelines.rounds import Queue, Width

PLENTY = 100


def run(
    tasks: dict[str, float], width: Width, cores: int, then: dict[str, str] | None = None
) -> tuple[float, list[set[str]]]:
    """Run tasks that share the cores; give when the last one ends, and what ran beside what."""
    queue, left, beside, clock = Queue(width), dict[str, float](), list[set[str]](), 0.0
    queue.add([name for name in tasks if name not in (then or {}).values()])
    while starting := queue.start(len(left)) or list(left):
        left |= {name: tasks[name] for name in starting if name not in left}
        beside.append(set(left))
        speed = min(1, cores / len(left))
        first = min(left, key=lambda name: left[name])
        clock += left[first] / speed
        left = {name: each - left[first] for name, each in left.items() if name != first}
        queue.add([then[first]] if then and first in then else [])
    return clock, beside


@pytest.mark.parametrize(
    ("tasks", "cores", "seconds", "most"),
    [
        (2, 2, 1, 2),
        (3, 2, 1.5, 3),
        (4, 2, 2, 2),
        (5, 2, 2.5, 4),
        (7, 2, 3.5, 4),
        (4, 3, 4 / 3, 4),
        (9, 8, 9 / 8, 9),
        (12, 8, 1.5, 12),
        (3, 8, 1, 3),
        (5, 1, 5, 1),
    ],
)
def test_no_core_is_without_work_before_the_last_tasks_end(
    tasks: int, cores: int, seconds: float, most: int
) -> None:
    names = {f"task {number}": 1 + number / 1e6 for number in range(tasks)}
    ended, beside = run(dict(reversed(names.items())), Width(cores, PLENTY), cores)
    assert ended == pytest.approx(seconds, rel=1e-4)
    assert max(map(len, beside)) == most


def test_never_are_more_at_once_than_the_user_or_the_memory_allows() -> None:
    names = dict.fromkeys("abcde", 1.0)
    assert max(map(len, run(names, Width(2, 2), cores=2)[1])) == 2
    assert max(map(len, run(names, Width(2, 3), cores=2)[1])) == 3


def test_what_follows_from_a_task_comes_before_what_has_not_begun() -> None:
    tasks = {"train a": 9.0, "train b": 8.0, "train c": 7.0, "train d": 6.0}
    then = {f"train {name}": f"evaluate {name}" for name in "abcd"}
    quick = dict.fromkeys(then.values(), 0.1)
    _ended, beside = run(tasks | quick, Width(2, PLENTY), 2, then)
    assert beside[:4] == [
        {"train a", "train b"},
        {"train a", "evaluate b"},
        {"train a", "train c"},
        {"evaluate a", "train c"},
    ]
    assert max(map(len, beside)) == 2


def test_what_follows_does_not_hide_that_the_last_round_is_not_full() -> None:
    tasks = {f"train {name}": 1 + number / 100 for number, name in enumerate("abcde")}
    then = {name: name.replace("train", "evaluate") for name in tasks}
    quick = dict.fromkeys(then.values(), 0.001)
    ended, _beside = run(tasks | quick, Width(2, PLENTY), 2, then)
    assert ended == pytest.approx(sum(tasks.values()) / 2, rel=0.02)


def test_tasks_start_in_their_order() -> None:
    queue = Queue(Width(2, PLENTY))
    queue.add(["long", "middle", "short", "shortest"])
    assert queue.start(0) == ["long", "middle"]
    assert queue.start(2) == []
    assert queue.start(1) == ["short"]
    queue.add([])
    assert queue.start(1) == ["shortest"]
    assert queue.start(0) == []
