"""The stage `report`: write one page with all results that needs no other file."""

import base64
import io
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image
from plotly.offline import get_plotlyjs

from convdepth.core.files import write_text
from convdepth.evaluation.doubtful_labels import DOUBTFUL
from convdepth.evaluation.significance import LEVEL, MARGIN
from convdepth.figures.calibration import FEW_IMAGES
from convdepth.report import charts, formats
from convdepth.report.absent import AbsentError, Lazy, require
from convdepth.report.facts import FINDERS
from convdepth.report.load import Results, read_results
from convdepth.report.tables import NUMBERS, make_cell, make_columns, make_rows

CONSTANTS = {"few_images": FEW_IMAGES, "doubtful": DOUBTFUL, "level": LEVEL, "margin": MARGIN}


def main(
    normalized: Path,
    notebook: Path,
    figures: Path,
    tables: Path,
    validation: Path,
    answers: Path,
    recipe: Path,
    tuned: Path,
    collapse: Path,
    reading: Path,
    pictures: Path,
    page: Path,
    params: Path = Path("params.yaml"),
) -> None:
    """Write the report on the networks in the parameters to `page`."""
    paths = SimpleNamespace(**locals())
    write_text(page, render(read_results(paths)))
    print(f"report: {page}", flush=True)


def render(results: Results) -> str:
    """Return the page, with equal bytes for equal results."""
    environment = Environment(
        loader=FileSystemLoader(charts.TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    for form in (
        formats.percent, formats.points, formats.signed, formats.short, formats.count,
        formats.join_names, make_columns,
    ):  # fmt: skip
        environment.filters[form.__name__] = form
    context = {
        "results": results,
        "networks": results.networks,
        "facts": Lazy({name: partial(find, results) for name, find in FINDERS.items()}),
        "rows": make_rows(results),
        "charts": charts.make_charts(results),
        "pictures": results.pictures,
        "url": _url,
        "make_cell": make_cell,
        "numbers": NUMBERS,
        "drawn_networks": charts.drawn_networks,
        "serialize": charts.serialize,
        "hardest": partial(_hardest, results),
        **CONSTANTS,
        "dark_colors": charts.DARK,
        "palette": list(charts.NETWORK_COLORS.items()),
        "plotly": get_plotlyjs(),
    }
    ui: Any = environment.get_template("macros.html.jinja").make_module(context)

    def render_part(name: str) -> str:
        """Render a part of the page; if it needs an absent result, the reason instead."""
        part = environment.get_template(f"sections/{name}.html.jinja")
        try:
            return part.render(context, ui=ui, part=render_part)
        except AbsentError as error:
            return str(ui.absent(error))

    return environment.get_template("report.html.jinja").render(context, ui=ui, part=render_part)


def _hardest(results: Results) -> list[dict[str, Any]]:
    """Return the hardest images, dark on white, each with the answers in the networks' order."""
    rows = []
    for hard in results.reading.hardest:
        png = io.BytesIO()
        gray = np.rint(255 * (1 - results.images[hard.index, :, :, 0])).astype(np.uint8)
        Image.fromarray(gray).save(png, "PNG", optimize=True)
        able = [each for each in results.networks if each.name in hard.answers]
        answers = [(each, hard.answers[each.name]) for each in able]
        rows.append({"image": hard, "url": _url(png.getvalue()), "answers": answers})
    return rows


def _url(png: bytes | AbsentError) -> str:
    return f"data:image/png;base64,{base64.b64encode(require(png)).decode()}"
