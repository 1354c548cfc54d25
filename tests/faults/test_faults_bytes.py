"""`convdepth verify` finds each flipped byte, and nothing where there is none."""

import os
import random
from pathlib import Path

import pytest
from fault_report import Record

import faults
from faults import Finished
from project import Project

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]

SAMPLE = 4

CLEAN_CHECKS = 100
CLEAN_CHECKS_IN_SAMPLE = 2

SEED = 20260102


def test_each_flipped_byte_is_reported(
    finished: Finished, workspace: Project, full: bool, record_fault: Record
) -> None:
    cached = [str(path.relative_to(workspace.folder)) for path in faults.cached_files(workspace)]
    outputs = [name for stage in faults.locked(workspace) for name in finished.output_files(stage)]
    assert len(cached) >= 15
    assert len(outputs) >= 20
    names = [*outputs, *cached]
    chosen = names if full else faults.choose("bytes", names, SAMPLE)
    places = random.Random(SEED)
    kept = uncached_folders(workspace)
    silent = [name for name in chosen if not is_reported(workspace, name, places, kept)]
    note = f"seed {SEED}"
    record_fault("flipped bytes", len(chosen) - len(silent), len(chosen), note)
    assert silent == []
    workspace.run("convdepth", "verify")


def uncached_folders(project: Project) -> list[str]:
    """List the outputs of which only the digest of the whole folder is known."""
    return [f"{out}/" for out in faults.locked_outs(project, "plot")]


def is_reported(project: Project, name: str, places: random.Random, folders: list[str]) -> bool:
    """Flip one bit of a file, verify, and flip it back."""
    path = project.folder / name
    place, bit = places.randrange(path.stat().st_size), 1 << places.randrange(8)
    flip(path, place, bit)
    code, output = verify(project)
    flip(path, place, bit)
    named = [folder.rstrip("/") for folder in folders if name.startswith(folder)]
    return code == 7 and any(each in output for each in [name, *named])


def verify(project: Project) -> tuple[int, str]:
    with faults.started(project, "convdepth", "verify") as process:
        output, _ = process.communicate(timeout=300)
        return process.returncode, output


def flip(path: Path, place: int, bit: int) -> None:
    """Flip a bit in place; inode, size, permissions and times stay."""
    before = path.stat()
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(place)
        (byte,) = file.read(1)
        file.seek(place)
        file.write(bytes([byte ^ bit]))
    path.chmod(before.st_mode & 0o777)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_ino, after.st_size, after.st_mode, after.st_mtime_ns) == (
        before.st_ino,
        before.st_size,
        before.st_mode,
        before.st_mtime_ns,
    )


def test_nothing_is_reported_where_nothing_is_damaged(
    workspace: Project, full: bool, record_fault: Record
) -> None:
    number = CLEAN_CHECKS if full else CLEAN_CHECKS_IN_SAMPLE
    alarms = []
    for _ in range(number):
        code, output = verify(workspace)
        if code:
            alarms.append(output)
    record_fault("clean checks", number - len(alarms), number)
    assert alarms == []
