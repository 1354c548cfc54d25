"""Pages about the data: what became of each rule, and Great Expectations' Data Docs behind it."""

import html
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path

from convdepth.core.errors import MachineError
from convdepth.core.files import write_text
from convdepth.data.validation.run import Outcome

with warnings.catch_warnings():
    # It imports a module that Python has deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    from great_expectations.data_context import EphemeralDataContext
    from great_expectations.data_context.store.store import DataDocsSiteConfigTypedDict

_GENERATED = ("expectations", "validations")
"""The folders in which Great Expectations puts pages, under another name at each run."""

# Data Docs load styles, scripts and an image that counts visits from six hosts. A browser that
# obeys this loads nothing; the style below then does what is needed to read them.
_HEAD = """<head>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta charset="UTF-8">
<style>
body { font: 15px/1.5 sans-serif; margin: 0 auto !important; max-width: 76rem; padding: 1rem; }
table { border-collapse: collapse; width: 100%; }
td, th { border: 1px solid #bbb; padding: 0.3rem 0.6rem; text-align: left; vertical-align: top; }
ol, ul { list-style: none; padding: 0; }
nav { height: auto !important; }
.breadcrumb { display: block !important; }
.breadcrumb li { display: inline; margin-right: 1rem; }
.navbar-brand, .sticky, .modal, .collapse, .d-none, footer { display: none !important; }
.broken::before, .fa-times::before { content: "\\2718"; color: #c00; margin-right: 0.5rem; }
.holds::before, .fa-check-circle::before { content: "\\2714"; color: #080; margin-right: 0.5rem; }
.fa-exclamation-triangle::before { content: "\\2718"; color: #c00; }
</style>
"""


def write_pages(context: EphemeralDataContext, outcomes: Sequence[Outcome], docs: Path) -> Path:
    """Write what became of each rule as HTML that can be read without a network.

    The pages name the time of the run, so nothing may depend on their bytes.

    Args:
        context: What has run the rules; its Data Docs hold more about each of them.
        outcomes: What the first page shows.
        docs: A folder; what an earlier run wrote there is replaced.

    Returns:
        The first page, ``index.html`` in the folder.

    Raises:
        MachineError: The pages cannot be written.
    """
    index = docs / "index.html"
    try:
        _build_data_docs(context, docs)
        for folder in _GENERATED:
            for page in (docs / folder).rglob("*.html"):
                write_text(page, page.read_text(encoding="utf-8").replace("<head>", _HEAD, 1))
        write_text(index, _render_index(outcomes, docs))
    except OSError as error:
        raise MachineError(
            f"{docs}: the pages cannot be written: {error.strerror or error}. Free space or fix "
            "the permissions, then run again."
        ) from error
    return index


def _build_data_docs(context: EphemeralDataContext, docs: Path) -> None:
    # It removes its former pages itself, but stumbles over any that it does not know.
    for folder in _GENERATED:
        shutil.rmtree(docs / folder, ignore_errors=True)
    site: DataDocsSiteConfigTypedDict = {
        "class_name": "SiteBuilder",
        "store_backend": {
            "class_name": "TupleFilesystemStoreBackend",
            "base_directory": str(docs.resolve()),
        },
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    context.add_data_docs_site(site_name="pages", site_config=site)
    context.build_data_docs(site_names=["pages"])


def _render_index(outcomes: Sequence[Outcome], docs: Path) -> str:
    num_broken = sum(not outcome.holds for outcome in outcomes)
    verdict = f"{num_broken} of {len(outcomes)} are broken" if num_broken else "all hold"
    names = dict.fromkeys(outcome.table for outcome in outcomes)
    sections = [
        _render_table(name, [outcome for outcome in outcomes if outcome.table == name], docs)
        for name in names
    ]
    head = f"<!DOCTYPE html>\n<html>{_HEAD}<title>Data rules</title></head>"
    return (
        f"{head}<body><h1>Rules for the data: {verdict}</h1>\n{''.join(sections)}</body></html>\n"
    )


def _render_table(name: str, outcomes: Sequence[Outcome], docs: Path) -> str:
    broken_first = sorted(outcomes, key=lambda outcome: outcome.holds)
    rules = "\n".join(_render_rule(outcome) for outcome in broken_first)
    pages = (docs / "validations" / name).rglob("*.html")
    links = [f'<a href="{page.relative_to(docs).as_posix()}">more</a>' for page in pages]
    return f"<h2>{html.escape(name)}</h2>\n<ul>\n{rules}\n</ul>\n{''.join(links)}\n"


def _render_rule(outcome: Outcome) -> str:
    style = "holds" if outcome.holds else "broken"
    words = f"{outcome.rule}: {outcome.reason}" if outcome.reason else outcome.rule
    return f'<li class="{style}">{html.escape(words)}</li>'
