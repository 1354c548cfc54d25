"""How a training reports: a bar on a terminal, and one line per epoch in every log."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn


class TrainingProgress:
    """Reports on one training; a context manager, so that the bar goes when the training ends.

    Times are of this machine and moment: they go to the terminal and the log, never to a result.
    """

    def __init__(self, name: str, epochs: int, images: int, done: int = 0) -> None:
        """Set up.

        Args:
            name: The architecture.
            epochs: How many there will be.
            images: Training images in one epoch.
            done: Epochs that were done before, by a training that was interrupted.
        """
        self.name, self.epochs, self.images, self.done = name, epochs, images, done
        self.epoch = done + 1
        self.started = self.epoch_started = time.monotonic()
        self.console = Console(highlight=False, soft_wrap=True)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            disable=not self.console.is_terminal,
            transient=True,
        )
        self.task = self.bar.add_task("", total=images, note="")

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.bar.stop()

    def batch_done(self, images: int, logs: Mapping[str, float]) -> None:
        """Show the state within an epoch; on a terminal only.

        Args:
            images: How many images of this epoch are done.
            logs: Means over this epoch so far, by name.
        """
        self.bar.update(
            self.task,
            completed=images,
            description=self._title(),
            note=f"{_format(logs)}  {self._pace(images)}",
        )

    def epoch_done(self, logs: Mapping[str, float]) -> None:
        """Print the line of an epoch that has ended.

        Args:
            logs: The epoch's means by name, those of the validation included.
        """
        self.console.print(f"{self._title()}  {_format(logs)}  {self._pace(self.images)}")
        self.epoch += 1
        self.epoch_started = time.monotonic()

    def _title(self) -> str:
        return f"{self.name}  epoch {self.epoch:>{len(str(self.epochs))}}/{self.epochs}"

    def _pace(self, images: int) -> str:
        now = time.monotonic()
        speed = images / (now - self.epoch_started)
        done = (self.epoch - self.done - 1) * self.images + images
        left = (self.epochs - self.done) * self.images - done
        return f"{speed:,.0f} images/s  {_clock(left * (now - self.started) / done)} left"


def _format(logs: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in logs.items())


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"
