"""The learning curves of a training, on the page of its task."""

import io
from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

import pandas as pd
from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate

from convdepth.evaluation.results import HISTORY_COLUMNS
from pipelines.reporting.artifacts import best_effort, data_url


def publish_curves(outs: Iterable[Path]) -> None:
    """Show the history among a training's outputs as an artifact of the current task alone."""
    with best_effort("curves"):
        for path in (out for out in outs if out.suffix == ".csv" and out.is_file()):
            history = pd.read_csv(path)
            if list(history.columns) != HISTORY_COLUMNS:
                continue
            # The file of a seed is in the folder of its network.
            name = f"{path.parent.name}-{path.stem}" if path.stem.isdigit() else path.stem
            accuracy = history["val_accuracy"].iloc[-1]
            title = f"{name}: {accuracy:.2%} validation accuracy after epoch {len(history)}"
            with get_client(sync_client=True) as client:
                client.create_artifact(
                    ArtifactCreate(
                        key=f"curves-{name.lower().replace('_', '-')}",
                        type="markdown",
                        description=title,
                        data=f"# {title}\n\n![loss and accuracy by epoch]({_draw(history)})",
                        task_run_id=UUID(runtime.task_run.get_id()),
                    )
                )


def _draw(history: pd.DataFrame) -> str:
    from matplotlib.figure import Figure  # noqa: PLC0415  # it takes a second

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    scales = (("loss", "loss (nats)", 1), ("accuracy", "accuracy (%)", 100))
    for axes, (column, label, factor) in zip(figure.subplots(1, 2), scales, strict=True):
        for prefix, name, line in (("", "training", "--"), ("val_", "validation", "-")):
            axes.plot(history["epoch"], history[prefix + column] * factor, line, label=name)
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(visible=True, color="#E5E5E5")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return data_url(picture)
