"""The flow `tune`: all networks, several at once, each search a process; here with made-up ones."""

import json
import sys

import pytest
import toy
from ruamel.yaml import YAML

from pipelines.execution.runner import FlowError
from pipelines.flows import tune as flow
from project import Project

SETTINGS = {"learning_rate": 0.004, "schedule": "cosine", "batch_normalization": True}

FOUND = {"notebook": {"accuracy": 0.98}, "best": {"accuracy": 0.99, "settings": SETTINGS}}

SEARCH = """
import json, pathlib, sys, time
name, path, found = sys.argv[1:]
log = pathlib.Path("log.txt")
with log.open("a") as file:
    print("begin", name, file=file)
if pathlib.Path(f"fail-{name}").exists():
    sys.exit("error: no such luck")
while pathlib.Path("meet").exists() and log.read_text().count("begin") < 2:
    time.sleep(0.05)
pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
pathlib.Path(path).write_text(found)
"""


@pytest.mark.usefixtures("harness", "quick_dvc")
def test_networks_are_searched_side_by_side_and_the_settings_are_shown(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = flow.command

    def command(name: str) -> list[str]:
        words = whole(name)
        assert words[:3] == ["convdepth", "tune", name]
        summary = words[words.index("--summary") + 1]
        return [sys.executable, "-c", SEARCH, name, summary, json.dumps(FOUND)]

    monkeypatch.setattr(flow, "command", command)
    toy.mark(project, "fail-two")
    state = flow.tune(jobs=1, return_state=True)
    with pytest.raises(FlowError, match=r"(?s)tune@two.*error: no such luck"):
        state.result()
    # The network with the most arithmetic comes first, and its failure does not stop the other.
    assert toy.log(project) == ["begin two", "begin one"]
    assert flow.tune(["one"], return_state=True).message == "1 searched"
    (project.folder / "fail-two").unlink()
    (project.folder / "log.txt").unlink()
    capsys.readouterr()
    toy.mark(project, "meet")  # each search waits until the other one has begun
    assert flow.tune(jobs=2, return_state=True).message == "2 searched"
    text = capsys.readouterr().out.partition("  settings:\n")[2]
    assert YAML(typ="safe").load(text) == {"one": SETTINGS, "two": SETTINGS}
