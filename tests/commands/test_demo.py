"""The server of the demo: answers, limits, and that nothing is loaded from elsewhere."""

import base64
import io
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from demo_server import NAMES, Demo, make_project, run_demo
from PIL import Image
from test_cli import run

from convdepth.commands.demo import LARGEST_BODY, PAGE

PNG = {"Content-Type": "image/png"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, params_text: str, one_thread: None) -> Path:  # noqa: ARG001
    folder = tmp_path_factory.mktemp("demo")
    make_project(folder, params_text)
    return folder


@pytest.fixture(scope="module")
def demo(folder: Path) -> Iterator[Demo]:
    with run_demo(folder) as demo:
        yield demo


@pytest.fixture
def client(demo: Demo) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=demo.url, timeout=120, trust_env=False) as client:
        yield client


def picture(level: int = 0) -> bytes:
    sheet = Image.new("L", (200, 300), 255)
    sheet.paste(level, (80, 60, 110, 240))
    content = io.BytesIO()
    sheet.save(content, "PNG")
    return content.getvalue()


def test_it_ends_silently_while_networks_are_loaded(folder: Path) -> None:
    with run_demo(folder):
        pass  # its end is checked


def test_the_demo_answers_as_predict_does(client: httpx.Client, folder: Path) -> None:
    answer = client.post("/predict", content=picture(), headers=PNG).json()
    assert [each["name"] for each in answer["networks"]] == list(NAMES)
    assert [each["collapsed"] for each in answer["networks"]] == [True, False, False]
    digits = {each["digit"] for each in answer["networks"][1:]}
    assert answer["agree"] is (len(digits) == 1)
    (folder / "one.png").write_bytes(picture())
    finished = run("predict", "one.png", "--model=tiny", "--format=csv", folder=folder)
    predicted = [float(each) for each in finished.stdout.splitlines()[1].split(",")[3:]]
    np.testing.assert_allclose(answer["networks"][1]["probabilities"], predicted, atol=2e-6)
    shown = {name: decoded(source) for name, source in answer["steps"].items()}
    assert shown["centred"].shape == (28, 28)
    assert shown["grey"].shape[0] > shown["grey"].shape[1]
    assert decoded(answer["networks"][0]["attention"]).shape == (28, 28, 3)


def decoded(source: str) -> np.ndarray:
    content = base64.b64decode(source.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(content)))


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (picture(255), "image/png", 422),
        (b"no picture", "image/png", 422),
        (b"", "image/png", 422),
        (bytes(LARGEST_BODY + 1), "image/png", 413),
        (picture(), "text/plain", 415),
        (picture(), "multipart/form-data; boundary=x", 415),
    ],
)
def test_what_cannot_be_used_is_refused(
    client: httpx.Client, content: bytes, kind: str, status: int
) -> None:
    response = client.post("/predict", content=content, headers={"Content-Type": kind})
    assert response.status_code == status
    assert response.json()["detail"]


def test_the_pages_load_nothing_from_elsewhere(client: httpx.Client) -> None:
    for path in ("/", "/docs", "/demo.js", "/demo.css"):
        response = client.get(path)
        assert response.status_code == 200, path
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        own = response.text.replace("http://127.0.0.1:8000/predict", "")
        assert not re.search(r"https?://|//cdn|@import|url\(", own), path
    assert client.get("/redoc").status_code == 404


def test_the_api_page_describes_all_that_openapi_does(client: httpx.Client) -> None:
    described, page = client.get("/openapi.json").json(), client.get("/docs").text
    assert list(described["paths"]) == ["/predict"]
    for name, schema in described["components"]["schemas"].items():
        assert all(word in page for word in (name, *schema["properties"]))


def test_other_sites_cannot_reach_it_by_a_name_of_their_own(client: httpx.Client) -> None:
    assert client.get("/", headers={"Host": "rebound.example"}).status_code == 400


def test_all_files_of_the_page_are_few_and_there() -> None:
    files = {path.name for path in PAGE.iterdir()}
    assert files == {"demo.html.jinja", "api.html.jinja", "demo.css", "demo.js", "examples.json"}


def test_a_port_in_use_has_a_message_and_a_code(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        finished = run("demo", f"--port={port}", folder=folder)
    assert finished.returncode == 4
    assert f"127.0.0.1:{port}" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_a_damaged_network_ends_the_demo(tmp_path: Path, folder: Path) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "cnn9.keras").write_bytes(b"damaged")
    finished = run("demo", "--port=0", folder=tmp_path)
    assert finished.returncode == 3
    assert "cnn9.keras" in finished.stderr
    assert "Traceback" not in finished.stderr
