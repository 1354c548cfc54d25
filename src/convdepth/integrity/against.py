"""`convdepth verify --against`: train one epoch by two versions of the code, compare the bytes.

Each version runs in its own process with its own parameters, on the same data. A training is
stopped at the checkpoint of the first epoch, which holds weights, optimizer state and history.
"""

import io
import json
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convdepth.config.architecture import Architecture
from convdepth.config.params import read_architecture, read_params
from convdepth.config.recipe import Train, read_section
from convdepth.core.errors import DataError, IntegrityError, ParameterError
from convdepth.core.text import counted
from convdepth.integrity.accept import accept, judge_stages
from convdepth.integrity.training_process import Training, run_trainings, write_params
from convdepth.workspace.dvc import find_option, planned_command, recorded_outputs, refresh_code
from convdepth.workspace.git import find_commit, read_commit

CHECKPOINT = "epoch-0001"
"""Stem of the files of the first checkpoint."""

SIDES = ("before", "after")
"""The code of the commit and of the workspace."""

MEANING = """\
Equal bytes after one epoch are evidence, not proof. They show that these networks, with these
parameters and data, on this machine and its installed libraries, learn the same in every step of
one epoch, and that the results of that epoch are the same. They do not show what later epochs,
other parameters (such as an augmentation that is off), another device or another machine do."""


@dataclass(frozen=True)
class Comparison:
    """One network, trained by both versions.

    Attributes:
        arrays: Number of compared arrays: weights and optimizer state.
        differing: Names of the arrays whose bytes differ; ``history`` for the history.
        largest: Largest difference of two numbers, 0 if only shapes or dtypes differ.
    """

    network: str
    arrays: int
    differing: list[str]
    largest: float

    def __str__(self) -> str:
        """Return one line for the terminal."""
        if not self.differing:
            return f"{self.network}: equal after one epoch ({self.arrays} arrays and the history)"
        return (
            f"{self.network}: {len(self.differing)} of {self.arrays + 1} differ after one epoch, "
            f"by up to {self.largest:.3g}: {', '.join(self.differing[:3])}"
        )


def print_comparison(
    names: Sequence[str] | None,
    revision: str,
    params: Path,
    project: Path = Path(),
    *,
    accept_results: bool,
) -> None:
    """Train by the code of a commit and of the workspace, and print the comparison.

    By default all networks are trained. Accepted are results whose only change is compared code.

    Raises:
        ParameterError: There is no such commit or network, or parameters differ.
        DataError: The data differ.
        IntegrityError: A network learns differently; nothing is accepted.
        ConvdepthError: A training failed.
    """
    commit = find_commit(revision, project)
    networks = list(names or read_params(params).architectures)
    for name in networks:
        read_architecture(name, params)
    with _committed_project(commit, project) as before:
        _require_equal_inputs(networks, before, commit, params, project)
        unequal = []
        for comparison in _train_by_both(networks, before, commit, params, project):
            print(comparison, flush=True)
            unequal += [comparison.network] if comparison.differing else []
        if unequal:
            raise IntegrityError(
                f"{', '.join(unequal)}: one epoch with the code of {commit[:12]} gives other bytes "
                f"than with the workspace's. `dvc repro` trains again."
            )
        print(MEANING)
        refresh_code(project)
        reasons = judge_stages(networks, before, commit, project)
    for stage, reason in reasons.items():
        print(f"{stage}: {reason or ('accepted' if accept_results else 'can stay')}")
    valid = [stage for stage, reason in reasons.items() if not reason]
    if not accept_results:
        print(f"--accept keeps the results of {counted(len(valid), 'stage')}.")
    elif valid:
        accept(valid, project)


def compare_checkpoints(network: str, manifests: Sequence[Path]) -> Comparison:
    """Compare two checkpoints, given by their manifests."""
    arrays = [_read_arrays(path.with_suffix(".npz")) for path in manifests]
    histories = [json.loads(path.read_bytes())["history"] for path in manifests]
    names = sorted({*arrays[0], *arrays[1]})
    differing, largest = [], 0.0
    for name in names:
        one, other = (side.get(name, np.array(None)) for side in arrays)
        if one.dtype != other.dtype or one.shape != other.shape:
            differing.append(name)
        elif one.tobytes() != other.tobytes():
            differing.append(name)
            gap = np.abs(one.astype(np.float64) - other.astype(np.float64)).max()
            largest = max(largest, float(gap))
    differing += ["history"] if histories[0] != histories[1] else []
    return Comparison(network, len(names), differing, largest)


@contextmanager
def _committed_project(commit: str, project: Path) -> Iterator[Path]:
    """Extract code, parameters and lock of a commit into a temporary folder."""
    files = ("src", "params.yaml", "requirements.lock")
    archive = read_commit(commit, ("archive", "--format=tar", commit, *files), project)
    with tempfile.TemporaryDirectory(prefix="convdepth-against-") as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as members:
            members.extractall(folder, filter="data")
        yield Path(folder)


def _require_equal_inputs(
    names: Sequence[str], before: Path, commit: str, params: Path, project: Path
) -> None:
    """Refuse other parameters or data; a parameter that one side lacks has its default."""
    read_params(params)  # explains each mistake
    sections: list[tuple[tuple[str, ...], type[Train] | type[Architecture]]]
    sections = [(("train",), Train), *((("architectures", name), Architecture) for name in names)]
    for keys, kind in sections:
        here, there = (
            read_section(path, keys, kind).model_dump() for path in (params, before / "params.yaml")
        )
        if changed := [key for key in here if here[key] != there.get(key)]:
            values = ", ".join(f"{key}: {here[key]} (there {there.get(key)})" for key in changed)
            raise ParameterError(
                f"{params}: {'.'.join(keys)}: expected the values of {commit[:12]}, since only "
                f"code can be compared, got {values}. Commit the change of parameters apart from "
                f"the change of code."
            )
    folder = find_option(planned_command(names[0], project), "--normalized")
    here_md5, there_md5 = (
        {out.md5 for out in recorded_outputs(project, revision) if out.path == folder}
        for revision in (None, commit)
    )
    if here_md5 != there_md5 or not here_md5:
        raise DataError(
            f"dvc.lock: {folder}: expected the data of {commit[:12]}, found others. Run `dvc repro "
            f"normalize`, or compare with a commit that has these data."
        )


def _train_by_both(
    names: Sequence[str], before: Path, commit: str, params: Path, project: Path
) -> Iterator[Comparison]:
    """Train one epoch of each network by both versions; give each result when it is there."""
    threads = read_params(params).train.threads
    with tempfile.TemporaryDirectory(prefix="convdepth-epochs-") as folder:
        trainings = list(_plan(names, before, commit, params, project, Path(folder)))
        manifests: dict[str, dict[str, Path]] = {name: {} for name in names}
        for training in run_trainings(trainings, threads, _keep_checkpoint):
            found = manifests[training.network]
            found[training.label] = training.folder / f"{CHECKPOINT}.json"
            if len(found) == len(SIDES):
                yield compare_checkpoints(training.network, [found[side] for side in SIDES])


def _plan(
    names: Sequence[str], before: Path, commit: str, params: Path, project: Path, folder: Path
) -> Iterator[Training]:
    sides: Mapping[str, tuple[Path, Path, str | None]] = {
        "before": (before, before / "params.yaml", commit),
        "after": (project.absolute(), params.absolute(), None),
    }
    for name in names:
        for side, (code, used, revision) in sides.items():
            own = folder / name / side
            # The checkpoint of the last epoch is deleted when the training ends.
            epochs = max(2, read_section(used, ("train",), Train).epochs)
            copied = write_params(used, epochs, own / "params.yaml")
            command = planned_command(name, project, revision)
            normalized = project.absolute() / (find_option(command, "--normalized") or "")
            command += ["--normalized", str(normalized)]
            yield Training(name, side, command, code, copied, own)


def _keep_checkpoint(training: Training) -> bool:
    """Link the checkpoint of the first epoch before it is replaced; tell whether it is there."""
    manifest = next(training.folder.glob(f"checkpoints/*/{CHECKPOINT}.json"), None)
    if manifest is None:
        return False
    for path in (manifest, manifest.with_suffix(".npz")):
        (training.folder / path.name).hardlink_to(path)
    return True


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
