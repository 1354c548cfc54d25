"""What a flow shows in Prefect: its progress, and the parts of its report.

Nothing of it is a result: where Prefect cannot take it, the flow logs a warning and goes on.
"""

import base64
import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import cast
from uuid import UUID

from PIL import Image
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.logging import get_run_logger
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from convdepth.commands.compare import compare, read_states
from convdepth.commands.compare_output import CHANGES, to_markdown
from convdepth.core.errors import ConvdepthError

FIGURE_PIXELS = 1200  # the longer side of a figure in Prefect


class Progress:
    """The percentage of a flow's tasks that are done, as an artifact."""

    def __init__(self, tasks: int) -> None:
        self.tasks = tasks
        self.artifact: UUID | None = None
        with best_effort("progress"):
            self.artifact = cast(UUID, create_progress_artifact(0.0, key="progress"))

    def update(self, done: int) -> None:
        """Show how many tasks are done."""
        if self.artifact is not None:
            with best_effort("progress"):
                update_progress_artifact(self.artifact, 100.0 * done / self.tasks)


def compare_answers(folder: Path = Path(), commit: str = "") -> str:
    """Return the Markdown table of `convdepth compare COMMIT`, or the reason of its absence."""
    try:
        changes = compare(*read_states([commit or "HEAD", None], folder))
        return to_markdown(changes, CHANGES) if changes else ""
    except ConvdepthError as error:  # as before the first commit with results
        return f"Not compared: {error}"


def data_url(path: Path | io.BytesIO) -> str:
    """Return a PNG as an address that holds the picture, at most `FIGURE_PIXELS` wide and high."""
    with Image.open(path) as figure:
        figure.thumbnail((FIGURE_PIXELS, FIGURE_PIXELS))
        content = io.BytesIO()
        figure.save(content, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"


@contextlib.contextmanager
def best_effort(what: str) -> Iterator[None]:
    """Log what goes wrong with an artifact, and go on; a server that is gone is not waited for.

    One more attempt, since a busy server on SQLite answers 503 for a moment.
    """
    try:
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 1}):
            yield
    except Exception as error:
        get_run_logger().warning("artifact %s: not shown in Prefect: %s", what, error)
