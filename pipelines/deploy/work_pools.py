"""Base job templates of work pools: Prefect's own, with the project's changes in ``TYPE.json``."""

import json
from pathlib import Path
from typing import Any

from prefect.utilities.asyncutils import run_coro_as_sync
from prefect.workers.utilities import get_default_base_job_template_for_infrastructure_type

from convdepth.core.errors import ParameterError

FOLDER = Path(__file__).parent

TYPES = ("process", "docker", "kubernetes")
"""The types of work pools in which the deployments of `prefect.yaml` run unchanged."""


def base_job_template(pool_type: str) -> dict[str, Any]:
    """Return the template for a new work pool of one of the `TYPES`.

    Prefect takes its default from the type's package if that is installed, else from the server.
    """
    if pool_type not in TYPES:
        known = ", ".join(TYPES)
        raise ParameterError(f"--pool-type: {pool_type}, expected one of {known}.")
    default = run_coro_as_sync(get_default_base_job_template_for_infrastructure_type(pool_type))
    if default is None:
        raise ParameterError(
            f"--pool-type: the Prefect server knows no default for {pool_type}. Run "
            "`pip install --no-deps --require-hashes --requirement requirements-pools.lock`."
        )
    return adapt(default, pool_type)


def adapt(default: dict[str, Any], pool_type: str) -> dict[str, Any]:
    """Put the project's changes into Prefect's default template of a type."""
    changes = FOLDER / f"{pool_type}.json"
    if not changes.exists():
        return default
    adapted: dict[str, Any] = _merge(default, json.loads(changes.read_text(encoding="utf-8")))
    return adapted


def _merge(old: Any, new: Any) -> Any:
    """Merge mappings by key, and lists, which are as long as Prefect's, by position."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old | {key: _merge(old.get(key), value) for key, value in new.items()}
    if isinstance(old, list) and isinstance(new, list):
        return [_merge(*pair) for pair in zip(old, new, strict=True)]
    return new
