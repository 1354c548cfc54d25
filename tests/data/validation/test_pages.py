"""Tests of the pages about the data."""

from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from convdepth.data.validation.pages import write_pages
from convdepth.data.validation.run import Outcome, Table, gx, inspect, open_context


def write(docs: Path) -> Path:
    rows = pd.DataFrame({"split": ["train"] * 3, "index": range(3), "size": [1, 12, 3]})
    rules = [
        gx.expectations.ExpectTableRowCountToEqual(value=3, description="there are 3 rows"),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="size", max_value=9, description="each size is <= 9"
        ),
    ]
    context = open_context()
    outcomes = inspect(context, Table("things", rows, ("split", "index"), rules))
    return write_pages(context, outcomes, docs)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first page, in a folder with a blank and an umlaut in its name."""
    return write(tmp_path_factory.mktemp("pages") / "für Menschen")


class Links(HTMLParser):
    """Gathers the tags that are in a page's head, and the pages that it links to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_first_page_shows_broken_rules_first_and_the_rows(index: Path) -> None:
    page = index.read_text(encoding="utf-8")

    assert "1 of 2 are broken" in page
    broken = page.index("each size is &lt;= 9: 1 row breaks it, first train 1: size 12")
    assert broken < page.index("there are 3 rows")


def test_the_first_page_leads_to_what_is_behind_it(index: Path) -> None:
    targets = [attrs["href"] for tag, attrs in Links(index).tags if tag == "a"]

    assert targets
    for target in targets:
        page = index.parent / str(target)
        assert "each size is" in page.read_text(encoding="utf-8")


def test_no_page_loads_anything(index: Path) -> None:
    pages = list(index.parent.rglob("*.html"))

    assert len(pages) >= 3
    for page in pages:
        tags = Links(page).tags
        # A policy stands before whatever would be loaded, and allows no address at all.
        first = next(attrs for tag, attrs in tags if tag in {"meta", "link", "script", "img"})
        assert first["http-equiv"] == "Content-Security-Policy"
        assert first["content"] == "default-src 'none'; style-src 'unsafe-inline'"


def test_what_an_earlier_run_wrote_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path)
    before = set(tmp_path.rglob("*.html"))
    strange = tmp_path / "validations" / "strange" / "not a time" / "page.html"
    strange.parent.mkdir(parents=True)
    strange.write_text("from another version")
    mine = tmp_path / "mine.html"
    mine.write_text("<head>mine</head>")

    write(tmp_path)

    assert not strange.exists()
    assert mine.read_text() == "<head>mine</head>"
    after = set(tmp_path.rglob("*.html")) - {mine}
    assert len(after) == len(before)
    for page in after:
        assert page.read_text(encoding="utf-8").count("Content-Security-Policy") == 1


def test_without_any_result_there_is_a_first_page_still(tmp_path: Path) -> None:
    outcome = Outcome("raw", "the files of train can be read", holds=False, reason="no such file")

    page = write_pages(open_context(), [outcome], tmp_path)

    assert "no such file" in page.read_text(encoding="utf-8")
