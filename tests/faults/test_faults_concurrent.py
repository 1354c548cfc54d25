"""Two runs in one workspace at once: never two writers of one output, and all of it is whole."""

import random
import re
import time
from collections import Counter

import pytest
import serving
import toy
from fault_report import TryEach

import faults
from project import Project

TRIALS = {("dvc", "dvc"): 20, ("dvc", "flow"): 15, ("flow", "flow"): 15}
"""How often each pair starts: fifty times in all."""

PAIRS = [("dvc", "dvc"), *(pytest.param(p, marks=pytest.mark.nightly) for p in list(TRIALS)[1:])]

COMMANDS = {"dvc": ["dvc", "repro"], "flow": [*serving.PIPELINES, "pipeline", "--jobs", "2"]}

LONGEST_OFFSET = {"dvc": 2.0, "flow": 5.0}
"""How long the second one may wait before it starts, in seconds: as the first one may take."""

LOCKED = r"is busy, it is being blocked by|Unable to acquire lock"
BUSY = {"dvc": (255, LOCKED), "flow": (5, rf"{LOCKED}|another DVC process")}

SEED = 20260103


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_two_runs_at_once_never_write_the_same(
    project: Project, try_each: TryEach, request: pytest.FixtureRequest, pair: tuple[str, str]
) -> None:
    half = '*) printf %s "half of " > "$2"; sleep 0.2; echo "$1" >> "$2" ;;'
    toy.edit_work(project, '*) echo "$1" > "$2" ;;', half)
    if "flow" in pair:
        toy.use_server(project, request.getfixturevalue("harness"))
    project.repro()
    expected, endings = outputs(project), Counter[str]()

    def attempt(offset: float) -> None:
        project.run("git", "clean", "-dfxq")
        for kind, (code, said) in zip(pair, run_both(project, pair, offset), strict=True):
            busy, words = BUSY[kind]
            assert code == 0 or (code == busy and re.search(words, said)), f"{code}:\n{said}"
            endings[f"{' and '.join(pair)}, {'busy' if code else 'finished'}"] += 1
        assert_one_writer(toy.log(project))
        project.repro()
        assert "up to date" in project.run("dvc", "status")
        assert outputs(project) == expected

    moments, longest = random.Random(f"{SEED} {pair}"), LONGEST_OFFSET[pair[0]]
    offsets = [moments.uniform(0, longest) for _ in range(TRIALS[pair])]
    cases = {f"after {offset:.3f} s": offset for offset in offsets}
    try_each("concurrent starts", cases, attempt, sample=1, others=endings)


def run_both(project: Project, pair: tuple[str, str], offset: float) -> list[tuple[int, str]]:
    """Start one run, and after some time the other; give how each ended, and what it said."""
    logs = [project.folder.parent / f"{place}.log" for place in ("first", "second")]
    with (
        logs[0].open("w") as one,
        logs[1].open("w") as two,
        faults.started(project, *COMMANDS[pair[0]], stdout=one) as first,
    ):
        time.sleep(offset)
        with faults.started(project, *COMMANDS[pair[1]], stdout=two) as second:
            codes = [process.wait(300) for process in (first, second)]
    return [(code, log.read_text()) for code, log in zip(codes, logs, strict=True)]


def assert_one_writer(log: list[str]) -> None:
    """Check that no stage began while it was at work."""
    at_work: Counter[str] = Counter()
    for event, stage in map(str.split, log):
        at_work[stage] += 1 if event == "begin" else -1
        assert at_work[stage] <= 1, log


def outputs(project: Project) -> dict[str, str]:
    """Read all that the stages have made, and what DVC says of it."""
    paths = [path for kind in ("txt", "model", "json") for path in project.folder.glob(f"*.{kind}")]
    found = {path.name: path.read_text() for path in paths if path.name != "log.txt"}
    entries = faults.locked(project)  # two runs may have written them in another order
    return {**found, "dvc.lock": str(sorted(map(str, entries.items())))}
