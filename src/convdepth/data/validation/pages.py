"""HTML pages about the data: the outcome of each rule, and Great Expectations' Data Docs."""

import html
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path

from convdepth.core.errors import MachineError
from convdepth.core.files import write_text
from convdepth.data.validation.run import Outcome

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it imports a deprecated module
    from great_expectations.data_context import EphemeralDataContext

_DATA_DOCS = ("expectations", "validations")

# Data Docs load styles, scripts and a tracking pixel from six hosts. This policy forbids all of
# them; the style makes the pages readable without.
_HEAD = """<head>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta charset="UTF-8">
<style>
body { font: 15px/1.5 sans-serif; margin: 0 auto !important; max-width: 76rem; padding: 1rem; }
table { border-collapse: collapse; width: 100%; }
td, th { border: 1px solid #bbb; padding: 0.3rem 0.6rem; text-align: left; vertical-align: top; }
ol, ul { list-style: none; padding: 0; }
nav { height: auto !important; }
.navbar-brand, .sticky, .modal, .collapse, .d-none, footer { display: none !important; }
.broken::before, .fa-times::before { content: "\\2718"; color: #c00; margin-right: 0.5rem; }
.holds::before, .fa-check-circle::before { content: "\\2714"; color: #080; margin-right: 0.5rem; }
</style>
"""


def write_pages(context: EphemeralDataContext, outcomes: Sequence[Outcome], docs: Path) -> Path:
    """Write the outcomes as pages that load nothing from a network.

    The pages hold the time of the run, so their bytes differ between runs.

    Args:
        context: The context that ran the rules.
        outcomes: Shown on the first page.
        docs: Target folder; the pages of an earlier run are replaced.

    Returns:
        The first page, ``index.html``.

    Raises:
        MachineError: The pages cannot be written.
    """
    index = docs / "index.html"
    try:
        _write_data_docs(context, docs)
        write_text(index, _render(outcomes, docs))
    except OSError as error:
        raise MachineError(
            f"{docs}: the pages cannot be written: {error.strerror or error}. Free space or fix "
            "the permissions, then run again."
        ) from error
    return index


def _write_data_docs(context: EphemeralDataContext, docs: Path) -> None:
    for folder in _DATA_DOCS:
        shutil.rmtree(docs / folder, ignore_errors=True)
    context.add_data_docs_site(
        site_name="pages",
        site_config={
            "class_name": "SiteBuilder",
            "store_backend": {
                "class_name": "TupleFilesystemStoreBackend",
                "base_directory": str(docs.resolve()),
            },
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        },
    )
    context.build_data_docs(site_names=["pages"])
    for folder in _DATA_DOCS:
        for page in (docs / folder).rglob("*.html"):
            write_text(page, page.read_text(encoding="utf-8").replace("<head>", _HEAD, 1))


def _render(outcomes: Sequence[Outcome], docs: Path) -> str:
    num_broken = sum(not outcome.holds for outcome in outcomes)
    verdict = f"{num_broken} of {len(outcomes)} are broken" if num_broken else "all hold"
    parts = [f"<title>Data rules</title></head><body><h1>Data rules: {verdict}</h1>"]
    for table in dict.fromkeys(outcome.table for outcome in outcomes):
        of_table = [outcome for outcome in outcomes if outcome.table == table]
        parts += [f"<h2>{html.escape(table)}</h2><ul>"]
        parts += map(_render_rule, sorted(of_table, key=lambda outcome: outcome.holds))
        parts += ["</ul>"]
        for page in (docs / "validations" / table).rglob("*.html"):
            parts += [f'<a href="{page.relative_to(docs).as_posix()}">more</a>']
    return "\n".join([f"<!DOCTYPE html>\n<html>{_HEAD}", *parts, "</body></html>\n"])


def _render_rule(outcome: Outcome) -> str:
    style = "holds" if outcome.holds else "broken"
    words = f"{outcome.rule}: {outcome.reason}" if outcome.reason else outcome.rule
    return f'<li class="{style}">{html.escape(words)}</li>'
