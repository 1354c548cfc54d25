"""The report of a run and the learning curves of its trainings, as a real server has them."""

import base64
import contextlib
import io
import json
import platform
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import serving
from PIL import Image
from prefect import flow, runtime, task
from prefect.context import SyncClientContext
from toy import STAGES

from convdepth.evaluation.results import HISTORY_COLUMNS
from convdepth.workspace.process_tree import StoppedError
from pipelines.dvc.stage import Outcome, StageError
from pipelines.reporting.artifacts import Progress
from pipelines.reporting.curves import publish_curves
from pipelines.reporting.regressions import changes_since
from pipelines.reporting.report import Report, branch_url, publish_report, reported
from project import Project, edit_yaml

DATA_URL = re.compile(r"data:image/png;base64,([\w+/=]+)")


def make_report(project: Project, **changes: Any) -> Report:
    """A report on a project in which everything was restored."""
    outcomes: dict[str, Any] = dict.fromkeys(STAGES, Outcome.RESTORED)
    commit = project.run("git", "rev-parse", "HEAD").strip()
    fields = {
        "outcomes": outcomes,
        "seconds": {name: 1.0 + place for place, name in enumerate(STAGES)},
        "commit": commit,
        "folder": project.folder,
        "branch": None,
        "changes": (),
        "device": "a GPU",
        "error": None,
    }
    return Report(**(fields | changes))


def run(name: str, work: Callable[[], Any]) -> list[dict[str, Any]]:
    """Do work in a flow; return the artifacts on the page of its run."""

    @flow(name=name)
    def in_flow() -> str:
        work()
        return str(runtime.flow_run.id)

    return serving.records("artifacts", flow_run_id=in_flow())


def publish(report: Report, name: str = "report-test") -> dict[str, Any]:
    """Publish a report at the end of a run with some progress; return its artifact."""

    def work() -> None:
        Progress(2).update(2)
        publish_report(report)

    (only,) = run(name, work)
    assert only["key"] == "report"
    return only


def cells(page: str) -> list[list[str]]:
    rows = (line.strip("|").split("|") for line in page.splitlines() if line.startswith("|"))
    return [[cell.strip() for cell in row] for row in rows]


@pytest.mark.usefixtures("harness")
def test_a_run_has_one_page_with_its_findings_and_recent_runs(ran: Project) -> None:
    ran.run("git", "remote", "add", "origin", "git@github.com:someone/toy.git")
    (ran.folder / "note").touch()
    ran.commit("Results of | <b>*all*</b>")
    assert publish(make_report(ran))["metadata_"] == {"one": "0.5", "two": "0.5"}
    worse = {"accuracy": 0.4321, "loss": 1.5, "status": "collapsed"}
    (ran.folder / "one.json").write_text(json.dumps(worse))
    # The interval is in another output of the stage, which DVC does not compare.
    edit_yaml(ran.folder / "dvc.yaml", {"stages.evaluate.do.outs": ["all/${key}.json"]})
    bounds = {"accuracy_low": 0.4224, "accuracy_high": 0.4418}
    (ran.folder / "all").mkdir()
    (ran.folder / "all" / "one.json").write_text(json.dumps(worse | bounds))
    outcomes = make_report(ran).outcomes | {"train@one": Outcome.RAN}
    branch = "results/2026-11-28"
    changes = changes_since("HEAD", ran.folder)
    report = make_report(ran, outcomes=outcomes, branch=branch, changes=changes, error="worse")
    found = publish(report)
    page, (picture,) = DATA_URL.sub("", found["data"]), DATA_URL.findall(found["data"])
    assert max(Image.open(io.BytesIO(base64.b64decode(picture))).size) == 1200
    assert not re.search(r"\d\.\d{3}", page)
    assert "<b>" not in page
    for words in (found["description"], page.splitlines()[0]):
        assert "one" in words
        assert "6.79" in words
    for fact in (report.commit[:7], platform.node(), "a GPU", "tolerances.accuracy", "0.30"):
        assert fact in page
    assert f"(https://github.com/someone/toy/tree/{branch})" in page
    rows = cells(page)
    assert ["one", "43.21% (42.24 to 44.18)", "\N{MINUS SIGN}6.79"] in [row[:3] for row in rows]
    assert ["collapsed", "**regressed**"] in [row[3].split(", ") for row in rows if len(row) == 4]
    nights = [row[2:] for row in rows if "/runs/flow-run/" in row[0]]
    assert nights == [["43.21%", "50.00%"], ["50.00%", "50.00%"]]
    stages = [row for row in rows if row[0].strip("`") in STAGES]
    assert [row[0].strip("`") for row in stages] == STAGES[::-1]
    assert ["`train@one`", "0:00:03", "ran"] in stages
    assert not [row for row in cells(publish(report, "another")["data"]) if row[2:] == nights[1]]


@pytest.mark.usefixtures("harness")
def test_a_failed_run_shows_no_results_of_the_commit_as_its_own(ran: Project) -> None:
    error = StageError("train@two", 6, ["the loss", "is NaN"])
    outcomes: dict[str, Any] = dict.fromkeys(["train@one", "evaluate@one"], Outcome.RAN)
    outcomes |= {"train@two": error, "train@three": StoppedError("stopped")}
    outcomes["studies/dvc.yaml:study@one"] = Outcome.RAN  # of another graph
    report = make_report(ran, outcomes=outcomes, error=str(error))
    found = publish(report)
    assert found["metadata_"] == {"one": "0.5"}
    assert ["two", "", "", "not evaluated"] in cells(found["data"])
    assert not DATA_URL.search(found["data"])  # `plot` did not run
    assert "is NaN" in found["data"]
    assert "train@two" in found["description"]
    assert "train@three" not in found["description"]
    outcomes = {"train@two": Outcome.RAN}  # of `train-on-worker`: no other network is shown
    assert not [
        row
        for row in cells(publish(make_report(ran, outcomes=outcomes))["data"])
        if row[0] == "one"
    ]

    def without_words() -> None:
        with contextlib.suppress(TimeoutError), reported(report.commit, ran.folder):
            raise TimeoutError

    (timeout,) = run("without words", without_words)
    assert "TimeoutError" in timeout["description"]
    (ran.folder / "dvc.yaml").write_text("stages: {")
    unread = publish(
        make_report(ran, error="dvc.yaml: line 1\nis *wrong*", folder=Path("gone"), commit="")
    )
    assert "dvc.yaml: line 1" in unread["description"]
    assert unread["metadata_"] == {}

    def without_a_server() -> None:
        context = SyncClientContext.get()
        assert context is not None
        client = context.client._client
        server, client.base_url = client.base_url, httpx.URL("http://127.0.0.1:9/api")
        begun = time.monotonic()
        publish_report(report)
        client.base_url = server
        assert time.monotonic() - begun < 20  # Prefect's retries take minutes

    assert run("lost", without_a_server) == []


@pytest.mark.usefixtures("harness")
def test_curves_are_on_the_page_of_the_training_only(tmp_path: Path) -> None:
    history = tmp_path / "cnn1"
    history.mkdir()
    rows = [",".join(HISTORY_COLUMNS), "1,0.5,0.8,0.4,0.9", "2,0.25,0.9,0.2,0.975"]
    for name in ("cnn_3.csv", "cnn1/2.csv"):
        (tmp_path / name).write_text("\n".join(rows))
    (tmp_path / "table.csv").write_text("index,label\n0,1")
    (tmp_path / "broken.csv").write_bytes(b"\xff\xfe\x00")
    ids = []

    @task
    def train(*names: str) -> None:
        publish_curves(tmp_path / name for name in names)
        ids.append(str(runtime.task_run.id))

    def trainings() -> None:
        train("cnn_3.csv", "cnn1/2.csv", "table.csv", "missing.csv", "model.keras")
        train("broken.csv")

    assert run("curves", trainings) == []
    shown = {each["key"]: each for each in serving.records("artifacts", task_run_id=ids[0])}
    assert sorted(shown) == ["curves-cnn-3", "curves-cnn1-2"]
    assert "97.50%" in shown["curves-cnn-3"]["description"]
    (picture,) = DATA_URL.findall(shown["curves-cnn-3"]["data"])
    assert len(picture) < 100_000
    assert Image.open(io.BytesIO(base64.b64decode(picture))).width <= 1200
    assert serving.records("artifacts", task_run_id=ids[1]) == []


@pytest.mark.parametrize(
    ("origin", "page"),
    [
        ("https://github.com/me/it.git", "https://github.com/me/it/tree/results/1"),
        ("https://user:secret@github.com/me/it", "https://github.com/me/it/tree/results/1"),
        ("git@gitlab.com:a/b/it.git", "https://gitlab.com/a/b/it/-/tree/results/1"),
        ("ssh://git@github.com:22/me/it.git/", "https://github.com/me/it/tree/results/1"),
        ("git@github.com.example.org:me/it.git", None),
        ("https://git.example.org/github.com/it.git", None),
        ("/srv/github.com/it.git", None),
    ],
)
def test_only_sure_web_addresses_are_links(origin: str, page: str | None) -> None:
    assert branch_url(origin, "results/1") == page
