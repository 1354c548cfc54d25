"""What a training reports."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from convdepth.training import progress
from convdepth.training.progress import TrainingProgress

LOGS = {"loss": 0.07031, "accuracy": 0.97854}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that stands still until the test moves it."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock.now)
    return clock


def test_a_log_has_one_line_for_each_epoch_with_speed_and_time_left(
    clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    with TrainingProgress("cnn3", epochs=12, images=60_000, done=3) as report:
        for seconds in (50, 60):
            clock.now += seconds
            report.batch_done(128, LOGS)
            report.epoch_done(LOGS)
    first, second = capsys.readouterr().out.splitlines()
    assert first == "cnn3  epoch  4/12  loss 0.0703  accuracy 0.9785  1,200 images/s  6:40 left"
    assert second == "cnn3  epoch  5/12  loss 0.0703  accuracy 0.9785  1,000 images/s  6:25 left"


def test_a_terminal_shows_the_batch_in_a_bar(
    clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=160)
    monkeypatch.setattr(progress, "Console", lambda **_: terminal)
    with TrainingProgress("cnn3", epochs=2, images=256) as report:
        clock.now += 1
        report.batch_done(128, LOGS)
        report.bar.refresh()
    assert "cnn3  epoch 1/2" in screen.getvalue()
    assert "128 images/s  0:03 left" in screen.getvalue()
