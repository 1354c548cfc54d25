"""The page of `dvc plots`: drawn in a real browser without the network."""

import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from conftest import PROJECT

pytestmark = pytest.mark.browser


def test_each_chart_is_drawn_without_a_request_and_names_its_images(
    browser: Browser, tmp_path: Path
) -> None:
    subprocess.run(["dvc", "plots", "show", "--out", tmp_path], cwd=PROJECT, check=True)
    page = browser.new_page()
    troubles: list[str] = []
    page.on("console", lambda line: troubles.append(line.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: troubles.append(request.url))
    address = (tmp_path / "index.html").as_uri()
    page.goto(address)
    page.wait_for_function("document.querySelectorAll('.vega-embed canvas').length === 4")
    assert troubles == [address]
    written = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert '"evaluated_on": "test images"' in written
    page.close()
