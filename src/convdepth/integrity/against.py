"""`convdepth verify --against`: train one epoch by two versions of the code, compare the bytes.

Each version runs in its own process with its own parameters, on the same data. A training ends
after the checkpoint of the first epoch, which holds weights, optimizer state and history.
"""

import io
import json
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from convdepth.config.params import read_architecture, read_params
from convdepth.config.recipe import read_training
from convdepth.core.errors import DataError, IntegrityError, ParameterError
from convdepth.core.text import counted
from convdepth.integrity.accept import accept, judge_stages
from convdepth.integrity.training_process import Training, compare_arrays, run_trainings
from convdepth.training.checkpoints import differences
from convdepth.workspace import dvc
from convdepth.workspace.git import find_commit, read_commit

ONE_EPOCH = """
import os, sys
renamed = []
def end_after_first_epoch(event, arguments):
    if event == "os.rename":  # not yet done, and a later one may delete this checkpoint
        renamed.append(str(arguments[1]))
    elif event == "open" and any(
        path.endswith("/epoch-0001.json") and os.path.exists(path) for path in renamed
    ):
        sys.stdout.flush()
        os._exit(0)
sys.addaudithook(end_after_first_epoch)
from convdepth.cli import run
run()
"""
"""The command line, which ends when it opens a file after the first checkpoint is whole."""

MEANING = """\
Equal bytes after one epoch are evidence, not proof. They show that these networks, with these
parameters and data, on this machine and its installed libraries, learn the same in every step of
one epoch, and that the results of that epoch are the same. They do not show what later epochs,
other parameters (such as an augmentation that is off), another device or another machine do."""


class Side(NamedTuple):
    """A version of the code, in its folder, with its parameters; no commit is the workspace."""

    label: str
    code: Path
    params: Path
    commit: str | None = None


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
    If a network learns differently, that is an `IntegrityError`, and nothing is accepted.
    """
    dvc.require_project(project)
    commit = find_commit(revision, project)
    networks = list(names or read_params(params).architectures)
    for name in networks:
        read_architecture(name, params)  # explains each mistake
    after = Side("after", project.absolute(), params.absolute())
    with _committed_project(commit, project) as before:
        _require_equal_inputs(networks, before, after)
        unequal = []
        for name, differing in _train_by_both(networks, before, after):
            found = f"{', '.join(differing[:3])} differ" if differing else "equal"
            print(f"{name}: {found} after one epoch", flush=True)
            unequal += [name] if differing else []
        if unequal:
            raise IntegrityError(
                f"{', '.join(unequal)}: one epoch with the code of {commit[:12]} gives other bytes "
                f"than with the workspace's. `dvc repro` trains again."
            )
        print(MEANING)
        dvc.refresh_code(project)
        reasons = judge_stages(networks, before.code, commit, project)
    for stage, reason in reasons.items():
        print(f"{stage}: {reason or ('accepted' if accept_results else 'can stay')}")
    valid = [stage for stage, reason in reasons.items() if not reason]
    if not accept_results:
        print(f"--accept keeps the results of {counted(len(valid), 'stage')}.")
    elif valid:
        accept(valid, project)


def compare_checkpoints(manifests: Iterable[Path]) -> list[str]:
    """Name the arrays whose bytes differ between two checkpoints, and their ``history``."""
    arrays, histories = [], []
    for path in manifests:
        with np.load(path.with_suffix(".npz"), allow_pickle=False) as archive:
            arrays.append(dict(archive))
        histories.append(json.loads(path.read_bytes())["history"])
    differing = list(compare_arrays(*arrays))
    return differing + (["history"] if histories[0] != histories[1] else [])


@contextmanager
def _committed_project(commit: str, project: Path) -> Iterator[Side]:
    """Extract code, parameters and lock of a commit into a temporary folder."""
    files = ("src", "params.yaml", "requirements.lock")
    archive = read_commit(commit, ("archive", "--format=tar", commit, *files), project)
    with tempfile.TemporaryDirectory(prefix="convdepth-against-") as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as members:
            members.extractall(folder, filter="data")
        yield Side("before", Path(folder), Path(folder, "params.yaml"), commit)


def _require_equal_inputs(names: Sequence[str], before: Side, after: Side) -> None:
    """Refuse other parameters or data; a parameter that one side lacks has its default."""
    there, here = (_read_parameters(names, side.params) for side in (before, after))
    if changed := ", ".join(differences(there, here)):
        raise ParameterError(
            f"{after.params}: expected the values of {before.commit}, since only code can be "
            f"compared, got {changed}. Commit the change of parameters apart from that of code."
        )
    folder = dvc.find_option(dvc.planned_command(names[0], after.code), "--normalized")
    there_md5, here_md5 = (
        {out.md5 for out in dvc.recorded_outputs(after.code, side.commit) if out.path == folder}
        for side in (before, after)
    )
    if here_md5 != there_md5 or not here_md5:
        raise DataError(
            f"dvc.lock: {folder}: expected the data of {before.commit}, found others. Run `dvc "
            f"repro normalize`, or compare with a commit that has these data."
        )


def _read_parameters(names: Sequence[str], params: Path) -> dict[str, Any]:
    sections: dict[str, Any] = {}
    for name in names:
        architecture, recipe = read_training(name, params)
        sections["train"] = recipe.model_dump(mode="json")
        sections[f"architectures.{name}"] = architecture.model_dump(mode="json")
    return sections


def _train_by_both(
    names: Sequence[str], before: Side, after: Side
) -> Iterator[tuple[str, list[str]]]:
    """Train one epoch of each network by both versions; yield what differs when it is known."""
    with tempfile.TemporaryDirectory(prefix="convdepth-epochs-") as folder:
        trainings = []
        for name in names:
            for side in (before, after):
                command = dvc.planned_command(name, after.code, side.commit)
                normalized = after.code / (dvc.find_option(command, "--normalized") or "")
                command += ["--normalized", str(normalized)]
                own = Path(folder, name, side.label)
                planned = Training(name, side.label, command, side.code, side.params, own)
                trainings.append(replace(planned, program=ONE_EPOCH))
        manifests: dict[str, list[Path]] = {name: [] for name in names}
        for training in run_trainings(trainings, read_params(after.params).train.threads):
            found = list(training.folder.glob("checkpoints/*/epoch-0001.json"))
            if not found:
                raise DataError(
                    f"{training.network}: the training {training.label} left no checkpoint of "
                    f"epoch 1, expected one. Compare with a later commit."
                )
            manifests[training.network] += found
            if len(manifests[training.network]) == 2:
                yield training.network, compare_checkpoints(manifests[training.network])
