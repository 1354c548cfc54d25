"""How a training reports: a bar on a terminal, and one line per epoch in every log."""

import time
from collections.abc import Mapping
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from convdepth.training.loop import Progress


class TrainingProgress(Progress):
    """Shows one training. Times never go to a result, only to the terminal and the log."""

    def __init__(self, name: str, epochs: int, images: int, done: int = 0) -> None:
        super().__init__(name, epochs, images, done)
        self.epoch = done + 1
        self.started = self.epoch_started = time.monotonic()
        self.console = Console(highlight=False, soft_wrap=True)
        self.bar = Bar(
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

    def __exit__(self, *error: object) -> None:
        """Remove the bar."""
        self.bar.stop()

    def batch_done(self, images: int, logs: Mapping[str, float]) -> None:
        """Move the bar."""
        note = f"{_format(logs)}  {self._pace(images)}"
        self.bar.update(self.task, completed=images, description=self._title(), note=note)

    def epoch_done(self, logs: Mapping[str, float]) -> None:
        """Print the line of an epoch."""
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
        minutes, seconds = divmod(round(left * (now - self.started) / done), 60)
        return f"{speed:,.0f} images/s  {minutes}:{seconds:02} left"


def _format(logs: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in logs.items())
