"""Find checkpoints of interrupted trainings, and tell whether the next run takes them up."""

from collections.abc import Callable, Mapping, Sequence
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

PACKAGES = ("tensorflow", "keras")
"""Packages whose versions are part of a numeric class."""


@dataclass(frozen=True)
class Interrupted:
    """The newest checkpoint of an interrupted training.

    Attributes:
        stage: As `dvc repro` takes it; for a search ``tune@<network>``.
        checkpoint: Path, epoch, size and age.
        differing: Where its fingerprint differs from that of the next run, which then ignores it.
        knows_parameters: Whether parameters were compared; the device never is.
    """

    stage: str
    checkpoint: Unfinished
    differing: Sequence[str]
    knows_parameters: bool


def find_interrupted(project: Path) -> list[Interrupted]:
    """Find interrupted trainings of both graphs and of the flow `tune`, unless they run now.

    Args:
        project: The root of the project, whose parameters are valid.

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
        root = project / (find_option(command, "--checkpoints") or "")
        for folder in sorted({path.parent.parent for path in root.rglob("epoch-*.json")}):
            for kept in unfinished(folder) if stage not in running else []:
                here = _next_fingerprint(command, kept.fingerprint, project, digest)
                differing = tuple(differences(kept.fingerprint, here))
                found.append(Interrupted(stage, kept, differing, _module(command) == "train"))
    return found


def versions() -> dict[str, str]:
    """Return the installed versions of `PACKAGES`."""
    return {package: metadata.version(package) for package in PACKAGES}


def _trainings(project: Path) -> dict[str, list[str]]:
    """Return the commands with checkpoints, by stage."""
    graphs = [graph for graph in (GRAPH, STUDIES) if (project / graph).exists()]
    commands = {
        stage: words
        for graph in graphs
        for stage, words in planned_commands(project, graph).items()
        if find_option(words, "--checkpoints")
    }
    for stage, words in list(commands.items()):
        if stage.startswith("train@"):
            normalized = find_option(words, "--normalized") or ""
            options = ["--normalized", normalized, "--checkpoints", f"{SEARCHES}/{words[2]}"]
            commands[f"tune@{words[2]}"] = ["convdepth", "tune", words[2], *options]
    return commands


def _module(command: Sequence[str]) -> str:
    return command[1].replace("-", "_")


def _next_fingerprint(
    command: Sequence[str], there: Mapping[str, Any], project: Path, digest: Callable[[str], str]
) -> dict[str, Any]:
    """Compute the fingerprint of the next run without TensorFlow.

    The device is taken from the other fingerprint; so are the parameters of all commands but
    `convdepth train`.
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
