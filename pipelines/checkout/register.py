"""Register new models as git tags, and promote those that are no worse than the promoted ones."""

import json
from pathlib import Path

from convdepth.commands.compare import Verdict, compare, read_states
from convdepth.config.params import read_params
from convdepth.core.errors import ConvdepthError, ParameterError
from convdepth.workspace import registry
from convdepth.workspace.dvc import fetch_content
from convdepth.workspace.git import git
from convdepth.workspace.lockfile import numeric_class

STAGE = "prod"
NO_WORSE = (Verdict.SAME, Verdict.NO_EVIDENCE, Verdict.LIKE_SEEDS, Verdict.BETTER)
"""Verdicts on the answers of a model that may be promoted."""

_TAGS = "refs/tags/*"


def register_models(folder: Path, branch: str | None) -> list[str]:
    """Register the models of a branch with published results, or without one of HEAD, in a clone.

    A model gets a version once: none if an earlier version, also a withdrawn one, has its bytes.
    Returns what was done, one text for each new version.
    """
    git("fetch", "--quiet", "--force", "origin", f"{_TAGS}:{_TAGS}", folder=folder)
    commit = git("rev-parse", f"origin/{branch}" if branch else "HEAD", folder=folder)
    before = set(git("tag", folder=folder).split())
    done = []
    for name in read_params(folder / "params.yaml").architectures:
        model = _find(name, commit, folder)
        known = (each.commit for each in registry.list_versions(folder, name, withdrawn=True))
        if not model or any(model == _find(name, each, folder) for each in known):
            continue
        made = numeric_class(folder / model[0][0])
        version = registry.register(name, commit, json.dumps(made) if made else "", folder)
        reason = _reason_against(name, commit, folder)
        if not reason:
            registry.assign(name, version, STAGE, folder)
        done.append(f"{name}@{version} {reason or f'is {STAGE} now'}")
    if tags := sorted(set(git("tag", folder=folder).split()) - before):
        refs = [f"refs/tags/{tag}" for tag in tags]
        git("push", "--quiet", "--atomic", "--no-verify", "origin", *refs, folder=folder)
    return done


def _find(name: str, commit: str, folder: Path) -> list[tuple[str, str]]:
    return registry.locked_outputs(f"train@{name}", registry.MODEL, commit, folder)


def _reason_against(name: str, commit: str, folder: Path) -> str:
    """Return why a commit's model is not promoted, by `convdepth compare`; empty if it may be."""
    try:
        promoted = registry.find_version(name, STAGE, folder).commit
    except ParameterError:  # the first
        return ""
    try:
        for _, md5 in registry.locked_outputs(f"evaluate@{name}", ".csv", promoted, folder):
            fetch_content(md5, folder)
        before, after = read_states([promoted, commit], folder)
        changes = compare(before, after)
    except ConvdepthError as error:
        return f"is not {STAGE}: not compared: {error}"
    verdicts = {each.names[0]: each.verdict for each in changes}
    if (found := verdicts.get(name)) in NO_WORSE:
        return ""
    words = "worse than" if found is Verdict.WORSE else "not comparable with"
    return f"is not {STAGE}: {words} commit {promoted[:7]}"
