"""The report in a real browser: charts, tables, themes, keyboard, widths, paper."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import CONTRAST
from playwright.sync_api import Browser, Page
from report_inputs import make_network, make_results

from conftest import PROJECT
from convdepth.report import report

pytestmark = pytest.mark.browser

TEXTS = [
    *(".findings h3, .findings p, .conclusion", "thead th, thead button, tbody th", "td"),
    *(".note, .basis, caption, footer p, .project, td .muted", "nav a, summary"),
    *("#theme, .legend button", "pre code"),
]
CUT_TABLES = """() => Array.from(document.querySelectorAll(".scroll:has(table)"))
  .filter((each) => each.scrollWidth > each.clientWidth)
  .map((each) => each.querySelector("table").id)"""

OVERLAPPING = """() => Array.from(document.querySelectorAll(".chart")).filter((chart) => {
  const ticks = Array.from(chart.querySelectorAll(".xtick text, .x2tick text"));
  const boxes = ticks.map((text) => text.getBoundingClientRect());
  return boxes.some((a, place) => boxes.slice(place + 1).some((b) =>
    a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom));
}).map((chart) => chart.id)"""
"""Charts with tick labels that overlap."""

REAL = PROJECT / "metrics" / "report" / "index.html"
SCREENSHOT = "CONVDEPTH_SCREENSHOT"
"""Where to write the picture of the README, of the real report: `make screenshot`."""

IS_DARK = "() => document.getElementById('theme').textContent === 'Light theme'"
AXIS_COLOR = "getComputedStyle(document.querySelector('.chart .xtick text')).fill"

MARK_STOPS = """() => {
  const all = document.querySelectorAll("a[href], button, summary, [tabindex='0']");
  const shown = Array.from(all).filter((each) => each.checkVisibility());
  shown.forEach((each, number) => { each.dataset.stop = number; });
  return shown.length;
}"""
FOCUSED = """() => {
  const focused = document.activeElement;
  return [focused.dataset.stop, getComputedStyle(focused).outlineStyle];
}"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of three made-up networks, one of which collapsed, or the real one for a picture."""
    if SCREENSHOT in os.environ:
        return REAL.as_uri()
    networks = [
        make_network("tiny", 0, 1, [0.98] * 3, tuned=0.995, record=(0.98, 0.99)),
        make_network("cnn9", 1, 2, [0.1135] * 3, collapsed=True, tuned=0.99),
        make_network("flat", 2, 1, [0.97] * 3),
    ]
    path = tmp_path_factory.mktemp("report") / "index.html"
    path.write_text(report.render(make_results(networks)), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The page in a tab that fails its test on any console message, error or outside request."""
    context = browser.new_context(viewport={"width": 1000, "height": 800})
    tab = context.new_page()
    troubles: list[str] = []
    tab.on("console", lambda line: troubles.append(f"console: {line.type}: {line.text}"))
    tab.on("pageerror", lambda error: troubles.append(f"error: {error}"))
    tab.on("request", lambda request: troubles.append(request.url))
    tab.goto(address)
    tab.wait_for_selector("html[data-ready]", state="attached", timeout=60_000)
    yield tab
    context.close()
    assert [each for each in troubles if not each.startswith(("file:", "data:"))] == []
    assert {each for each in troubles if each.startswith("file:")} == {address}


def test_headers_sort_both_ways_with_missing_values_last(page: Page) -> None:
    def column(number: int) -> list[str]:
        cells = page.locator(f"#table-results tbody tr > *:nth-child({number})")
        return [text.strip() for text in cells.all_inner_texts()]

    headers = page.locator("#table-results thead th")
    accuracy, name = headers.nth(4), headers.nth(0)
    orders = {"ascending": ["cnn9", "flat", "tiny"], "descending": ["tiny", "flat", "cnn9"]}
    for order, names in orders.items():
        accuracy.get_by_role("button").press("Enter")
        assert (accuracy.get_attribute("aria-sort"), column(1)) == (order, names)
    name.get_by_role("button").click()
    assert [each.get_attribute("aria-sort") for each in (name, accuracy)] == ["ascending", "none"]
    for _ in range(2):  # only `tiny` is in the notebook
        headers.nth(7).get_by_role("button").click()
        assert column(1)[0] == "tiny"
    headers.nth(2).get_by_role("button").click()
    numbers = [int(text.replace(",", "")) for text in column(3)]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_in_both_themes(theme: Any, page: Page) -> None:
    page.emulate_media(color_scheme=theme)
    for summary in page.locator("summary").all():
        summary.click()
    for selector in TEXTS:
        found = [element.evaluate(CONTRAST) for element in page.locator(selector).all()[:30]]
        assert found, selector
        assert min(found) >= 4.5, selector


def test_the_theme_follows_the_system_and_the_button_names_the_other_theme(page: Page) -> None:
    button = page.locator("#theme")
    light = page.evaluate(AXIS_COLOR)
    assert button.inner_text() == "Dark theme"
    button.press("Enter")
    page.wait_for_function(f"(old) => {AXIS_COLOR} !== old", arg=light)
    assert button.inner_text() == "Light theme"
    button.press("Space")
    page.wait_for_function(f"(old) => {AXIS_COLOR} === old", arg=light)
    assert button.inner_text() == "Dark theme"
    page.evaluate("localStorage.clear()")
    page.emulate_media(color_scheme="dark")
    page.reload()
    page.wait_for_function(IS_DARK)


@pytest.mark.parametrize("width", [360, 1280, 1600])
def test_all_charts_are_drawn_and_nothing_is_wider_than_the_window(width: int, page: Page) -> None:
    charts = page.locator(".chart svg.main-svg:first-child")
    boxes = [chart.bounding_box() for chart in charts.all()]
    assert [box for box in boxes if not box or min(box["width"], box["height"]) < 200] == []
    assert len(boxes) == 13
    page.set_viewport_size({"width": width, "height": 900})
    for summary in page.locator("summary").all():
        summary.click()
    page.wait_for_function(
        """() => Array.from(document.querySelectorAll(".chart")).every((chart) =>
          chart.querySelector("svg.main-svg").getBoundingClientRect().right
            <= chart.getBoundingClientRect().right + 1)"""
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(OVERLAPPING) == []
    if width >= 1280:  # a phone scrolls a table within its own frame
        assert page.evaluate(CUT_TABLES) == []


def test_the_first_screen_shows_the_chart_and_the_findings(page: Page, tmp_path: Path) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    page.reload()
    page.wait_for_selector("html[data-ready]", state="attached")
    seen = page.locator("h1, #chart-answer, .findings p").all()
    assert len(seen) == 5
    for box in (each.bounding_box() for each in seen):
        assert box is not None
        assert box["y"] + box["height"] <= 800
    picture = Path(os.environ.get(SCREENSHOT, tmp_path / "report.png"))
    page.screenshot(path=picture)
    assert picture.stat().st_size < 250_000


def test_a_point_says_its_value(page: Page) -> None:
    chart = page.locator("#chart-val-accuracy")
    chart.scroll_into_view_if_needed()
    # The last mean; above it are only the crosses of the notebook's record, without a line.
    box = chart.locator(".scatterlayer .trace:has(.js-line) .points path").last.bounding_box()
    assert box
    for aside in (1, 0):
        page.mouse.move(box["x"] + box["width"] / 2 - aside, box["y"] + box["height"] / 2)
    label = chart.locator(".hoverlayer .hovertext")
    label.wait_for()
    assert re.search(r"flat, .*epoch 3: 97\.00%", label.text_content() or "")


def test_a_legend_button_hides_a_network_and_shows_it_again(page: Page) -> None:
    count = "(n) => document.querySelectorAll('#chart-val-loss .trace').length === n"
    page.wait_for_function(count, arg=13)  # three networks with three seeds and a mean, one record
    button = page.locator("#curves-plot .legend button").first
    button.press("Space")
    assert button.get_attribute("aria-pressed") == "false"
    page.wait_for_function(count, arg=8)
    button.click()
    page.wait_for_function(count, arg=13)


def test_everything_is_reached_by_tab_and_seen_there(page: Page) -> None:
    expected = page.evaluate(MARK_STOPS)
    reached = []
    for _ in range(expected):
        page.keyboard.press("Tab")
        stop, outline = page.evaluate(FOCUSED)
        assert outline != "none", stop
        reached.append(int(stop))
    assert reached == list(range(expected))  # the first is the link that skips to the content
    page.locator(".skip").press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.locator("#curves-plot summary").press("Enter")
    assert page.locator("#table-curves tbody tr").count() == 3
    assert page.locator("#table-curves").is_visible()


def test_on_paper_the_page_is_light_and_without_controls(page: Page) -> None:
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(IS_DARK)
    page.emulate_media(media="print", color_scheme="dark", reduced_motion="reduce")
    ground = "getComputedStyle(document.body).backgroundColor"
    page.wait_for_function(f"() => {ground} === 'rgb(255, 255, 255)'")
    for selector in ("nav", "#theme", "summary"):
        assert not page.locator(selector).first.is_visible()
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    paper = page.pdf(format="A4")
    assert len(re.findall(rb"/Type\s*/Page\b", paper)) >= 4


def test_without_scripts_the_tables_are_there(browser: Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(address)
    assert tab.locator("noscript p").is_visible()
    assert tab.locator("#table-results").is_visible()
    context.close()
