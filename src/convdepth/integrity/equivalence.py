"""Whether two versions of the code train alike: one epoch of each, compared byte by byte.

Both versions run in processes of their own, with their own parameters, on the same data. A training
is stopped when its checkpoint of the first epoch is written: it holds the weights, the optimizer's
state and the history.
"""

import io
import json
import os
import tarfile
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convdepth.config.architecture import Architecture
from convdepth.config.params import read_params
from convdepth.config.recipe import Train, read_section
from convdepth.core.errors import ConvdepthError, DataError, ParameterError
from convdepth.core.files import write_text
from convdepth.integrity.train_twice import change_epochs, redirect, start_training, training_error
from convdepth.workspace.dvc import find_option, planned_command, recorded_outputs
from convdepth.workspace.git import read_commit


class StoppedError(ConvdepthError):
    """A training was stopped since another one failed."""


CHECKPOINT = "epoch-0001"
"""Files of the checkpoint of the first epoch, without their suffix."""

POLL_SECONDS = 0.02
"""How often to look for a checkpoint; a tiny network replaces it after two short epochs."""

SIDES = ("before", "after")
"""The code of the commit, and that of the workspace."""


@dataclass(frozen=True)
class Comparison:
    """One network, trained by both versions.

    Attributes:
        network: Its name.
        arrays: How many arrays were compared: weights and the optimizer's state.
        differing: Those whose bytes differ, by name; ``history`` for the history.
        largest: The largest difference of two numbers in them, 0 if only shapes differ.
    """

    network: str
    arrays: int
    differing: list[str]
    largest: float

    @property
    def equal(self) -> bool:
        """Whether all bytes are equal."""
        return not self.differing


@dataclass(frozen=True, eq=False)
class _Training:
    """One training by one version."""

    network: str
    side: str
    command: list[str]
    project: Path
    folder: Path

    def keep_checkpoint(self) -> Path | None:
        """Link the checkpoint of the first epoch, once it is written, before it is replaced.

        Returns:
            Its manifest.
        """
        manifest = next(self.folder.glob(f"checkpoints/*/{CHECKPOINT}.json"), None)
        if manifest is None:
            return None
        for path in (manifest, manifest.with_suffix(".npz")):
            (self.folder / path.name).hardlink_to(path)
        return self.folder / manifest.name


@contextmanager
def committed_project(commit: str, project: Path) -> Iterator[Path]:
    """Give the code and the parameters of a commit in a temporary folder.

    Args:
        commit: Its 40 digits.
        project: The root of the project.

    Yields:
        A folder with ``src`` and ``params.yaml``; it is deleted with the block.

    Raises:
        DataError: The commit has no such files.
    """
    with tempfile.TemporaryDirectory(prefix="convdepth-against-") as name:
        archive = read_commit(
            commit,
            ("archive", "--format=tar", commit, "src", "params.yaml", "requirements.lock"),
            project,
        )
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(name, filter="data")
        yield Path(name)


def require_equal_inputs(
    names: Sequence[str], before: Path, commit: str, params: Path, project: Path
) -> None:
    """Refuse to compare trainings with different parameters or data.

    A parameter that one of the files leaves out has its default.

    Args:
        names: The networks.
        before: The folder with the parameters of the commit.
        commit: Its 40 digits.
        params: The parameters of the workspace.
        project: The root of the project.

    Raises:
        ParameterError: A parameter differs.
        DataError: The data differ, or ``dvc.lock`` does not record them.
    """
    read_params(params)  # explains each mistake
    sections: list[tuple[tuple[str, ...], type[Train] | type[Architecture]]]
    sections = [(("train",), Train), *((("architectures", name), Architecture) for name in names)]
    for keys, kind in sections:
        here, there = (read_section(path, keys, kind) for path in (params, before / "params.yaml"))
        if here != there:
            raise ParameterError(
                f"{params}: {'.'.join(keys)}: expected the values of {commit[:12]}, since only "
                f"code can be compared, got {_difference(there.model_dump(), here.model_dump())}. "
                f"Commit the change of parameters apart from that of the code."
            )
    folder = find_option(planned_command(names[0], project), "--normalized") or ""
    digests = [
        {out.md5 for out in recorded_outputs(project, revision) if out.path == folder}
        for revision in (commit, None)
    ]
    if digests[0] != digests[1] or not digests[0]:
        raise DataError(
            f"dvc.lock: {folder}: expected the data of {commit[:12]}, found others. Run `dvc repro "
            f"normalize`, or compare with a commit that has these data."
        )


def train_by_both(
    names: Sequence[str], before: Path, commit: str, params: Path, project: Path
) -> Iterator[Comparison]:
    """Train one epoch of each network by both versions, as many at once as there are cores.

    Args:
        names: The networks.
        before: The folder with the code and the parameters of the commit.
        commit: Its 40 digits.
        params: The parameters of the workspace.
        project: The root of the project.

    Yields:
        What came out, network by network.

    Raises:
        ConvdepthError: A training failed; the exit code is that of the training.
    """
    recipe = read_params(params).train
    at_once = max(1, len(os.sched_getaffinity(0)) // recipe.threads)
    with tempfile.TemporaryDirectory(prefix="convdepth-epochs-") as name:
        trainings = list(_plan(names, before, commit, params, project, Path(name)))
        for done in _run(trainings, at_once):
            yield compare_checkpoints(*done)


def compare_checkpoints(network: str, manifests: Sequence[Path]) -> Comparison:
    """Compare two checkpoints.

    Args:
        network: The name of the network.
        manifests: Their two manifests.

    Returns:
        Which arrays differ.
    """
    arrays = [_read_arrays(path.with_suffix(".npz")) for path in manifests]
    histories = [json.loads(path.read_bytes())["history"] for path in manifests]
    names = sorted({*arrays[0], *arrays[1]})
    pairs = {name: (arrays[0].get(name), arrays[1].get(name)) for name in names}
    differing = {name: pair for name, pair in pairs.items() if not _are_equal(*pair)}
    largest = max((_largest_difference(*pair) for pair in differing.values()), default=0.0)
    found = [*differing, *(["history"] if histories[0] != histories[1] else [])]
    return Comparison(network, len(names), found, largest)


def _plan(
    names: Sequence[str], before: Path, commit: str, params: Path, project: Path, folder: Path
) -> Iterator[_Training]:
    sides = (
        ("before", before, before / "params.yaml", commit),
        ("after", project.absolute(), params.absolute(), None),
    )
    for name in names:
        for side, code, used, revision in sides:
            own = folder / name / side
            own.mkdir(parents=True)
            # The checkpoint of the last epoch is deleted when the training ends.
            epochs = max(2, read_section(used, ("train",), Train).epochs)
            write_text(own / "params.yaml", change_epochs(used, epochs))
            planned = planned_command(name, project, revision)
            command = redirect(planned, own, own / "params.yaml")
            place = command.index("--normalized") + 1
            command[place] = str((project / command[place]).absolute())
            yield _Training(name, side, command, code, own)


def _run(trainings: Sequence[_Training], at_once: int) -> Iterator[tuple[str, list[Path]]]:
    """Run trainings to the end of their first epoch; give both manifests of each network."""
    stop = threading.Event()
    with ThreadPoolExecutor(at_once) as pool:
        try:
            manifests = pool.map(partial(_train_first_epoch, stop=stop), trainings)
            for training in trainings[:: len(SIDES)]:
                yield training.network, [next(manifests) for _ in SIDES]
        finally:
            stop.set()  # of what still runs or waits


def _train_first_epoch(training: _Training, stop: threading.Event) -> Path:
    stage = f"train@{training.network} ({training.side})"
    with start_training(training.side, training.command, stage, training.project, {}) as process:
        while not stop.wait(POLL_SECONDS):
            code = process.poll()
            if manifest := training.keep_checkpoint():
                return manifest
            if code is not None:
                what = f"{training.network}: the training {training.side}"
                raise training_error(f"{what}, before its first checkpoint was seen,", code)
    raise StoppedError(f"{stage}: stopped")


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _are_equal(one: NDArray[Any] | None, other: NDArray[Any] | None) -> bool:
    if one is None or other is None:
        return False
    return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())


def _largest_difference(one: NDArray[Any] | None, other: NDArray[Any] | None) -> float:
    if one is None or other is None or one.shape != other.shape or not one.size:
        return 0.0
    return float(np.abs(one.astype(np.float64) - other.astype(np.float64)).max())


def _difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    keys = [key for key in here if here[key] != there.get(key)]
    return ", ".join(f"{key}: {here[key]} (there {there.get(key)})" for key in keys)
