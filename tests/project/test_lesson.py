"""The notebook for teachers: it runs on the results in git, and with its switch on it trains."""

import json
import shutil
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import marimo
import pandas as pd
import pytest

from conftest import PROJECT

METRICS = PROJECT / "metrics"


def load(folder: Path) -> marimo.App:
    spec = spec_from_file_location("lesson", folder / "docs" / "lesson.py")
    assert spec is not None
    assert spec.loader is not None
    lesson = module_from_spec(spec)
    spec.loader.exec_module(lesson)
    app: marimo.App = lesson.app
    return app


def test_by_default_it_shows_the_results_in_git() -> None:
    before = set(sys.modules)
    _, found = load(PROJECT).run()
    assert "tensorflow" not in set(sys.modules) - before
    assert "trained" not in found
    scores = pd.read_csv(METRICS / "tables" / "scores.csv").set_index("network")
    assert found["collapsed"] == scores.index[scores["status"] == "collapsed"].tolist()
    assert len(found["signal"].axes[0].lines) == len(scores)
    for key, accuracy in zip(("first", "second"), found["accuracies"], strict=True):
        path = METRICS / "recipe" / "recipe" / found[key].value / "1.scores.json"
        assert accuracy == pytest.approx(json.loads(path.read_text())["accuracy"])


@pytest.mark.real
def test_with_the_switch_on_it_trains(tmp_path: Path, raw: Path) -> None:
    for name in ("docs/lesson.py", "params.yaml", "data/notebook.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(PROJECT / name, tmp_path / name)
    (tmp_path / "metrics").symlink_to(METRICS)
    (tmp_path / "data" / "raw").symlink_to(raw)
    _, found = load(tmp_path).run(defs={"trains": True, "images": 1000, "epochs": 1})
    statuses = found["trained"]["status"]
    assert list(statuses.index) == ["shallow", "deep", "deep_without_dropout"]
    assert statuses["shallow"] == "ok"
    assert statuses["deep"] == "collapsed"
    assert len(found["digits"].axes) == 20
