"""The demo: a page on which one draws a digit, and all networks answer side by side.

The server starts at once and loads the networks meanwhile, in the one thread that computes.
"""

import asyncio
import base64
import io
import json
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image
from pydantic import BaseModel, Field
from starlette.middleware.trustedhost import TrustedHostMiddleware

from convdepth.config.architecture import Architecture
from convdepth.core.errors import DataError, MachineError
from convdepth.data.mnist_form import Grey, Steps, to_mnist_form
from convdepth.data.pictures import decode_picture

PAGE = Path(__file__).with_name("demo_page")

HOST = "127.0.0.1"

SUMMARY = "Pictures of digits, read by all networks."

EXAMPLES: list[list[str]] = json.loads((PAGE / "examples.json").read_text(encoding="utf-8"))
"""Strokes of the ten digits: points x, y on a sheet of 100 x 100."""

LARGEST_BODY = 8 * 2**20  # most bytes of a picture that is sent

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

Picture = Annotated[str, Field(description="A PNG picture as data URL.")]


class Preparation(BaseModel):
    """The picture on its way to the networks."""

    grey: Picture
    ink: Picture
    box: Picture
    centred: Picture


class NetworkAnswer(BaseModel):
    """The answer of one network."""

    name: str
    digit: int
    probabilities: list[float] = Field(description="Of the digits 0 to 9.")
    unsure: bool = Field(description="Whether no probability reaches 80%.")
    collapsed: bool = Field(description="Whether the network answers the same to every picture.")
    attention: Annotated[str, Field(description="The input under its Grad-CAM map, a PNG.")]


class Answer(BaseModel):
    """What the networks that have learned agree on, and how each answers."""

    agree: bool
    steps: Preparation
    networks: list[NetworkAnswer]


Compute = Callable[[Steps], list[NetworkAnswer]]


class Worker:
    """The thread that loads the networks and then answers one question after the other."""

    def __init__(self, load: Callable[[], Compute]) -> None:
        self._pool = ThreadPoolExecutor(1, "networks")
        self.loaded: Future[Compute] = self._pool.submit(load)

    def answer(self, content: bytes) -> Future[Answer]:
        """Queue a picture."""
        return self._pool.submit(self._answer, content)

    def _answer(self, content: bytes) -> Answer:
        steps = to_mnist_form(decode_picture(content))
        answers = self.loaded.result()(steps)
        digits = {each.digit for each in answers if not each.collapsed}
        shown = {name: encode_png(levels) for name, levels in steps._asdict().items()}
        return Answer(agree=len(digits) <= 1, steps=Preparation(**shown), networks=answers)


def serve(
    architectures: Mapping[str, Architecture], load: Callable[[], Compute], port: int
) -> None:
    """Serve the demo until the process is asked to end, or loading fails."""
    try:
        listening = socket.create_server((HOST, port))
    except OSError as error:
        raise MachineError(
            f"{HOST}:{port}: cannot be listened on: {error.strerror}. Choose another port: --port."
        ) from error
    worker = Worker(load)
    app = make_app(architectures, worker)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))

    def stop_if_failed(loaded: Future[Compute]) -> None:
        server.should_exit = loaded.exception() is not None

    worker.loaded.add_done_callback(stop_if_failed)
    print(f"The demo: http://{HOST}:{listening.getsockname()[1]}/  (Ctrl-C ends it)", flush=True)
    try:
        server.run([listening])
    finally:  # an import of TensorFlow that Python's end interrupts prints what it held back
        wait([worker.loaded])
    worker.loaded.result()


def make_app(architectures: Mapping[str, Architecture], worker: Worker) -> FastAPI:
    """Make the web application; none of its pages loads anything from elsewhere."""
    # FastAPI's own pages load scripts from a CDN.
    app = FastAPI(title="convdepth demo", summary=SUMMARY, docs_url=None, redoc_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
    pages = Environment(
        loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )

    @app.middleware("http")
    async def add_headers(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        response.headers.update(HEADERS)
        return response

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    def show_page() -> str:
        return pages.get_template("demo.html.jinja").render(
            architectures=architectures, examples=EXAMPLES
        )

    @app.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    def show_api() -> str:
        return pages.get_template("api.html.jinja").render(api=app.openapi())

    body = {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}}

    @app.post(
        "/predict",
        openapi_extra={"requestBody": body | {"required": True}},
        responses={
            413: {"description": "The picture is too large."},
            415: {"description": "The content type is not image/*."},
            422: {"description": "The picture cannot be used; `detail` says why."},
        },
    )
    async def predict(content: Annotated[bytes, Depends(read_body)]) -> Answer:
        """Read a picture of one digit; the body is the file, at most 8 MiB."""
        try:
            return await asyncio.wrap_future(worker.answer(content))
        except DataError as error:
            raise HTTPException(422, f"{error}") from error

    app.mount("/", StaticFiles(directory=PAGE))
    return app


async def read_body(request: Request) -> bytes:
    """Read the body of a request, up to `LARGEST_BODY`.

    The required type makes a browser ask before it sends a picture from another page.
    """
    if not request.headers.get("content-type", "").startswith("image/"):
        raise HTTPException(415, "expected the content type image/*, such as image/png")
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > LARGEST_BODY:
            raise HTTPException(413, f"expected at most {LARGEST_BODY:,} bytes, got more")
    return bytes(content)


def encode_png(levels: Grey | np.ndarray) -> str:
    """Encode grey levels, 0 to 1 or uint8, or RGB as data URL, at most 256 pixels wide and high."""
    if levels.dtype != np.uint8:
        levels = np.rint(levels * 255).astype(np.uint8)
    picture = Image.fromarray(levels)
    picture.thumbnail((256, 256))
    content = io.BytesIO()
    picture.save(content, "PNG")
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
