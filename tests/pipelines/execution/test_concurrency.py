"""Tests of how many trainings a machine has room for."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines.execution import concurrency as width
from pipelines.execution.concurrency import TRAINING_BYTES, choose_width


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, params_text: str) -> Path:
    """Four cores, room for five trainings, and no limit; gives where a limit would be."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(params_text)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(4)))
    memory = SimpleNamespace(available=5 * TRAINING_BYTES + 1)
    monkeypatch.setattr(width.psutil, "virtual_memory", lambda: memory)
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(width, "CONTAINER_LIMITS", [tmp_path / "no such", limit])
    return limit


@pytest.mark.parametrize(("threads", "jobs", "most"), [(1, 4, 5), (2, 2, 3), (3, 1, 1), (9, 1, 1)])
def test_by_default_trainings_fill_the_cores(
    params_text: str, threads: int, jobs: int, most: int
) -> None:
    Path("params.yaml").write_text(params_text.replace("threads: 1 ", f"threads: {threads} "))
    assert choose_width(None) == (jobs, most)


def test_never_are_more_at_once_than_the_user_wants() -> None:
    assert choose_width(3) == (3, 3)


@pytest.mark.parametrize(("limit", "most"), [(2 * TRAINING_BYTES, 4), (10**18, 5), ("max", 5)])
def test_a_container_has_the_memory_of_its_limit(
    machine: Path, limit: int | str, most: int
) -> None:
    machine.write_text(f"{limit}\n")
    assert choose_width(None) == (4, most)
