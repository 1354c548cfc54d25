"""The progress of a training, with live curves beside the bar.

No stage imports this module: trainings get it from the command line, so it is no part of the code
on which their results depend.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from convdepth.training.progress import TrainingProgress
from convdepth.workspace.live_curves import LiveCurves
from convdepth.workspace.locks import find_project


def live_progress(output: Path) -> type[TrainingProgress]:
    """Return the progress of trainings that write ``output``; outside a project, without curves."""
    if (found := find_project(output.parent)) is None:
        return TrainingProgress
    project = found

    class LiveProgress(TrainingProgress):
        def __enter__(self) -> Self:
            self.curves = LiveCurves(project, self.name, self.epochs, self.done)
            return super().__enter__()

        def __exit__(self, *error: object) -> None:
            super().__exit__(*error)
            if error[0] is None:
                self.curves.remove()

        def epoch_done(self, logs: Mapping[str, float]) -> None:
            super().epoch_done(logs)
            self.curves.add(logs)

    return LiveProgress
