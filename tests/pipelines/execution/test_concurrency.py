"""How many trainings a machine has room for."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines.execution import concurrency
from pipelines.execution.concurrency import TRAINING_BYTES, choose_jobs, fill_cores


@pytest.fixture(autouse=True)
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, params_text: str) -> Path:
    """The cgroup of this process, without limits, on four cores with memory for seven."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(params_text)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(4)))
    memory = SimpleNamespace(available=7 * TRAINING_BYTES + 1)
    monkeypatch.setattr(concurrency.psutil, "virtual_memory", lambda: memory)
    (tmp_path / "cgroup").write_text("0::/pod/container\n")
    monkeypatch.setattr(concurrency, "PROCESS_CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(concurrency, "CGROUPS", tmp_path / "cgroups")
    folder = tmp_path / "cgroups" / "pod" / "container"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize(("threads", "fill", "jobs"), [(1, 4, 7), (2, 2, 4), (3, 1, 2), (9, 1, 2)])
def test_trainings_share_the_cores_within_the_free_memory(
    params_text: str, threads: int, fill: int, jobs: int
) -> None:
    text = params_text.replace("portable: true", "portable: false")
    Path("params.yaml").write_text(text.replace("threads: 1 ", f"threads: {threads} "))
    assert (fill_cores(), choose_jobs(None)) == (fill, jobs)
    assert choose_jobs(30) == 30  # the user's choice


@pytest.mark.parametrize(
    ("level", "limit", "used", "cached", "jobs"),
    [
        (0, 2 * TRAINING_BYTES, 0, 0, 2),
        (1, 4 * TRAINING_BYTES, TRAINING_BYTES, 0, 3),
        (1, 4 * TRAINING_BYTES, 3 * TRAINING_BYTES, 2 * TRAINING_BYTES, 3),  # as after a download
        (2, 10, 20, 0, 1),
        (0, 2 * TRAINING_BYTES, 5, 20, 2),  # the files are not read at one moment
        (0, "max", 5, 0, 7),
    ],
)
def test_memory_is_that_of_the_narrowest_group(
    group: Path, level: int, limit: int | str, used: int, cached: int, jobs: int
) -> None:
    folder = [group, *group.parents][level]
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {cached}\nactive_file 7\n")
    assert choose_jobs(None) == jobs


@pytest.mark.parametrize(("quota", "fill"), [("200000", 2), ("150000", 1), ("max", 4)])
def test_a_cpu_quota_counts_as_cores(group: Path, quota: str, fill: int) -> None:
    (group.parent / "cpu.max").write_text(f"{quota} 100000\n")
    assert fill_cores() == fill
