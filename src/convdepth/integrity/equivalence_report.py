"""What `convdepth verify --against` prints, and what it accepts."""

from collections.abc import Sequence
from pathlib import Path

from convdepth.config.params import read_architecture, read_params
from convdepth.core.errors import IntegrityError
from convdepth.core.text import counted
from convdepth.integrity.acceptance import accept, judge_stages
from convdepth.integrity.equivalence import (
    Comparison,
    committed_project,
    require_equal_inputs,
    train_by_both,
)
from convdepth.workspace.dvc import refresh_code
from convdepth.workspace.git import find_commit

MEANING = """\
Equal bytes after one epoch are evidence, not proof. They show that these networks, with these
parameters and data, on this machine and its installed libraries, learn the same in every step of
one epoch, and that the results of that epoch are the same. They do not show what later epochs,
other parameters (such as an augmentation that is off), another device or another machine do."""


def print_equivalence(
    names: Sequence[str] | None,
    revision: str,
    params: Path,
    project: Path = Path(),
    *,
    accept_results: bool,
) -> None:
    """Compare the training of two versions of the code, and print what came out.

    Args:
        names: The networks; by default all.
        revision: The commit to compare with, as git names it.
        params: The parameters of the workspace.
        project: The root of the project.
        accept_results: Whether to keep the results whose only change is code.

    Raises:
        ParameterError: There is no such commit or network, or parameters differ.
        DataError: The data differ.
        IntegrityError: A network learns differently; nothing is accepted then.
        ConvdepthError: A training failed.
    """
    commit = find_commit(revision, project)
    networks = list(names or read_params(params).architectures)
    for name in networks:
        read_architecture(name, params)
    with committed_project(commit, project) as before:
        require_equal_inputs(networks, before, commit, params, project)
        comparisons = []
        for comparison in train_by_both(networks, before, commit, params, project):
            print(say_comparison(comparison, commit), flush=True)
            comparisons.append(comparison)
        if unequal := [each.network for each in comparisons if not each.equal]:
            raise IntegrityError(
                f"{', '.join(unequal)}: one epoch with the code of {commit[:12]} gives other bytes "
                f"than with that of the workspace. `dvc repro` trains again."
            )
        print(MEANING)
        refresh_code(project)
        judged = judge_stages(networks, before, commit, project)
    accepted = [each.stage for each in judged if not each.reason]
    for each in judged:
        print(f"{each.stage}: {each.reason or ('accepted' if accept_results else 'can stay')}")
    if not accept_results:
        print(f"--accept keeps the results of {counted(len(accepted), 'stage')}.")
    elif accepted:
        accept(accepted, project)


def say_comparison(comparison: Comparison, commit: str) -> str:
    """Say in one line whether two versions train alike.

    Args:
        comparison: Of one network.
        commit: What the workspace was compared with.
    """
    what = f"{comparison.network}: one epoch with the code of {commit[:12]} and of the workspace"
    if comparison.equal:
        return f"{what}: equal ({comparison.arrays} arrays and the history)"
    found = ", ".join(comparison.differing[:3])
    return (
        f"{what}: {len(comparison.differing)} of {comparison.arrays + 1} differ, first {found}; by "
        f"up to {comparison.largest:.3g}"
    )
