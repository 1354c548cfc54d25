"""The stage `report`: what it reads and refuses, and the page that it writes."""

import html
import json
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_inputs import make_depth, make_network, make_results, write_inputs

from conftest import SECOND
from convdepth.core.errors import DataError
from convdepth.core.files import write_json
from convdepth.report import report
from convdepth.report.charts import accuracy_axis, error_share, make_charts

GOLDEN = Path(__file__).parent / "golden_page.txt"
REWRITE = "CONVDEPTH_REWRITE_GOLDEN"
"""``CONVDEPTH_REWRITE_GOLDEN=1 pytest tests/report`` approves the page's present wording."""

STUDIES = "dvc repro studies/dvc.yaml"
COMPARISONS = "answer pairs tuning costs"
DAMAGED = {
    "validation": "dvc repro validate",
    "answers/recipe": f"{STUDIES}:recipe",
    "answers/tuned": f"{STUDIES}:tuned",
    "answers/depth": f"{STUDIES}:depth",
    "recipe/recipe/tiny/2.scores": STUDIES,
    "collapse/tiny": f"{STUDIES}:collapse@tiny",
    "reading": f"{STUDIES}:examine",
}
DEAD = {"accuracies": [0.1135] * 3, "collapsed": True}


@pytest.fixture
def inputs(tmp_path: Path, tiny_params: Path, normalized: Path) -> dict[str, Path]:
    """Results of `tiny`, which learned and is tuned, and `cnn9`, which collapsed."""
    tiny_params.write_text(tiny_params.read_text() + SECOND)
    tiny = {"tuned": 0.995, "record": (0.98, 0.99)}
    return write_inputs(tmp_path, normalized, tiny_params, tiny=tiny, cnn9=DEAD)


def build(inputs: dict[str, Path]) -> str:
    report.main(**inputs)
    return inputs["page"].read_text(encoding="utf-8")


def read_sections(page: str) -> dict[str, str]:
    """Return the markup of each section by its id."""
    found = re.findall(r'<section id="([^"]+)"(.*?)</section>', page, re.DOTALL)
    return {name: html.unescape(part) for name, part in found}


def read_table(page: str, name: str) -> list[list[str]]:
    """Return the texts of a table's cells, row by row, without the header."""
    whole = page[page.index(f'<table id="table-{name}"') :]
    rows = re.findall(r"<tr>(.*?)</tr>", whole[: whole.index("</table>")], re.DOTALL)
    cells = (re.findall(r"<t[hd]\b.*?</t[hd]>", row, re.DOTALL) for row in rows[1:])
    return [[visible_text(cell).rstrip(" |") for cell in row] for row in cells]


def visible_text(page: str) -> str:
    """Return the text that a reader sees, one line per paragraph, heading or row."""
    text = re.sub(r"<(style|script)\b.*?</\1>", " ", page, flags=re.DOTALL)
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r"</(p|h\d|tr|dt|dd|li|caption|summary|figcaption|pre)>", "\n", text)
    text = html.unescape(re.sub(r"<[^>]+>", " ", re.sub(r"</t[hd]>", " | ", text)))
    lines = (re.sub(r"\s+", " ", line).strip() for line in text.split("\n"))
    return "\n".join(line for line in lines if line).removesuffix(" |")


def test_the_page_is_structured_and_self_contained(inputs: dict[str, Path], tmp_path: Path) -> None:
    page = build(inputs)
    assert build(inputs) == page
    assert str(tmp_path) not in page
    assert [path.name for path in inputs["page"].parent.iterdir()] == ["index.html"]
    assert page.startswith('<!DOCTYPE html>\n<html lang="en">')
    markup = re.sub(r"<script\b.*?</script>", "", page, flags=re.DOTALL)
    headings = [int(level) for level in re.findall(r"<h([1-6])", markup)]
    assert (headings[0], headings.count(1), np.diff(headings).max()) == (1, 1, 1)
    landmarks = re.findall(r"<(header|nav|main|footer)\b", markup)
    assert landmarks == ["header", "nav", "main", "footer"]
    ids = re.findall(r' id="([^"]+)"', markup)
    assert len(set(ids)) == len(ids)
    assert set(re.findall(r'(?:aria-labelledby="|href="#)([^"]+)"', markup)) <= set(ids)
    images = re.findall(r'<img\b[^>]*>|<[^>]*role="img"[^>]*>', markup)
    assert len(images) > 13
    assert all(re.search(r'(alt|aria-label)="[^"]', image) for image in images)
    assert re.findall(r'(?:src|href)="(?!#|data:)[^"]*"|@import|url\(', markup) == []
    exhibits = re.split(r'<div class="exhibit"', page)[1:]
    drawn = [each for each in exhibits if 'class="chart"' in each]
    assert sum(each.count('class="chart"') for each in drawn) == 12
    assert all(re.search(r"<table", each) for each in drawn)


def test_the_wording_is_approved() -> None:
    first_seed = {"one / three": (30, 5, 0.001)}
    winners = {"one / seven": "one", "three / seven": "three"}
    networks = [
        make_network("one", 0, 1, tuned=0.995, record=(0.9916, 0.9906)),
        make_network("three", 1, 3, [0.985, 0.987, 0.986], tuned=0.99, record=(0.97, 0.97)),
        make_network("seven", 2, 7, **DEAD, tuned=0.994),
    ]
    results = make_results(networks, winners, {"one / three": "one"}, {"three": None}, first_seed)
    text = visible_text(report.render(results)) + "\n"
    if REWRITE in os.environ:
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8"), f"if it is right: {REWRITE}=1 pytest"


LEARNED = [make_network("a", 0, 1), make_network("b", 1, 2)]
COLLAPSED = [make_network(name, i, i + 1, **DEAD) for i, name in enumerate("ab")]
FIVE = [make_network(f"cnn{2 * i + 1}", i, i + 1, tuned=0.99) for i in range(5)]


@pytest.mark.parametrize(
    "networks",
    [LEARNED, COLLAPSED, FIVE, FIVE[:1], [make_network("solo", 0, 1, [0.99])]],
    ids=["nothing tuned", "all collapsed", "five networks", "one network", "one seed"],
)
def test_the_page_fits_other_results(networks: Sequence[Any]) -> None:
    page = report.render(make_results(networks))
    assert [row[0] for row in read_table(page, "results")] == [each.name for each in networks]


def test_held_out_images_and_broken_rules_are_named() -> None:
    results = make_results(LEARNED)
    rules = [results.validation.rules[1].model_copy(update={"num_broken": 3})]
    validation = results.validation.model_copy(update={"rules": rules, "success": False})
    recipe = results.recipe.model_copy(update={"validation_images": 5_000})
    text = visible_text(report.render(replace(results, recipe=recipe, validation=validation)))
    assert "5,000 held-out training images" in text
    assert "1 of 2 rules is broken" in text
    assert "3 rows in breach" in text


def test_files_are_read_in_the_parameters_order(inputs: dict[str, Path], tmp_path: Path) -> None:
    block = "{conv1: {filters: 2, kernel_size: 1}, pool_size: 1}"
    blocks = [f"block{number}" for number in range(1, 12)]
    deep = "".join(f"    {name}: {block}\n" for name in blocks)
    params = inputs["params"]
    params.write_text(f"{params.read_text()}\n  deep:\n{deep}    head: {{units: 4}}\n")
    stale = tmp_path / "other" / "recipe" / "recipe" / "tiny" / "4.scores.json"
    stale.parent.mkdir(parents=True)
    stale.write_text("{}")
    names = ["tiny", "cnn9", "deep"]  # the files have them sorted
    tuned = {name: {"tuned": 0.99} for name in names}
    page = build(write_inputs(tmp_path / "other", inputs["normalized"], params, **tuned))
    for table in ("results", "seeds", "tuning"):
        assert [row[0] for row in read_table(page, table)] == names
    pairs = ["tiny / cnn9", "tiny / deep", "cnn9 / deep"]
    assert [row[0] for row in read_table(page, "tuned-pairs")] == pairs
    rows = [row[1] for row in read_table(page, "blocks") if row[0] == "deep"]
    assert rows == [*blocks, "head_dense"]
    assert "4 seeds" not in visible_text(page)


def test_charts_hold_the_accuracies() -> None:
    traces = make_charts(make_results([make_network("a", 0, record=(0.98, 0.98))]))["val-accuracy"]
    assert [trace.meta for trace in traces.data] == ["a"] * 5  # three seeds, mean, notebook
    mean, notebook = traces.data[3:]
    assert mean.y[-1] == pytest.approx(1 - 0.991)
    assert mean.hovertext[-1].endswith("epoch 3: 99.10%")
    assert notebook.hovertext[0].endswith("epoch 1: 95.00%")


def test_an_axis_of_accuracies_has_round_ticks() -> None:
    assert error_share(1.0, 10_000) == 0.00005
    whole = accuracy_axis([0.8865, 0.008])["ticktext"]
    assert (whole[0], whole[-1]) == ("10", "99")
    assert accuracy_axis([0.0081, 0.0125])["ticktext"] == ["99.2", "99", "98.8", "98.6"]
    assert accuracy_axis([0.0081, 0.0125], 0.3)["ticktext"] == ["99.2", "98.8"]


def test_a_first_seed_of_another_run_is_shown_and_text_is_escaped(inputs: dict[str, Path]) -> None:
    path = inputs["tables"] / "curves.csv"
    path.write_text(path.read_text().replace("cnn9,0.5", "cnn9,0.7"))
    content = json.loads(inputs["validation"].read_text())
    content["rules"][0]["rule"] = "</script><script>alert(1)</script>"
    write_json(inputs["validation"], content)
    page = build(inputs)
    assert "The first seed of cnn9 differs from the pipeline's run" in visible_text(page)
    assert "<script>alert(1)" not in page
    assert "&lt;/script&gt;" in page


@pytest.mark.parametrize(
    ("file", "command", "sections"),
    [
        ("validation.json", "dvc repro validate", "data"),
        ("figures/confusion.png", "dvc repro plot", "reading"),
        ("answers/recipe.json", f"{STUDIES}:recipe", f"{COMPARISONS} seeds curves reading"),
        ("answers/tuned.json", f"{STUDIES}:tuned", COMPARISONS),
        ("collapse/tiny.json", f"{STUDIES}:collapse@tiny", "collapse"),
        ("answers/depth.json", f"{STUDIES}:depth", "depth"),
        ("reading.json", f"{STUDIES}:examine", "reading"),
        ("pictures/kernels.png", f"{STUDIES}:examine", "reading"),
    ],
)
def test_sections_name_an_absent_file_and_its_command_and_other_sections_are_whole(
    file: str, command: str, sections: str, inputs: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / file).unlink()
    parts = read_sections(build(inputs))
    absent = {name for name, part in parts.items() if str(tmp_path / file) in part}
    assert absent == set(sections.split())
    for name, part in parts.items():
        assert "<h2" in part
        assert (name in absent) == (f"{command}`" in part)
        assert name in absent or len(part) > 500


def test_a_network_that_no_study_has_is_named(inputs: dict[str, Path], tmp_path: Path) -> None:
    tables, params = inputs["tables"], inputs["params"]
    params.write_text(params.read_text() + SECOND.replace("cnn9", "new"))
    again = write_inputs(tmp_path / "again", inputs["normalized"], params)
    page = build(inputs | {"tables": again["tables"]})
    assert [row[0] for row in read_table(page, "results")] == ["tiny", "cnn9", "new"]
    absent = {name for name, part in read_sections(page).items() if 'class="absent"' in part}
    assert absent == {*read_sections(page)} - {
        *("results", "data", "depth", "questions", "tuning", "reproduce")
    }
    with pytest.raises(DataError, match=r"scores\.csv: network: .*new.*dvc repro plot"):
        build(inputs | {"tables": tables})


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("tables/scores.csv", None, None, "dvc repro plot"),
        ("tables/scores.csv", "collapsed", "fine", "status.*dvc repro plot"),
        ("tables/scores.csv", ",0.990000", ",0.980000", "tiny: .*accuracy.*dvc repro plot"),
        ("tables/scores.csv", "top2_accuracy", "top", "top2_accuracy.*dvc repro plot"),
        ("tables/confusion.csv", "network", "name", "network.*dvc repro plot"),
        ("tables/confusion.csv", "tiny,", "tiny,1", "tiny: .*test images.*dvc repro plot"),
        ("tables/confusion.csv", "tiny,0\n", "", "dvc repro plot"),
        ("tables/curves.csv", "0.5", "O.5", "loss.*dvc repro plot"),
        ("notebook.json", None, None, "git checkout"),
        *((f"{name}.json", "{", '{"a": 1,', command) for name, command in DAMAGED.items()),
    ],
)
def test_a_damaged_file_is_named_with_its_command(
    file: str,
    old: str | None,
    new: str | None,
    message: str,
    inputs: dict[str, Path],
    tmp_path: Path,
) -> None:
    path = tmp_path / file
    text = path.read_text()
    path.unlink()
    if old is not None and new is not None:
        assert old in text
        path.write_text(text.replace(old, new, 1))
    with pytest.raises(DataError, match=rf"(?s){file}.*{message}|{path.parent}: {message}"):
        build(inputs)
    assert not inputs["page"].exists()


@pytest.mark.parametrize(
    ("file", "keys", "value", "message"),
    [
        ("reading.json", "hardest.0.index", 2_000, r"hardest: .*1999.*2000"),
        ("answers/recipe.json", "groups.recipe.0.seeds", [1, 5], r"5\.scores\.json"),
        ("collapse/tiny.json", "points.0.runs.0.signal.block1", None, r"points\.0.*block1"),
    ],
)
def test_files_that_do_not_match_are_named(
    file: str, keys: str, value: Any, message: str, inputs: dict[str, Path], tmp_path: Path
) -> None:
    change(tmp_path / file, keys, value)
    with pytest.raises(DataError, match=message) as caught:
        build(inputs)
    assert STUDIES in str(caught.value)


def test_without_all_depths_there_is_no_verdict_and_without_any_no_section(
    inputs: dict[str, Path], tmp_path: Path
) -> None:
    write_json(tmp_path / "answers" / "depth.json", make_depth(()))
    part = read_sections(build(inputs))["depth"]
    assert "better" not in visible_text(part).split("Equal at")[0]
    assert read_table(build(inputs), "depth-size")[0][3] == "1"
    write_json(tmp_path / "answers" / "depth.json", make_depth(()) | {"trained": 0})
    assert 'class="absent"' in read_sections(build(inputs))["depth"]


@pytest.mark.parametrize(
    ("file", "keys", "value"),
    [
        ("reading.json", "networks.cnn9", None),
        ("answers/recipe.json", "groups.recipe", []),
        ("answers/recipe.json", "comparisons", []),
        ("answers/tuned.json", "gains", {}),
    ],
)
def test_a_network_is_absent(
    file: str, keys: str, value: Any, inputs: dict[str, Path], tmp_path: Path
) -> None:
    change(tmp_path / file, keys, value)
    where = f"{Path(file).name}: {keys.partition('.')[0]}: "
    assert any(where in part for part in read_sections(build(inputs)).values())


def change(path: Path, keys: str, value: Any) -> None:
    """Set a value of a JSON file by its dotted key; None deletes it."""
    content = part = json.loads(path.read_text())
    *above, last = keys.split(".")
    for key in above:
        part = part[int(key) if key.isdigit() else key]
    part[last] = value
    if value is None:
        del part[last]
    write_json(path, content)
