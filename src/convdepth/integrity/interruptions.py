"""Trainings that were interrupted: their checkpoints, and whether the next run takes them up."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from convdepth.config.recipe import read_training
from convdepth.data.arrays import array_paths
from convdepth.training.checkpoints import Unfinished, unfinished
from convdepth.training.fingerprint import describe_training, differences, digest_files
from convdepth.workspace.code_digests import read_command
from convdepth.workspace.dvc import GRAPH, STUDIES, find_option, planned_commands
from convdepth.workspace.locks import held_outputs

SEARCHES = ".dvc/tmp/convdepth/tuning"
"""Where the flow `tune`, which no ``dvc.yaml`` defines, has a folder for each network."""

RECORD = "finished.json"
"""As `tune.RECORD`, whose module imports TensorFlow."""

PACKAGES = ("tensorflow", "keras")
"""Packages whose versions are part of a numeric class."""


@dataclass(frozen=True)
class Interrupted:
    """Checkpoints of a stage that differ in the same way from what its next run would write.

    Attributes:
        stage: As `dvc repro` takes it; for a search ``tune@<network>``.
        folder: Holds all checkpoints of the stage.
        kept: One entry for each training, the newest last.
        differing: What differs, see `fingerprint.differences`; empty if the next run takes them up.
        module: Name of the command: ``train``, ``train_tuned``, ``collapse`` or ``tune``.
        is_all: Whether the folder holds no other checkpoints.
    """

    stage: str
    folder: Path
    kept: Sequence[Unfinished]
    differing: Sequence[str]
    module: str
    is_all: bool

    @property
    def is_compared(self) -> bool:
        """Whether parameters were compared too. The device is never compared."""
        return self.module == "train"

    @property
    def is_search(self) -> bool:
        """Whether only the trials count that had ended."""
        return self.module == "tune"

    @property
    def part(self) -> str:
        """The newest training among those of the stage: ``scale-0.5/seed-2``; empty if alone."""
        place = self.kept[-1].path.parent
        folder = place if self.kept[-1].path.name == RECORD else place.parent
        return "" if folder == self.folder else folder.relative_to(self.folder).as_posix()

    @property
    def paths(self) -> Sequence[Path]:
        """What to delete to forget them."""
        return [self.folder] if self.is_all else [each.path.parent for each in self.kept]


def find_interrupted(project: Path) -> list[Interrupted]:
    """Find the trainings of both graphs and of the flow `tune` that were interrupted.

    Args:
        project: The root of the project, whose parameters are valid.

    Returns:
        They, stage by stage, without the stages that are running.

    Raises:
        DataError: A ``dvc.yaml`` is missing or malformed.
        OSError: The data cannot be read.
    """

    @cache
    def digest(normalized: str) -> str:
        paths = array_paths(project / normalized)
        return digest_files(path for path in paths if path.exists())

    running = {by.partition(" (process")[0] for by in held_outputs(project).values()}
    found = []
    for stage, command in _trainings(project).items():
        folder = project / (find_option(command, "--checkpoints") or "")
        groups: dict[tuple[str, ...], list[Unfinished]] = {}
        for kept in () if stage in running else _all_unfinished(folder):
            here = _next_fingerprint(command, kept.fingerprint, project, digest)
            groups.setdefault(tuple(differences(kept.fingerprint, here)), []).append(kept)
        found += [
            Interrupted(
                stage,
                folder,
                sorted(kept, key=lambda each: each.modified),
                differing,
                _module(command),
                is_all=len(groups) == 1,
            )
            for differing, kept in groups.items()
        ]
    return found


def versions() -> dict[str, str]:
    """Return the installed versions of `PACKAGES`."""
    return {package: metadata.version(package) for package in PACKAGES}


def _trainings(project: Path) -> dict[str, list[str]]:
    """Return the commands with checkpoints, by stage."""
    commands: dict[str, list[str]] = {}
    for graph in (GRAPH, STUDIES):
        if (project / graph).exists():
            commands |= planned_commands(project, graph)
    found = {
        stage: words for stage, words in commands.items() if find_option(words, "--checkpoints")
    }
    for stage, words in list(found.items()):
        if stage.startswith("train@"):
            normalized = find_option(words, "--normalized") or ""
            options = ["--normalized", normalized, "--checkpoints", f"{SEARCHES}/{words[2]}"]
            found[f"tune@{words[2]}"] = ["convdepth", "tune", words[2], *options]
    return found


def _module(command: Sequence[str]) -> str:
    return command[1].replace("-", "_")


def _all_unfinished(folder: Path) -> Iterator[Unfinished]:
    """List all checkpoints below a folder, and the trials of a search that had ended."""
    for place in sorted({path.parent.parent for path in folder.rglob("epoch-*.json")}):
        yield from unfinished(place)
    for record in sorted(folder.rglob(RECORD)):
        try:
            entries = json.loads(record.read_bytes())
            epochs, fingerprint = len(entries["accuracies"]), dict(entries["fingerprint"])
            status = record.stat()
        except (OSError, ValueError, KeyError, TypeError):
            continue
        yield Unfinished(record, epochs, status.st_size, status.st_mtime, fingerprint)


def _next_fingerprint(
    command: Sequence[str], there: Mapping[str, Any], project: Path, digest: Callable[[str], str]
) -> dict[str, Any]:
    """Compute the fingerprint of what the next run would train, as far as it is cheap.

    What only TensorFlow knows, such as the device, is taken from the other fingerprint; so are the
    parameters of all commands but `convdepth train`.
    """
    module = _module(command)
    code = read_command(module).digest
    known: dict[str, Any] = {**there.get("numeric class", {}), **versions()}
    here: dict[str, Any] = {**there, "code": code, "numeric class": known}
    if module == "train":
        architecture, recipe = read_training(command[2], project / "params.yaml")
        if (seed := find_option(command, "--seed")) is not None:
            recipe = recipe.model_copy(update={"seed": int(seed)})
        known |= {"threads": recipe.threads, "precision": recipe.precision}
        here = describe_training(architecture, recipe, [], code, known)
    return here | {"data": digest(find_option(command, "--normalized") or "")}
