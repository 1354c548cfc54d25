"""The flow `tune`: all networks, several at once, each search a process; here with made-up ones."""

import json
import sys

import pytest
import toy
from ruamel.yaml import YAML

from convdepth.core.errors import ParameterError
from pipelines.execution.runner import FlowError
from pipelines.flows import tune as search
from project import Project

pytestmark = [
    pytest.mark.usefixtures("harness"),
    # DVC 3.67 builds its graph with a call that its library pygtrie will drop.
    pytest.mark.filterwarnings("ignore:_NoneStep.value will soon:DeprecationWarning"),
]

SETTINGS = {"learning_rate": 0.004, "schedule": "cosine", "batch_normalization": True}

WORK = """
import json, pathlib, sys, time
name, path = sys.argv[1:]
log = pathlib.Path("log.txt")
with log.open("a") as file:
    print("begin", name, file=file)
print(name, "is at work", flush=True)
if pathlib.Path(f"fail-{name}").exists():
    sys.exit("error: no such luck")
while pathlib.Path("meet").exists() and log.read_text().count("begin") < 2:
    time.sleep(0.05)
found = {"notebook": {"accuracy": 0.98}, "best": {"accuracy": 0.99, "settings": SETTINGS}}
pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
pathlib.Path(path).write_text(json.dumps(found))
with log.open("a") as file:
    print("end", name, file=file)
""".replace("SETTINGS", repr(SETTINGS))


@pytest.fixture
def project(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The made-up project, in which a search takes no time."""
    monkeypatch.chdir(project.folder)
    whole = search.command

    def made_up(name: str) -> list[str]:
        words = whole(name)
        assert words[:3] == ["convdepth", "tune", name]
        return [sys.executable, "-c", WORK, name, words[words.index("--summary") + 1]]

    monkeypatch.setattr(search, "command", made_up)
    return project


def test_all_networks_are_searched_side_by_side_and_the_settings_are_shown(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    toy.mark(project, "meet")  # each search waits until the other one has begun
    state = search.tune(jobs=2, return_state=True)
    assert state.message == "2 searched"
    text = capsys.readouterr().out.partition("  settings:\n")[2]
    settings = YAML(typ="safe").load(text)
    assert settings == {"one": SETTINGS, "two": SETTINGS}
    written = json.loads((project.folder / "metrics/studies/tuning/one.json").read_text())
    assert written["best"]["accuracy"] == 0.99


def test_the_network_with_the_most_arithmetic_is_searched_first(project: Project) -> None:
    assert search.tune(jobs=1, return_state=True).is_completed()
    assert toy.log(project) == ["begin two", "end two", "begin one", "end one"]


def test_one_failed_search_does_not_stop_the_others(project: Project) -> None:
    toy.mark(project, "fail-two")
    state = search.tune(jobs=1, return_state=True)
    assert state.is_failed()
    assert "tune@two: failed with exit code 1" in str(state.message)
    assert "error: no such luck" in str(state.message)
    with pytest.raises(FlowError):
        state.result()
    assert toy.log(project) == ["begin two", "begin one", "end one"]


def test_only_some_networks_may_be_searched(project: Project) -> None:
    assert search.tune(["one"], return_state=True).message == "1 searched"
    assert "begin two" not in toy.log(project)


def test_a_network_that_is_none_is_told_before_any_search(project: Project) -> None:
    state = search.tune(["one", "three"], return_state=True)
    with pytest.raises(ParameterError, match="three"):
        state.result()
    assert toy.log(project) == []
