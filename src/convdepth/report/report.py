"""The stage `report`: one page that shows all results, with what it needs inside it."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from convdepth.core.files import write_text
from convdepth.report.charts import NETWORK_COLORS, serialize
from convdepth.report.load import Results, Sources, read_results
from convdepth.report.sections import answer, gather_sections, show_hardest
from convdepth.report.text import percent, say_confounding

TEMPLATES = Path(__file__).parent / "templates"


def main(
    validation: Path,
    histories: Path,
    models: Path,
    predictions: Path,
    normalized: Path,
    figures: Path,
    notebook: Path,
    replicates: Path,
    tuned: Path,
    contrasts: Path,
    collapse: Path,
    reading: Path,
    pictures: Path,
    page: Path,
    params: Path = Path("params.yaml"),
) -> None:
    """Write the report, for the networks in the parameters.

    Args:
        validation: The JSON file of what was found in the data.
        histories: The folder of the histories, ``<name>.csv``.
        models: The folder of the trained networks, ``<name>.keras``.
        predictions: The folder of the predictions for the test set, ``<name>.csv``.
        normalized: The folder of the normalized arrays.
        figures: The folder of the pictures of the stage `plot`.
        notebook: The JSON file of what the notebook recorded.
        replicates: The folder of ``<name>.json`` from the stage `replicates`.
        tuned: The folder of the stage `tuned`.
        contrasts: The JSON file from the stage `contrast`.
        collapse: The folder of ``<name>.json`` from the stage `collapse`.
        reading: The JSON file from the stage `examine`.
        pictures: The folder of the pictures of that stage.
        page: The HTML file to write.
        params: The parameters.

    Raises:
        ParameterError: A parameter is wrong.
        DataError: A file is missing or damaged, or does not belong to the others.
        MachineError: The page cannot be written.
    """
    sources = Sources(
        validation, histories, models, predictions, normalized, figures, notebook, replicates,
        tuned, contrasts, collapse, reading, pictures, params,
    )  # fmt: skip
    write_text(page, render(read_results(sources)))
    print(f"report: {page}", flush=True)


def render(results: Results) -> str:
    """Make the page.

    Args:
        results: All that it shows.

    Returns:
        HTML with styles, scripts, charts and pictures inside; the same bytes for equal results.
    """
    sections = gather_sections(results)
    charts = [
        chart for section in sections for exhibit in section.exhibits for chart in exhibit.charts
    ]
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["nbsp"] = _keep_together
    return environment.get_template("report.html.jinja").render(
        results=results,
        sections=sections,
        answers=answer(results),
        confounding=say_confounding(results),
        percent=percent,
        hardest=show_hardest(results),
        palette=list(NETWORK_COLORS.items()),
        plotly=get_plotlyjs(),
        charts=serialize(charts),
        css=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
        js=(TEMPLATES / "report.js").read_text(encoding="utf-8"),
    )


def _keep_together(text: str) -> str:
    """Keep a line from breaking between a number and its unit, and within a pair of networks."""
    for loose in (" %", " / "):
        text = text.replace(loose, loose.replace(" ", "\N{NO-BREAK SPACE}"))
    return text
