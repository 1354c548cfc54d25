"""The demo in a real browser: strokes, files, keyboard, themes, widths, what is announced."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import CONTRAST
from demo_server import LEARNED, NAMES, make_project, run_demo
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.browser

LONGEST_START = 6.0
"""Seconds until the page is there."""

SEVEN = [(0.25, 0.2), (0.75, 0.2), (0.4, 0.85)]


@pytest.fixture(scope="module")
def address(
    tmp_path_factory: pytest.TempPathFactory,
    params_text: str,
    one_thread: None,  # noqa: ARG001
) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("demo")
    make_project(folder, params_text)
    with run_demo(folder) as demo:
        assert demo.seconds < LONGEST_START
        yield demo.url


PHONE = {"viewport": {"width": 400, "height": 800}, "has_touch": True}


@pytest.fixture(params=[{}, PHONE])
def page(browser: Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page in a window or on a phone; any message, error or outside request is a failure."""
    context = browser.new_context(**request.param)
    tab = context.new_page()
    tab.set_default_timeout(60_000)
    troubles: list[str] = []
    tab.on("console", lambda line: troubles.append(f"{line.type}: {line.text}"))
    tab.on("pageerror", lambda error: troubles.append(f"error: {error}"))
    tab.on("request", lambda asked: troubles.append(asked.url))
    tab.goto(address)
    yield tab
    context.close()
    refused = "error: Failed to load resource: the server responded with a status of 422"
    own = (address, "data:", "blob:", refused)
    assert [each for each in troubles if not each.startswith(own)] == []


def stroke(page: Page, points: list[tuple[float, float]]) -> None:
    """Draw a stroke with the mouse, as shares of the paper."""
    box = page.locator("#paper").bounding_box()
    assert box
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=8)
    page.mouse.up()


def touch(page: Page, points: list[tuple[float, float]]) -> None:
    """Draw a stroke with a finger."""
    box = page.locator("#paper").bounding_box()
    assert box
    session = page.context.new_cdp_session(page)
    for number, (x, y) in enumerate(points):
        kind = "touchMove" if number else "touchStart"
        point = {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def wait_for_answers(page: Page) -> None:
    expect(page.locator("#status")).to_contain_text(NAMES[-1], timeout=60_000)


def seen(page: Page, name: str = "centred") -> np.ndarray:
    source = page.locator(f"#step-{name}").get_attribute("src") or ""
    content = base64.b64decode(source.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(content))).astype(int)


def test_a_stroke_is_answered_by_all_networks(page: Page, tmp_path: Path) -> None:
    stroke(page, SEVEN)
    wait_for_answers(page)
    for name in NAMES:
        card = page.locator(f"#network-{name}")
        digit = int(card.locator(".digit").inner_text())
        shares = [float(each.rstrip("%")) for each in card.locator(".share").all_inner_texts()]
        assert len(shares) == 10
        assert shares[digit] == max(shares)
        assert f"{name}: {digit}, {max(shares)}%" in page.locator("#status").inner_text()
        assert (card.locator(".attention").get_attribute("alt") or "").count(name) == 1
    assert "collapsed" in (page.locator("#network-flat").get_attribute("class") or "")
    digits = {page.locator(f"#network-{name} .digit").inner_text() for name in LEARNED}
    expected = "agree" if len(digits) == 1 else "disagree"
    assert page.locator("#agreement").get_attribute("class") == expected
    sheet = Image.new("L", (560, 560), 255)
    points = [(560 * x, 560 * y) for x, y in SEVEN]
    drawing = ImageDraw.Draw(sheet)
    drawing.line(points, fill=0, width=34)
    for x, y in points:  # round ends and corners, as of the page's pen
        drawing.ellipse((x - 17, y - 17, x + 17, y + 17), fill=0)
    sheet.save(tmp_path / "seven.png")
    drawn, source = seen(page), page.locator("#step-grey").get_attribute("src") or ""
    page.locator("#file").set_input_files(tmp_path / "seven.png")
    expect(page.locator("#step-grey")).not_to_have_attribute("src", source)
    wait_for_answers(page)
    assert np.abs(drawn - seen(page)).mean() < 6


@pytest.mark.parametrize("page", [PHONE], indirect=True)
def test_a_finger_draws_and_does_not_scroll(page: Page) -> None:
    touch(page, [(0.5, 0.2), (0.5, 0.5), (0.5, 0.8)])
    wait_for_answers(page)
    rows, columns = (np.flatnonzero((seen(page) > 127).any(axis)) for axis in (1, 0))
    assert np.ptp(rows) >= 18
    assert np.ptp(columns) <= 6
    assert page.evaluate("scrollY") == 0


def test_undo_and_clear(page: Page) -> None:
    stroke(page, [(0.5, 0.2), (0.5, 0.8)])
    wait_for_answers(page)
    before, grey = seen(page), page.locator("#step-grey")
    source = grey.get_attribute("src") or ""
    stroke(page, [(0.2, 0.5), (0.8, 0.5)])
    expect(grey).not_to_have_attribute("src", source)
    page.locator("#undo").click()
    expect(grey).to_have_attribute("src", source)
    assert (seen(page) == before).all()
    page.locator("#clear").click()
    blank = "document.getElementById('paper').getContext('2d').getImageData(0, 0, 560, 560).data"
    assert page.evaluate(f"{blank}.every((each) => each === 255)")


def test_the_keyboard_reaches_everything_and_draws_an_example(page: Page) -> None:
    reached = []
    for _ in range(14):
        page.keyboard.press("Tab")
        focus = "document.activeElement"
        outline = page.evaluate(
            f"[{focus}, document.querySelector('label')].some("
            "(each) => getComputedStyle(each).outlineStyle !== 'none')"
        )
        reached.append(page.evaluate(f"{focus}.id || {focus}.value || {focus}.href"))
        assert outline, reached[-1]
    assert reached[1:4] == ["undo", "clear", "file"]
    assert reached[4:] == [str(digit) for digit in range(10)]
    page.locator("#examples button").nth(4).press("Enter")
    wait_for_answers(page)
    assert seen(page).max() == 255


def test_a_dropped_file_that_is_no_picture_is_explained(page: Page) -> None:
    page.evaluate(
        """() => {
          const transfer = new DataTransfer();
          transfer.items.add(new File(["no picture"], "digit.png", {type: "image/png"}));
          document.dispatchEvent(new DragEvent("drop", {dataTransfer: transfer, cancelable: true}));
        }"""
    )
    expect(page.locator("#status")).to_contain_text("no picture")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_and_nothing_is_cut(theme: Any, page: Page) -> None:
    page.emulate_media(color_scheme=theme)
    page.locator("#examples button").nth(7).click()
    wait_for_answers(page)
    for selector in (".muted", "h1", "button", ".note", ".share", "#agreement", "#status", "a"):
        found = [each.evaluate(CONTRAST) for each in page.locator(selector).all()]
        assert found, selector
        assert min(found) >= 4.5, selector
    width = page.evaluate("innerWidth")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_api_page_loads_nothing(page: Page, address: str) -> None:
    page.goto(f"{address}docs")
    assert page.locator("h2").first.inner_text() == "POST /predict"
