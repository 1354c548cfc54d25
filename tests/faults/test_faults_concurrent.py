"""Two runs in one workspace at once: never two writers of one output, and all of it is whole."""

import random
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import serving
import toy
from fault_report import Record, is_full

import faults
from conftest import PROJECT
from project import Project

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]

TRIALS = {("dvc", "dvc"): 20, ("dvc", "flow"): 15, ("flow", "flow"): 15}
"""How often each pair starts: fifty times in all."""

SAMPLE = {("dvc", "dvc"): 1, ("dvc", "flow"): 1, ("flow", "flow"): 1}

COMMANDS = {
    "dvc": ["dvc", "repro"],
    "flow": [sys.executable, "-m", "pipelines", "pipeline", "--jobs", "2"],
}

LONGEST_OFFSET = {"dvc": 2.0, "flow": 5.0}
"""How long the second one may wait before it starts, in seconds: as the first one may take."""

BUSY = {
    "dvc": (255, r"is busy, it is being blocked by|Unable to acquire lock"),
    "flow": (5, r"is busy, it is being blocked by|Unable to acquire lock|another DVC process"),
}

SEED = 20260103


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    counts = TRIALS if is_full(metafunc.config) else SAMPLE
    if "pair" in metafunc.fixturenames:
        pairs = [pytest.param(pair, count, id="-".join(pair)) for pair, count in counts.items()]
        metafunc.parametrize(("pair", "trials"), pairs)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving.server(tmp_path_factory.mktemp("server")) as url:
        yield url


@pytest.fixture
def project(tmp_path: Path, url: str) -> Project:
    """The made-up project; its stages take their time, in the middle of their output."""
    project = toy.create(tmp_path / "toy", tmp_path)
    work = toy.WORK_SH.replace('*) echo "$1" > "$2" ;;', SLOWLY)
    assert work != toy.WORK_SH
    (project.folder / "work.sh").write_text(work)
    project.environment |= {
        "PREFECT_API_URL": url,
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PYTHONPATH": str(PROJECT),
    }
    return project


SLOWLY = '*) printf %s "half of " > "$2"; sleep 0.2; echo "$1" >> "$2" ;;'


def test_two_runs_at_once_never_write_the_same(
    project: Project, record_fault: Record, pair: tuple[str, str], trials: int
) -> None:
    project.repro()
    expected, offsets = outputs(project), random.Random(f"{SEED} {pair}")
    endings: Counter[str] = Counter()
    failures = []
    for number in range(trials):
        forget_all(project)
        offset = offsets.uniform(0, LONGEST_OFFSET[pair[0]])
        ended = run_both(project, pair, offset)
        problem = find_problem(project, pair, ended, expected)
        if problem:
            failures.append(f"{number + 1}, {offset:.2f} s: {problem}")
        endings.update("finished" if code == 0 else "busy" for code, _ in ended)
    told = ", ".join(f"{count} {ending}" for ending, count in sorted(endings.items()))
    note = f"{' and '.join(pair)}: {told}"
    record_fault("concurrent starts", trials - len(failures), trials, note)
    assert not failures, "\n".join(failures)


Endings = list[tuple[int, str]]


def run_both(project: Project, pair: tuple[str, str], offset: float) -> Endings:
    """Start one run, and after some time the other; give how each ended, and what it said."""
    logs = [project.folder.parent / f"{place}.log" for place in ("first", "second")]
    processes = []
    for kind, log, delay in zip(pair, logs, (0, offset), strict=True):
        time.sleep(delay)
        with log.open("w") as file:
            processes.append(faults.start(project, *COMMANDS[kind], stdout=file))
    try:
        codes = [process.wait(300) for process in processes]
    finally:
        for process in processes:
            faults.kill_group(process)
            process.wait()
    return [(code, log.read_text()) for code, log in zip(codes, logs, strict=True)]


def find_problem(
    project: Project, pair: tuple[str, str], ended: Endings, expected: dict[str, str]
) -> str:
    """Say what was not as it should be."""
    for kind, (code, said) in zip(pair, ended, strict=True):
        busy, words = BUSY[kind]
        if code != 0 and (code != busy or not re.search(words, said)):
            return f"{kind} ended with {code}:\n{said}"
    if overlapping := find_two_writers(toy.log(project)):
        return f"two writers: {overlapping}"
    project.repro()
    if "up to date" not in project.run("dvc", "status"):
        return "not up to date after another run"
    return "" if outputs(project) == expected else "other outputs"


def find_two_writers(log: list[str]) -> list[str]:
    """List the stages that began while they were at work."""
    at_work: set[str] = set()
    found = []
    for event, stage in map(str.split, log):
        if event == "end":
            at_work.discard(stage)
        elif stage in at_work:
            found.append(stage)
        else:
            at_work.add(stage)
    return found


def test_two_writers_would_be_found() -> None:
    assert find_two_writers(["begin a", "end a", "begin a", "begin b", "end a", "end b"]) == []
    assert find_two_writers(["begin a", "begin b", "begin a", "end a"]) == ["a"]


def outputs(project: Project) -> dict[str, str]:
    """Read all that the stages have made, and what DVC says of it."""
    names = ["dvc.lock", "raw.txt", "normalized.txt"]
    names += [f"{network}.{kind}" for network in ("one", "two") for kind in ("model", "json")]
    found = {name: (project.folder / name).read_text() for name in names}
    entries = faults.locked(project)  # two runs may have written them in another order
    return {**found, "dvc.lock": str(sorted(map(str, entries.items())))}


def forget_all(project: Project) -> None:
    for name in [".dvc/cache", "figures"]:
        shutil.rmtree(project.folder / name, ignore_errors=True)
    for path in project.folder.iterdir():
        if path.name in ("dvc.lock", "log.txt") or path.suffix in (".txt", ".model", ".json"):
            path.unlink()
