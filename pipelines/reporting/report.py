"""The one page of a run: what it found, what it took, and how recent runs compare.

Facts are found here; their words are in `report.md.j2`. Prefect's pages sort the artifacts of a run
by random ids, so the report comes first because a finished run has no other artifact.
"""

import html
import json
import platform
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from prefect import runtime
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.filters import ArtifactFilter, FlowFilter, FlowRunFilter
from prefect.client.schemas.objects import Artifact, FlowRun
from prefect.client.schemas.sorting import ArtifactSort, FlowRunSort
from prefect.utilities.urls import url_for

from convdepth.config.params import read_params
from convdepth.core.text import counted
from convdepth.report.formats import percent, points, short, signed
from convdepth.workspace.git import git
from convdepth.workspace.process_tree import StoppedError
from pipelines.dvc.graph import read_graph
from pipelines.reporting.artifacts import best_effort, compare_answers, data_url
from pipelines.reporting.flow_run import device_name
from pipelines.reporting.regressions import Change, as_number, read_metrics

KEY = "report"
RUNS = 10  # recent runs in the table of accuracies
FIGURE = "accuracy.png"  # the figure of all accuracies
WEB_PATHS = {"github.com": "tree", "gitlab.com": "-/tree"}  # between repository and branch


@dataclass
class Report:
    """What a run did."""

    commit: str  # that ran, and with which metrics are compared; empty if unknown
    folder: Path  # the root of the project in which the stages ran
    outcomes: Mapping[str, str | Exception] = field(default_factory=dict)  # of each ended stage
    seconds: Mapping[str, float] = field(default_factory=dict)  # of each of them
    branch: str | None = None  # the published branch with the results
    registered: Sequence[str] = ()  # what was done with each new version of a model
    changes: Sequence[Change] = ()  # from `changes_since`; empty if the metrics were not judged
    device: str = ""  # the name of the GPU, or CPU
    error: str | None = None  # why the run failed

    @property
    def regressions(self) -> list[Change]:
        """The changes that are worse than allowed; losses of accuracy first, the largest first."""
        worse = [change for change in self.changes if change.is_regression]
        return sorted(worse, key=lambda each: (each.metric != "accuracy", each.difference or -1))

    @property
    def failed(self) -> list[str]:
        """The stages that failed; not those that were stopped with the flow."""
        ended = self.outcomes.items()
        errors = {name: each for name, each in ended if isinstance(each, Exception)}
        return [name for name, error in errors.items() if not isinstance(error, StoppedError)]


@contextmanager
def reported(commit: str, folder: Path = Path()) -> Iterator[Report]:
    """Yield a report to be filled in; publish it at the end, and also after an error."""
    report = Report(commit, folder, device=device_name())
    try:
        yield report
    except Exception as error:
        report.error = str(error) or type(error).__name__
        publish_report(report)
        raise
    publish_report(report)


def publish_report(report: Report) -> None:
    """Show the report as the only artifact of the current flow run; the progress goes."""
    with best_effort(KEY), get_client(sync_client=True) as client:
        run = client.read_flow_run(UUID(runtime.flow_run.id))
        facts = _facts(report)
        accuracies = {row["network"]: row["accuracy"] for row in facts["rows"]}
        kept = {name: str(each) for name, each in accuracies.items() if each is not None}
        with best_effort("recent runs"):
            facts["runs"] = _recent_runs(client, run, kept)
        words = _words()
        artifact = ArtifactCreate(
            key=KEY,
            type="markdown",
            description=words.headline(report),
            data=words.page(report, facts, run, platform.node()),
            metadata_=kept,
            flow_run_id=run.id,
        )
        client.create_artifact(artifact)
        for progress in _find(client, "progress", [run]):
            client.delete_artifact(progress.id)


def _facts(report: Report) -> dict[str, Any]:
    """Find what the report shows beside its own fields; what cannot be read is left out."""
    facts: dict[str, Any] = dict.fromkeys(("subject", "url", "figure", "answers"), "")
    facts |= {"rows": [], "runs": []}
    folder = report.folder
    if report.commit:
        with best_effort("commit"):
            facts["subject"] = git("log", "-1", "--format=%s", report.commit, folder=folder)
    if report.branch:
        with best_effort("branch"):
            origin = git("remote", "get-url", "origin", folder=folder)
            facts["url"] = branch_url(origin, report.branch)
    if report.outcomes:
        with best_effort("accuracies"):
            stages = read_graph(folder).stages
            # Other outputs are not of this run, but of the commit.
            ended = [name for name, each in report.outcomes.items() if isinstance(each, str)]
            outs = [out for name in ended if name in stages for out in stages[name].outs]
            facts["rows"] = list(_rows(report, outs))
            figures = (path for out in outs for path in out.rglob(FIGURE))
            facts["figure"] = next(map(data_url, figures), "")
        with best_effort("comparison"):
            facts["answers"] = compare_answers(folder, report.commit)
    return facts


def _rows(report: Report, outs: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """Yield the table's row of each network of the run; it has no metrics if not evaluated."""
    before, after = read_metrics(report.folder, report.commit), dict[str, dict[str, Any]]()
    for out in (out for out in outs if out.suffix == ".json" and out.is_file()):
        # An evaluation writes scores, which DVC compares, and metrics, which have the interval too.
        if "accuracy" in (content := json.loads(out.read_bytes())):
            after.setdefault(out.stem, {}).update(content)
    worse = {change.network for change in report.changes if change.is_regression}
    networks = read_params(report.folder / "params.yaml").architectures
    touched = {stage.partition("@")[2] for stage in report.outcomes}
    for name in (name for name in networks if name in touched):
        metrics = after.get(name, {})
        accuracy = as_number(metrics.get("accuracy"))
        former = as_number(before.get(name, {}).get("accuracy"))
        change = None if accuracy is None or former is None else accuracy - former
        row = {"network": name, "metrics": metrics, "is_worse": name in worse}
        yield row | {"accuracy": accuracy, "change": change}


def _recent_runs(
    client: SyncPrefectClient, run: FlowRun, kept: Mapping[str, str]
) -> list[tuple[FlowRun, str | None, Mapping[str, str]]]:
    """Return the latest runs of the same deployment, or else flow: page and accuracies of each."""
    same = {"any_": [run.deployment_id]} if run.deployment_id else {"is_null_": True}
    begun = {"start_time": {"is_null_": False}}
    runs = client.read_flow_runs(
        flow_filter=FlowFilter.model_validate({"id": {"any_": [run.flow_id]}}),
        flow_run_filter=FlowRunFilter.model_validate({"deployment_id": same, **begun}),
        sort=FlowRunSort.START_TIME_DESC,
        limit=RUNS,
    )
    found = {each.flow_run_id: each.metadata_ or {} for each in _find(client, KEY, runs)}
    found[run.id] = dict(kept)
    return [(each, url_for(each), found.get(each.id, {})) for each in runs]


def _find(client: SyncPrefectClient, key: str, runs: Iterable[FlowRun]) -> list[Artifact]:
    wanted = {"key": {"any_": [key]}, "flow_run_id": {"any_": [run.id for run in runs]}}
    chosen = ArtifactFilter.model_validate(wanted)
    return client.read_artifacts(artifact_filter=chosen, sort=ArtifactSort.CREATED_DESC)


def branch_url(origin: str, branch: str) -> str | None:
    """Return the web page of a branch of a repository on GitHub or GitLab; None elsewhere."""
    address = urlsplit(re.sub(r"^git@([\w.-]+):", r"ssh://git@\1/", origin))
    if address.scheme not in ("https", "ssh") or address.hostname not in WEB_PATHS:
        return None
    repository = address.path.rstrip("/").removesuffix(".git")
    return f"https://{address.hostname}{repository}/{WEB_PATHS[address.hostname]}/{branch}"


def _words() -> Any:
    """Return the macros of the template."""
    environment = Environment(  # noqa: S701  # states are plain text; the page escapes by `plain`
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for form in (counted, duration, percent, plain, points, short, signed):
        environment.filters[form.__name__] = form
    return environment.get_template("report.md.j2").module


def plain(text: str) -> str:
    """Escape Markdown and HTML in a text from outside."""
    return html.escape(re.sub(r"([\\`*_\[\]|~])", r"\\\1", text), quote=False)


def duration(seconds: float) -> str:
    """Write a duration as hours, minutes and seconds, such as ``0:03:05``."""
    return str(timedelta(seconds=round(seconds)))
