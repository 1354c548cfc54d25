"""The one page of a run: what it found, what it took, and how recent nights compare.

Facts are found here; their words stand in `report.md.j2`. Prefect's pages sort the artifacts of a
run by random ids, so the report comes first because a finished run has no other one.
"""

import html
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from prefect import runtime
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas import filters as only
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import ArtifactSort, FlowRunSort
from prefect.utilities.urls import url_for

from convdepth.config.params import read_params
from convdepth.core.text import counted
from convdepth.report import formats
from convdepth.workspace.git import git
from pipelines.core.process_tree import StoppedError
from pipelines.dvc.graph import read_graph
from pipelines.reporting.artifacts import best_effort, compare_answers, data_url
from pipelines.reporting.regressions import Change, as_number, read_metrics

KEY = "report"
NIGHTS = 10  # recent runs in the table of accuracies
FIGURE = "*depth.png"  # the figure of all accuracies
WEB_PATHS = {"github.com": "tree", "gitlab.com": "-/tree"}
"""What stands between the repository and the branch in a web address, by host."""


@dataclass(frozen=True)
class Report:
    """What a run did.

    Attributes:
        outcomes: Of each stage that ended: `Outcome`, or the error.
        seconds: Of each stage that ended.
        commit: The commit that ran, with which the metrics are compared; empty if unknown.
        folder: The root of the project in which the stages ran.
        branch: The published branch with the results.
        changes: From `changes_since`; empty if the metrics were not judged.
        device: Name of the GPU, or of the CPU.
        error: Why the run failed.
    """

    outcomes: Mapping[str, str | Exception]
    seconds: Mapping[str, float]
    commit: str
    folder: Path
    branch: str | None
    changes: Sequence[Change]
    device: str
    error: str | None

    @property
    def failed(self) -> list[str]:
        """The stages that failed; not those that were stopped with the flow."""
        return [
            name
            for name, outcome in self.outcomes.items()
            if isinstance(outcome, Exception) and not isinstance(outcome, StoppedError)
        ]

    @property
    def ran(self) -> list[str]:
        """The stages that ran, and were not restored or unchanged."""
        return [name for name, outcome in self.outcomes.items() if outcome == "ran"]

    @property
    def trained(self) -> list[str]:
        """The trainings among them."""
        return [name for name in self.ran if name.startswith("train@")]

    @property
    def regressions(self) -> list[Change]:
        """The metrics that became worse than allowed."""
        return [change for change in self.changes if change.is_regression]


def state_summary(report: Report) -> str:
    """Return one line for a state's message: verdict, branch and machine."""
    words: Any = _template().module
    return str(words.summary(report, platform.node()))


def publish_report(report: Report) -> None:
    """Show the report as the only artifact of the current flow run; the progress goes."""
    with best_effort(KEY), get_client(sync_client=True) as client:
        run = client.read_flow_run(UUID(runtime.flow_run.get_id()))
        words: Any = _template().module
        facts = _facts(report)
        kept = {
            row["network"]: str(row["accuracy"])
            for row in facts["rows"]
            if row["accuracy"] is not None
        }
        with best_effort("recent nights"):
            facts["nights"] = _read_nights(client, run, kept)
        facts["total"] = run.estimated_run_time.total_seconds()
        progress = only.ArtifactFilter(
            key=only.ArtifactFilterKey(any_=["progress"]),
            flow_run_id=only.ArtifactFilterFlowRunId(any_=[run.id]),
        )
        client.create_artifact(
            ArtifactCreate(
                key=KEY,
                type="markdown",
                description=words.headline(report),
                data=words.page(report, facts, platform.node()),
                metadata_=kept,
                flow_run_id=run.id,
            )
        )
        for each in client.read_artifacts(artifact_filter=progress, sort=ArtifactSort.ID_DESC):
            client.delete_artifact(each.id)


def _facts(report: Report) -> dict[str, Any]:
    """Find what the report shows beside its own fields; what cannot be read is left out."""
    facts: dict[str, Any] = {"subject": "", "rows": [], "figure": "", "answers": "", "nights": []}
    facts["url"] = None
    if report.commit:
        with best_effort("commit"):
            facts["subject"] = git("log", "-1", "--format=%s", report.commit, folder=report.folder)
    if report.branch:
        with best_effort("branch"):
            origin = git("remote", "get-url", "origin", folder=report.folder)
            facts["url"] = branch_url(origin, report.branch)
    if report.outcomes:
        with best_effort("accuracies"):
            outs = _fresh_outs(report)
            facts["rows"] = list(_rows(report, {out.stem for out in outs}))
            figures = [path for out in outs for path in out.rglob(FIGURE)]
            facts["figure"] = data_url(figures[0]) if figures else ""
        with best_effort("comparison"):
            facts["answers"] = compare_answers(report.folder)
    return facts


def _fresh_outs(report: Report) -> list[Path]:
    """Return the outputs of stages that did not fail; others may be those of the commit."""
    stages = read_graph(report.folder).stages
    ended = (name for name, each in report.outcomes.items() if not isinstance(each, Exception))
    return [out for name in ended for out in stages[name].outs]


def _rows(report: Report, fresh: set[str]) -> Iterator[dict[str, Any]]:
    """Yield the table's row of each network; accuracies are shares, None if not evaluated."""
    before, after = read_metrics(report.folder, report.commit), read_metrics(report.folder)
    worse = {change.network for change in report.regressions}
    for name in read_params(report.folder / "params.yaml").architectures:
        values = after.get(name, {}) if name in fresh else {}
        accuracy, former = (
            as_number(metrics.get("accuracy")) for metrics in (values, before.get(name, {}))
        )
        yield {
            "network": name,
            "accuracy": accuracy,
            "low": as_number(values.get("accuracy_low")),
            "high": as_number(values.get("accuracy_high")),
            "change": None if accuracy is None or former is None else accuracy - former,
            "status": values.get("status", "ok" if values else "not evaluated"),
            "is_worse": name in worse,
        }


def _read_nights(
    client: SyncPrefectClient, run: FlowRun, kept: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return the latest runs of the same deployment, or else flow, with their accuracies."""
    deployment = {"any_": [run.deployment_id]} if run.deployment_id else {"is_null_": True}
    runs = client.read_flow_runs(
        flow_filter=only.FlowFilter(id=only.FlowFilterId(any_=[run.flow_id])),
        flow_run_filter=only.FlowRunFilter(
            deployment_id=only.FlowRunFilterDeploymentId.model_validate(deployment),
            start_time=only.FlowRunFilterStartTime(is_null_=False),
        ),
        sort=FlowRunSort.START_TIME_DESC,
        limit=NIGHTS,
    )
    reports = only.ArtifactFilter(
        key=only.ArtifactFilterKey(any_=[KEY]),
        flow_run_id=only.ArtifactFilterFlowRunId(any_=[each.id for each in runs]),
    )
    found: dict[UUID | None, Mapping[str, str]] = {
        each.flow_run_id: each.metadata_ or {}
        for each in client.read_artifacts(artifact_filter=reports, sort=ArtifactSort.CREATED_DESC)
    }
    found[run.id] = kept
    return [
        {
            "begun": each.start_time,
            "url": url_for(each),
            "state": "this run" if each.id == run.id else each.state_name,
            "accuracies": {name: float(text) for name, text in found.get(each.id, {}).items()},
        }
        for each in runs
    ]


def branch_url(origin: str, branch: str) -> str | None:
    """Return the web page of a branch of a repository on GitHub or GitLab; None elsewhere."""
    address = urlsplit(re.sub(r"^git@([\w.-]+):", r"ssh://git@\1/", origin))
    if address.scheme not in ("https", "ssh") or address.hostname not in WEB_PATHS:
        return None
    repository = address.path.rstrip("/").removesuffix(".git")
    return f"https://{address.hostname}{repository}/{WEB_PATHS[address.hostname]}/{branch}"


def _template() -> Template:
    environment = Environment(  # noqa: S701  # states take plain text; pages escape by `plain`
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for form in (formats.percent, formats.points, formats.signed, formats.short, counted):
        environment.filters[form.__name__] = form
    environment.filters.update(plain=plain, duration=duration)
    return environment.get_template("report.md.j2")


def plain(text: str) -> str:
    """Escape Markdown and HTML in a text from outside."""
    return html.escape(re.sub(r"([\\`*_\[\]|~])", r"\\\1", text), quote=False)


def duration(seconds: float) -> str:
    """Write a duration, such as ``7.2 s``, ``3 min 05 s`` or ``2 h 03 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
    )
