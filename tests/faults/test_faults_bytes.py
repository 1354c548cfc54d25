"""`convdepth verify` finds each flipped byte, and nothing where there is none."""

import os
import random
from functools import partial
from pathlib import Path

import pytest
from fault_report import TryEach

import faults
from faults import Finished
from project import Project

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]

SEED = 20260102


def test_each_flipped_byte_is_reported(
    finished: Finished, workspace: Project, try_each: TryEach
) -> None:
    cache = workspace.folder / ".dvc" / "cache" / "files"
    cached = [path for path in sorted(cache.rglob("*")) if path.is_file()]
    outputs = [name for stage in faults.locked(workspace) for name in finished.output_files(stage)]
    assert len(cached) >= 15
    assert len(outputs) >= 20
    names = [*outputs, *(str(path.relative_to(workspace.folder)) for path in cached)]
    attempt = partial(find_silence, workspace, random.Random(SEED))
    cases = dict(zip(names, names, strict=True))
    try_each("flipped bytes", cases, attempt, sample=4, note=f"seed {SEED}")
    workspace.run("convdepth", "verify")


def find_silence(project: Project, places: random.Random, name: str) -> str:
    """Flip one bit of a file, verify, and flip it back; say if it is not reported."""
    path = project.folder / name
    place, bit = places.randrange(path.stat().st_size), 1 << places.randrange(8)
    flip(path, place, bit)
    code, output = faults.run(project, "convdepth", "verify")
    flip(path, place, bit)
    # Of these outputs only the digest of the whole folder is known.
    folders = [out for out in faults.locked_outs(project, "plot") if name.startswith(f"{out}/")]
    return "" if code == 7 and any(each in output for each in [name, *folders]) else output


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


def test_nothing_is_reported_where_nothing_is_damaged(
    workspace: Project, try_each: TryEach
) -> None:
    def attempt(_number: int) -> str:
        code, output = faults.run(workspace, "convdepth", "verify")
        return output if code else ""

    try_each("clean checks", {f"{n}": n for n in range(100)}, attempt, sample=2)
