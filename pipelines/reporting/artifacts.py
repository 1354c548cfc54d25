"""What a flow shows in Prefect: its progress, the metrics, what they were before, the figures.

All of it is for people, and none of it is a result: where Prefect cannot take it, the flow says
so and goes on.
"""

import base64
import contextlib
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from dvc.commands.metrics import DEFAULT_PRECISION
from dvc.compare import diff_table
from dvc.repo import Repo
from PIL import Image
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.logging import get_run_logger
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from convdepth.commands.compare import compare, read_state
from convdepth.commands.compare_output import CHANGES, to_markdown
from convdepth.core.errors import ConvdepthError
from convdepth.core.text import markdown_table
from pipelines.reporting.regressions import read_metrics as read_values

FIGURE_PIXELS = 1200
"""The longer side of a figure in Prefect; the whole figure stays in its file."""


class Progress:
    """The share of a flow's stages that are done, as an artifact."""

    def __init__(self, stages: int) -> None:
        """Create the artifact.

        Args:
            stages: How many there are to do.
        """
        self.stages = stages
        self.artifact: UUID | None = None
        with best_effort("progress"):
            self.artifact = cast(UUID, create_progress_artifact(0.0, key="progress"))

    def update(self, done: int) -> None:
        """Show how many stages are done."""
        if self.artifact is not None:
            with best_effort("progress"):
                update_progress_artifact(self.artifact, 100.0 * done / self.stages)


def publish_metrics(folder: Path = Path()) -> None:
    """Show the metrics of all networks, and how they differ from those of the last commit.

    Args:
        folder: The root of the project.
    """
    with best_effort("metrics"):
        rows = read_metrics(folder)
        create_table_artifact(rows, key="metrics", description="dvc metrics show")
    with best_effort("metrics diff"):
        difference = diff_metrics(folder) or "As in the last commit."
        create_markdown_artifact(
            difference, key="metrics-diff", description="dvc metrics diff, against the last commit"
        )
    with best_effort("comparison"):
        create_markdown_artifact(
            compare_with_commit(folder), key="comparison", description="convdepth compare HEAD"
        )


def publish_figures(outs: Iterable[Path]) -> None:
    """Show each figure.

    Args:
        outs: Files or folders; the ``.png`` files in them are shown.
    """
    for out in outs:
        for path in sorted([out] if out.suffix == ".png" else out.glob("**/*.png")):
            with best_effort(path.name):
                key = f"figure-{path.stem.lower().replace('_', '-')}"
                create_markdown_artifact(f"![{path.stem}]({_data_url(path)})", key=key)


def read_metrics(folder: Path = Path()) -> list[dict[str, Any]]:
    """Read the metrics of a workspace, as DVC finds them.

    Args:
        folder: The root of the project.

    Returns:
        One row for each file: ``metrics``, its name, and each of its values that is no mapping.

    Raises:
        DataError: DVC cannot read them.
    """
    return [
        {"metrics": name, **{key: value for key, value in values.items() if "." not in key}}
        for name, values in read_values(folder).items()
    ]


def diff_metrics(folder: Path = Path()) -> str:
    """Compare the metrics of a workspace with those of the last commit, as `dvc metrics diff` does.

    It is done in this process: another one would take half a second of each run.

    Args:
        folder: The root of the project.

    Returns:
        A table in Markdown; nothing where all are equal.

    Raises:
        DvcException: DVC cannot read them.
    """
    with Repo(str(folder)) as repo:
        changes = repo.metrics.diff().get("diff", {})
    if not changes:
        return ""
    table = diff_table(changes, "Metric", precision=DEFAULT_PRECISION, round_digits=True)
    return markdown_table(table.keys(), [[*map(str, row)] for row in table], words=2)


def compare_with_commit(folder: Path = Path()) -> str:
    """Tell for each network whether its answers differ from those of the last commit.

    Args:
        folder: The root of the project.

    Returns:
        A table in Markdown, as `convdepth compare HEAD` gives it; or why there is none.
    """
    with Repo(str(folder)) as repo:
        cache = Path(repo.cache.local_cache_dir)
    try:
        states = read_state("HEAD", cache, folder), read_state(None, cache, folder)
        return to_markdown(compare(*states), CHANGES)
    except ConvdepthError as error:  # as before the first commit with results
        return f"Not compared: {error}"


def _data_url(path: Path) -> str:
    with Image.open(path) as figure:
        figure.thumbnail((FIGURE_PIXELS, FIGURE_PIXELS))
        content = io.BytesIO()
        figure.save(content, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"


@contextlib.contextmanager
def best_effort(what: str) -> Iterator[None]:
    """Log what goes wrong in the block, and go on; a server that is gone holds up nothing.

    Args:
        what: Names the artifact in the log.
    """
    try:
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
            yield
    except Exception as error:
        get_run_logger().warning("artifact %s: not shown in Prefect: %s", what, error)
