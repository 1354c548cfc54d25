"""Registered models: versions and stages are git tags of GTO, ``cnn3@v1.2.0``, ``cnn3#prod#1``.

A tag names a commit, the ``dvc.lock`` of that commit names the content, and DVC keeps the content.
So nothing is lost with a tag. The only module that imports GTO, and only when it is asked.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convdepth.core.errors import DataError, IntegrityError, ParameterError
from convdepth.core.hashes import hash_files
from convdepth.core.text import name_first
from convdepth.workspace.dvc import fetch_content
from convdepth.workspace.git import read_file
from convdepth.workspace.lockfile import LOCK, model_path, read_lock_entries

MODEL = ".keras"
RELEASE = Path("release")  # where `make release` writes its bundle, and an unpacked one is found


@dataclass(frozen=True)
class Version:
    """A registered model: its stages, the commit with its results, and the tag's message."""

    network: str
    name: str
    stages: tuple[str, ...]
    commit: str
    message: str


def find_model(model: str, project: Path = Path()) -> Path:
    """Return the file that ``NAME``, ``NAME@VERSION``, ``NAME@STAGE`` or the path of a file means.

    ``NAME`` is the workspace's model, or else that of an unpacked release. A registered model is
    recognized by its hash, so its file may lie in DVC's cache and then has no suffix.
    """
    name, at, reference = model.partition("@")
    if model.endswith(MODEL):
        if not Path(model).is_file():
            raise DataError(f"{model}: no such file. Expected a {MODEL} file.")
        return Path(model)
    if at:
        return _find_registered(find_version(name, reference, project), project)
    try:
        return model_path(name, project)
    except (DataError, ParameterError):
        released = project / RELEASE / f"{name}{MODEL}"
        if released.is_file():
            return released
        raise


def find_version(network: str, reference: str, project: Path = Path()) -> Version:
    """Find a version by its name or its stage; ``latest`` is the highest version."""
    versions = list_versions(project, network)
    for each in versions:
        if reference in (each.name, *each.stages, "latest"):
            return each
    known = [name for each in versions for name in (each.name, *each.stages)]
    raise ParameterError(
        f"{network}@{reference}: no such version or stage; there are "
        f"{name_first(known, 8) if known else 'none'}. `git fetch --tags` gets new ones."
    )


def list_versions(
    project: Path = Path(), network: str | None = None, *, withdrawn: bool = False
) -> list[Version]:
    """List the versions of one network or all, the highest first; also `withdrawn` ones if so."""
    with _explained(project) as gto:
        return [
            Version(
                name,
                each["version"],
                tuple(stage["stage"] for stage in each["stages"]),
                each["commit_hexsha"],
                each["registrations"][0]["message"],
            )
            for name in sorted(gto.show(project, deprecated=True))
            if network in (None, name)
            for each in gto.show(project, name, registered_only=True, deprecated=withdrawn)
        ]


def register(network: str, commit: str, message: str, project: Path = Path()) -> str:
    """Tag a commit with the next patch version of a network; return the version."""
    from gto.versions import SemVer  # noqa: PLC0415

    # GTO itself would take the version of a withdrawn model again, whose tag is still there.
    taken = list_versions(project, network, withdrawn=True)
    last: Any = SemVer(taken[0].name) if taken else None  # GTO has no types here
    version = last.bump(bump_patch=True).version if last else None
    with _explained(project) as gto:
        tagged = gto.register(project, network, commit, version=version, message=message)
        return str(tagged.version)


def assign(network: str, version: str, stage: str, project: Path = Path()) -> None:
    """Tag a version as the one of a stage, in the place of another."""
    with _explained(project) as gto:
        gto.assign(project, network, stage, version=version)


def locked_outputs(
    stage: str, suffix: str, commit: str | None, project: Path = Path(), lock: Path = LOCK
) -> list[tuple[str, str]]:
    """Return path and MD5 of a stage's outputs with a suffix, as ``dvc.lock`` records them."""
    content = read_file(lock.as_posix(), commit, project)
    entries = read_lock_entries(lock, content) if content else {}
    outs = entries.get(stage, {}).get("outs", [])
    return [(out["path"], out["md5"]) for out in outs if out["path"].endswith(suffix)]


def read_results(stage: str, commit: str | None, project: Path = Path()) -> dict[str, Any]:
    """Return the entries of all JSON outputs of a stage, which git has; none if it never ran."""
    results: dict[str, Any] = {}
    for path, _ in locked_outputs(stage, ".json", commit, project):
        if content := read_file(path, commit, project):
            results |= json.loads(content)
    return results


def _find_registered(version: Version, project: Path) -> Path:
    label = f"{version.network}@{version.name}"
    outputs = locked_outputs(f"train@{version.network}", MODEL, version.commit, project)
    if not outputs:
        raise DataError(
            f"{label}: the {LOCK} of commit {version.commit[:12]} has no model of this network. "
            f"`gto deprecate {version.network} {version.name}` withdraws the version."
        )
    ((path, md5),) = outputs
    near = [project / path, project / RELEASE / f"{version.network}{MODEL}"]
    for place, content in hash_files(near).items():
        if content.md5 == md5:
            return place
    if (kept := fetch_content(md5, project)) is None:
        raise DataError(
            f"{label}: its model is not in DVC's cache, and there is no DVC remote that has it. "
            f"`dvc remote add --default NAME ADDRESS` names one; `dvc repro` in commit "
            f"{version.commit[:12]} trains it again."
        )
    if (found := hash_files([kept])[kept].md5) != md5:
        raise IntegrityError(
            f"{kept}: damaged: expected the MD5 {md5}, got {found}. Delete it and run again: DVC's "
            f"remote may have {label}."
        )
    return kept


@contextmanager
def _explained(project: Path) -> Iterator[Any]:
    """Yield GTO's API; its errors become a `DataError`."""
    from gto import api  # noqa: PLC0415
    from gto.exceptions import GTOException  # noqa: PLC0415
    from scmrepo.exceptions import SCMError  # noqa: PLC0415

    try:
        yield api
    except (GTOException, SCMError) as error:
        raise DataError(
            f"{project.absolute()}: the versions of models are tags of git: {error}. "
            f"`git tag --list` shows them; run in a clone of the project."
        ) from error
