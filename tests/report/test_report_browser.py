"""The report in a real browser: charts, tables, themes, keyboard, widths, paper."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from report_inputs import write_inputs

from convdepth.report import report

pytestmark = pytest.mark.browser

THEMES = ("light", "dark")
THIRD = """
  flat:
    block1:
      conv1: {filters: 4, kernel_size: 5}
      pool_size: 4
    head: {units: 8}
"""

CONTRAST = """(element) => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const channels = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return Array.from(canvas.getImageData(0, 0, 1, 1).data);
  };
  const luminance = (color) => {
    const [r, g, b] = channels(color).slice(0, 3).map((each) => {
      const share = each / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let ground = element;
  while (channels(getComputedStyle(ground).backgroundColor)[3] < 255) ground = ground.parentElement;
  const [low, high] = [
    luminance(getComputedStyle(element).color),
    luminance(getComputedStyle(ground).backgroundColor),
  ].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}"""
"""WCAG's contrast of an element's text against what lies behind it."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, normalized: Path) -> str:
    """The page of three made-up networks, one of which has collapsed."""
    from conftest import PROJECT, SECOND, TINY

    folder = tmp_path_factory.mktemp("report")
    text = (PROJECT / "params.yaml").read_text(encoding="utf-8")
    params = folder / "params.yaml"
    params.write_text(text[: text.index("# One entry is one network")] + TINY + SECOND + THIRD)
    errors = {"tiny": 0.02, "cnn9": None, "flat": 0.03}
    records, tuned = {"tiny": (0.98, 0.99)}, {"tiny": 0.004, "cnn9": 0.005}
    inputs = write_inputs(folder, normalized, params, errors, records=records, tuned=tuned)
    report.main(**inputs.arguments())
    return inputs.arguments()["page"].as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if path is None:
        pytest.fail("there is no Chromium: install it, such as by `apt install chromium`")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab that fails its test when anything goes wrong in it or is asked of a network."""
    context = browser.new_context(viewport={"width": 1000, "height": 800})
    tab = context.new_page()
    troubles: list[str] = []
    tab.on("console", lambda line: troubles.append(f"console: {line.type}: {line.text}"))
    tab.on("pageerror", lambda error: troubles.append(f"error: {error}"))
    tab.on("request", lambda request: troubles.append(request.url))
    yield tab
    context.close()
    asked = [trouble for trouble in troubles if not trouble.startswith(("file:", "data:"))]
    assert asked == []
    assert sum(trouble.startswith("file:") for trouble in troubles) <= 1


def open_page(page: Page, address: str) -> None:
    page.goto(address)
    page.wait_for_selector("html[data-ready]", state="attached", timeout=60_000)


def column(page: Page, table: str, number: int) -> list[str]:
    cells = page.locator(f"#table-{table} tbody tr > *:nth-child({number})")
    return [text.strip() for text in cells.all_inner_texts()]


def theme_of(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate(
        """() => ({
          ground: getComputedStyle(document.body).backgroundColor,
          axis: getComputedStyle(document.querySelector(".chart .xtick text")).fill,
          pressed: document.getElementById("theme").getAttribute("aria-pressed"),
        })"""
    )
    return found


def test_all_charts_are_drawn(page: Page, address: str) -> None:
    open_page(page, address)
    charts = page.locator(".chart")
    assert charts.count() == 15
    for number in range(15):
        box = charts.nth(number).locator("svg.main-svg").first.bounding_box()
        assert box
        assert min(box["width"], box["height"]) > 200
    assert page.locator(".chart .scatterlayer .trace").count() > 40


def test_a_header_sorts_both_ways(page: Page, address: str) -> None:
    open_page(page, address)
    header = page.locator("#table-results thead th").nth(4)
    button = header.get_by_role("button")
    assert header.get_attribute("aria-sort") == "none"
    button.click()
    assert header.get_attribute("aria-sort") == "ascending"
    assert column(page, "results", 1) == ["cnn9", "flat", "tiny"]
    button.press("Enter")
    assert header.get_attribute("aria-sort") == "descending"
    assert column(page, "results", 1) == ["tiny", "flat", "cnn9"]
    other = page.locator("#table-results thead th").nth(0)
    other.get_by_role("button").click()
    assert [each.get_attribute("aria-sort") for each in (other, header)] == ["ascending", "none"]
    assert column(page, "results", 1) == ["cnn9", "flat", "tiny"]


def test_what_is_missing_is_sorted_to_the_end_both_ways(page: Page, address: str) -> None:
    open_page(page, address)
    button = page.locator("#table-results thead button").nth(9)  # only `tiny` is in the notebook
    for _ in range(2):
        button.click()
        assert column(page, "results", 1)[0] == "tiny"


def test_numbers_are_sorted_as_numbers(page: Page, address: str) -> None:
    open_page(page, address)
    page.locator("#table-results thead button").nth(2).click()
    numbers = [int(text.replace(",", "")) for text in column(page, "results", 3)]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize("theme", THEMES)
def test_text_stands_out_in_both_themes(theme: Any, page: Page, address: str) -> None:
    page.emulate_media(color_scheme=theme)
    open_page(page, address)
    for details in page.locator("details").all():
        details.locator("summary").click()
    places = {
        "text": "dd, .conclusion",
        "muted": ".note, .basis, caption, footer p, .project, td .muted, .glance .muted",
        "warning": ".glance .warning",
        "question": "dt",
        "table headers": "thead th, thead button, tbody th",
        "cells": "td",
        "links": "nav a, summary",
        "buttons": "#theme, .legend button",
        "code": "pre code",
    }
    for what, selector in places.items():
        found = [element.evaluate(CONTRAST) for element in page.locator(selector).all()[:60]]
        assert found, what
        assert min(found) >= 4.5, what


def test_the_button_changes_the_theme_of_page_and_charts(page: Page, address: str) -> None:
    open_page(page, address)
    light = theme_of(page)
    assert light["pressed"] == "false"
    page.locator("#theme").press("Enter")
    page.wait_for_function("() => document.getElementById('theme').ariaPressed === 'true'")
    dark = theme_of(page)
    assert dark["ground"] != light["ground"]
    page.wait_for_function(
        "(old) => getComputedStyle(document.querySelector('.chart .xtick text')).fill !== old",
        arg=light["axis"],
    )
    page.locator("#theme").press("Space")
    page.wait_for_function(
        "(old) => getComputedStyle(document.querySelector('.chart .xtick text')).fill === old",
        arg=light["axis"],
    )
    assert theme_of(page) == light


def test_the_system_decides_until_the_button_does(page: Page, address: str) -> None:
    page.emulate_media(color_scheme="dark")
    open_page(page, address)
    dark = theme_of(page)
    assert dark["pressed"] == "true"
    page.emulate_media(color_scheme="light")
    page.wait_for_function("() => document.getElementById('theme').ariaPressed === 'false'")
    assert theme_of(page)["ground"] != dark["ground"]


@pytest.mark.parametrize("width", [400, 800, 1600])
def test_nothing_is_wider_than_the_window(width: int, page: Page, address: str) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    open_page(page, address)
    for details in page.locator("details").all():
        details.locator("summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    inside = page.evaluate(
        """() => Array.from(document.querySelectorAll(".chart")).every((chart) =>
          chart.querySelector("svg.main-svg").getBoundingClientRect().right
            <= chart.getBoundingClientRect().right + 1)"""
    )
    assert inside


def test_charts_follow_the_width(page: Page, address: str) -> None:
    open_page(page, address)
    page.set_viewport_size({"width": 420, "height": 800})
    page.wait_for_function(
        """() => Array.from(document.querySelectorAll(".chart svg.main-svg"))
          .every((chart) => chart.getBoundingClientRect().width < 400)"""
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 420


def test_a_curve_says_its_value(page: Page, address: str) -> None:
    open_page(page, address)
    chart = page.locator("#chart-curves-val-accuracy")
    chart.scroll_into_view_if_needed()
    # The last mean; above it are only the crosses of what the notebook recorded, without a line.
    points = chart.locator(".scatterlayer .trace:has(.js-line) .points path")
    box = points.last.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2 - 1, box["y"] + box["height"] / 2)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    label = chart.locator(".hoverlayer .hovertext")
    label.wait_for()
    assert re.search(r"flat, .*epoch 4: 9\d\.\d\d %", label.text_content() or "")


def test_a_legend_button_hides_a_network_and_shows_it_again(page: Page, address: str) -> None:
    open_page(page, address)
    traces = page.locator("#chart-curves-val-loss .scatterlayer .trace")
    assert traces.count() == 13  # three networks with three seeds and a mean, and one record
    button = page.locator("#curves-plot .legend button").first
    button.press("Space")
    assert button.get_attribute("aria-pressed") == "false"
    count = "(n) => document.querySelectorAll('#chart-curves-val-loss .trace').length === n"
    page.wait_for_function(count, arg=8)
    button.click()
    page.wait_for_function(count, arg=13)


def test_everything_is_reached_by_tab_and_seen_there(page: Page, address: str) -> None:
    open_page(page, address)
    expected = page.evaluate(
        """() => {
          const all = document.querySelectorAll("a[href], button, summary, [tabindex='0']");
          const shown = Array.from(all).filter((each) => each.checkVisibility());
          shown.forEach((each, number) => { each.dataset.stop = number; });
          return shown.length;
        }"""
    )
    reached = set()
    for _ in range(expected + 5):
        page.keyboard.press("Tab")
        stop, outline = page.evaluate(
            """() => [
              document.activeElement.dataset.stop,
              getComputedStyle(document.activeElement).outlineStyle,
            ]"""
        )
        if stop is not None:
            assert outline != "none", stop
            reached.add(int(stop))
    assert reached == set(range(expected))


def test_the_skip_link_is_first_and_leads_to_the_content(page: Page, address: str) -> None:
    open_page(page, address)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    assert page.evaluate("document.activeElement.getBoundingClientRect().top") >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_the_numbers_behind_a_chart_unfold_by_keyboard(page: Page, address: str) -> None:
    open_page(page, address)
    summary = page.locator("#curves-plot summary")
    table = page.locator("#table-curves")
    assert not table.is_visible()
    summary.press("Enter")
    assert table.is_visible()
    assert table.locator("tbody tr").count() == 4


def test_on_paper_the_page_is_light_and_without_controls(page: Page, address: str) -> None:
    page.emulate_media(color_scheme="dark")
    open_page(page, address)
    ink = theme_of(page)["axis"]
    page.emulate_media(media="print", color_scheme="dark")
    page.wait_for_function(
        "(old) => getComputedStyle(document.querySelector('.chart .xtick text')).fill !== old",
        arg=ink,
    )
    assert theme_of(page)["ground"] == "rgb(255, 255, 255)"
    for selector in ("nav", "#theme", "summary"):
        assert not page.locator(selector).first.is_visible()
    paper = page.pdf(format="A4")
    assert paper.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", paper)) >= 4


def test_less_motion_is_respected(page: Page, address: str) -> None:
    page.emulate_media(reduced_motion="reduce")
    open_page(page, address)
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"


def test_without_scripts_the_tables_are_there(browser: Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(address)
    assert tab.locator("noscript p").is_visible()
    assert tab.locator("#table-results").is_visible()
    context.close()
