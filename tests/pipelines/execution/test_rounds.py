"""Tests of when tasks start, and of how many run at once."""

from collections.abc import Collection, Mapping

import pytest

from conftest import PROJECT
from convdepth.config.params import read_params
from pipelines.execution.concurrency import Width
from pipelines.execution.rounds import Queue, queued_length, shared_length


def run(
    tasks: Mapping[str, float],
    width: Width,
    costs: Mapping[str, float] | None = None,
    then: Mapping[str, str] | None = None,
    known: Collection[str] = (),
) -> tuple[float, list[set[str]]]:
    """Run tasks that share cores, one for each job.

    Args:
        tasks: The length of each.
        width: How many may run at once.
        costs: The estimates of the lengths; by default they are right.
        then: What follows from what.
        known: What has nothing to do.

    Returns:
        When the last one ends, and what ran beside what.
    """
    queue, left, beside, clock = Queue(width, costs or tasks), dict[str, float](), [], 0.0
    queue.add([name for name in tasks if name not in (then or {}).values()])
    while True:
        left |= {name: 0.0 if name in known else tasks[name] for name in queue.start()}
        if not left:
            return clock, beside
        beside.append(set(left))
        first = min(left, key=lambda name: left[name])
        length = left.pop(first)
        clock += length / min(1, width.jobs / (len(left) + 1))
        left = {name: each - length for name, each in left.items()}
        queue.end(first, was_work=first not in known)
        queue.add([then[first]] if then and first in then else [])


def alike(count: int) -> dict[str, float]:
    """Give tasks of about one length, the longest first."""
    return {f"task {number}": 1 - number / 1e6 for number in range(count)}


@pytest.mark.parametrize(
    ("count", "cores", "seconds", "most"),
    [
        (1, 2, 1, 1),
        (2, 2, 1, 2),
        (3, 2, 1.5, 3),
        (4, 2, 2, 2),
        (5, 2, 2.5, 3),
        (6, 2, 3, 2),
        (7, 2, 3.5, 3),
        (4, 3, 4 / 3, 4),
        (9, 8, 9 / 8, 9),
        (12, 8, 1.5, 12),
        (3, 8, 1, 3),
        (5, 1, 5, 1),
    ],
)
def test_no_core_is_without_work_before_the_last_tasks_end(
    count: int, cores: int, seconds: float, most: int
) -> None:
    ended, beside = run(alike(count), Width(cores, 2 * cores - 1))
    assert ended == pytest.approx(seconds, rel=1e-4)
    assert max(map(len, beside)) == most


def test_never_are_more_at_once_than_there_is_room_for() -> None:
    assert max(map(len, run(alike(5), Width(2, 2))[1])) == 2
    assert max(map(len, run(alike(12), Width(8, 11))[1])) == 8


def test_the_four_networks_are_trained_in_pairs_and_three_at_once() -> None:
    networks = read_params(PROJECT / "params.yaml").architectures
    flop = {name: float(each.flop) for name, each in networks.items()}
    names = sorted(flop, key=lambda name: -flop[name])
    _end, beside = run({name: flop[name] for name in names}, Width(2, 3))
    assert max(map(len, beside)) == 2
    _end, beside = run({name: flop[name] for name in names[1:]}, Width(2, 3))
    assert beside[0] == set(names[1:])


def test_they_do_not_share_where_that_takes_longer() -> None:
    ended, beside = run({"long": 3.0, "middle": 2.0, "short": 1.0}, Width(2, 3))
    assert ended == 3.0
    assert max(map(len, beside)) == 2


def test_what_has_nothing_to_do_is_no_task_of_a_round() -> None:
    ended, _beside = run(alike(4), Width(2, 3), known=["task 0"])
    assert ended == pytest.approx(1.5, rel=1e-4)


def test_quick_tasks_are_no_tasks_of_a_round() -> None:
    tasks, then = alike(5), {name: f"ask {name}" for name in alike(5)}
    quick = dict.fromkeys(then.values(), 0.001)
    costs = tasks | dict.fromkeys(quick, 0.0)
    ended, _beside = run(tasks | quick, Width(2, 3), costs, then)
    assert ended == pytest.approx(2.5, abs=0.01)


def test_a_round_begins_anew_where_all_have_ended() -> None:
    queue = Queue(Width(2, 3), dict.fromkeys("abcd", 1.0))
    queue.add("a")
    assert queue.start() == ["a"]
    queue.end("a")
    queue.add("bcd")
    assert queue.start() == ["b", "c", "d"]


def test_tasks_start_in_their_order() -> None:
    names = ["long", "middle", "short", "shortest"]
    queue = Queue(Width(2, 3), dict.fromkeys(names, 1.0))
    assert queue.start() == []
    queue.add(names)
    assert queue.start() == ["long", "middle"]
    assert queue.start() == []
    queue.end("middle")
    assert queue.start() == ["short"]
    queue.end("long")
    queue.end("short")
    assert queue.start() == ["shortest"]


def test_the_length_of_a_queue_and_of_what_shares_the_cores() -> None:
    assert queued_length([4, 3, 2, 1], 2) == 5
    assert queued_length([4, 3, 2, 1], 3) == 4
    assert shared_length([4, 3, 2, 1], 8) == 4
    assert shared_length([4, 3, 2, 1], 1) == 10
    assert shared_length([3, 2, 1], 2) == 3.5  # three for two cores, until the shortest has ended
