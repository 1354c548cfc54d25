"""Live curves: the epochs of each running training, in a file that is no output of a stage.

    live/<name>.csv   one row per finished epoch, and a ``process`` that trains

Git ignores the files, and the plots of ``dvc.yaml`` include them. A file appears after the first
epoch and is removed when the training has ended well; a killed training leaves it readable.
"""

import contextlib
import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

FOLDER = Path("live")
CURVES = ("loss", "accuracy", "val_loss", "val_accuracy")
COLUMNS = ("epoch", *CURVES, "epochs", "process")  # ``epochs``: how many there are to be
ELSEWHERE = (".dvc/tmp/*/*", ".dvc/tmp/exps/*/*")  # clones of flows, and `dvc exp run --temp`
Row = Mapping[str, float]


class LiveCurves:
    """The file of one training; rows after the last ``done`` epoch are of an interrupted run."""

    def __init__(self, project: Path, title: str, epochs: int, done: int) -> None:
        self.path = project / FOLDER / f"{title.replace(' ', '-')}.csv"
        self.epochs = epochs
        kept = [row for row in _read_rows(self.path) if row["epoch"] <= done]
        self.text = _lines([dict(zip(COLUMNS, COLUMNS, strict=True)), *kept])
        self.epoch = done

    def add(self, logs: Mapping[str, float]) -> None:
        """Append the row of an epoch; a file that cannot be written ends no training."""
        self.epoch += 1
        known = {"epoch": self.epoch, "epochs": self.epochs, "process": os.getpid()}
        line = _lines([{**logs, **known}])
        with contextlib.suppress(OSError):
            if self.text:  # first without the rows that this run repeats
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self.path.write_text(self.text, encoding="utf-8")
                self.text = ""
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line)

    def remove(self) -> None:
        """Remove the file: the history is an output now."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Training:
    """A training with live curves; ``where`` is its clone, such as ``clones/1``, or empty."""

    name: str
    where: str
    rows: list[Row]
    seconds: float  # time of the last epoch, since 1970

    @property
    def runs(self) -> bool:
        """Whether its process lives; otherwise it was interrupted."""
        return bool(psutil.pid_exists(int(self.rows[-1]["process"])))


def read_trainings(project: Path) -> list[Training]:
    """Read all live curves of a project and of the clones in it."""
    files = [*project.glob(f"{FOLDER}/*.csv")]
    for pattern in ELSEWHERE:
        files += project.glob(f"{pattern}/{FOLDER}/*.csv")
    return list(_read(project, sorted(files)))


def _read(project: Path, files: list[Path]) -> Iterator[Training]:
    for path in files:
        with contextlib.suppress(OSError):  # the training has just ended
            if rows := _read_rows(path):
                where = "/".join(path.parents[1].relative_to(project).parts[-2:])
                yield Training(path.stem, where, rows, path.stat().st_mtime)


def _lines(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    csv.DictWriter(text, COLUMNS, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _read_rows(path: Path) -> list[Row]:
    """Read the rows of a file; none if it is missing or of another kind."""
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
        return [{key: float(row[key]) for key in COLUMNS} for row in rows]
    except (OSError, ValueError, KeyError, TypeError):
        return []
