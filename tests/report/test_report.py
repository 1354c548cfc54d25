"""The stage `report`: what it reads and refuses, and the page that it writes."""

import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from report_inputs import Inputs, write_inputs

from conftest import SECOND
from convdepth.core.errors import DataError
from convdepth.core.files import write_json
from convdepth.figures import style as figures
from convdepth.report import report
from convdepth.report import text_tuning as tuning
from convdepth.report.axes import accuracy_axis, error_share, logarithmic_axis
from convdepth.report.charts import NETWORK_COLORS
from convdepth.report.load import Results, Sources, read_results

MANY_BLOCKS = "".join(
    ["\n  deep:\n"]
    + [
        f"    block{number}: {{conv1: {{filters: 2, kernel_size: 1}}, pool_size: 1}}\n"
        for number in range(1, 12)
    ]
    + ["    head: {units: 4}\n"]
)
NUMERIC_CLASS = {
    "tensorflow": "2.21.0",
    "keras": "3.15.1",
    "device": "Made-up CPU",
    "threads": 1,
    "precision": "float32",
    "onednn": True,
    "deterministic": True,
    "model_sha256": "0" * 64,
}


@pytest.fixture
def inputs(tmp_path: Path, tiny_params: Path, normalized: Path) -> Inputs:
    """Results of `tiny`, which learned and is in the notebook, and `cnn9`, which collapsed."""
    tiny_params.write_text(tiny_params.read_text() + SECOND)
    errors = {"tiny": 0.02, "cnn9": None}
    records, tuned = {"tiny": (0.98, 0.99)}, {"tiny": 0.002}
    return write_inputs(tmp_path, normalized, tiny_params, errors, records=records, tuned=tuned)


def build(inputs: Inputs) -> str:
    report.main(**inputs.arguments())
    return inputs.arguments()["page"].read_text(encoding="utf-8")


def read(inputs: Inputs) -> Results:
    paths = inputs.arguments()
    del paths["page"]
    return read_results(Sources(**paths))


def read_table(page: str, name: str) -> list[list[str]]:
    """The texts of a table's cells, row by row, its header first."""
    whole = page[page.index(f'<table id="table-{name}"') :]
    rows = re.findall(r"<tr>(.*?)</tr>", whole[: whole.index("</table>")], re.DOTALL)
    cells = (re.findall(r"<t[hd]\b.*?</t[hd]>", row, re.DOTALL) for row in rows)
    return [[visible_text(cell).strip() for cell in row] for row in cells]


def read_charts(page: str) -> dict[str, Any]:
    found = re.search(r'id="chart-data">(.*?)</script>', page, re.DOTALL)
    assert found
    charts: dict[str, Any] = json.loads(found[1])["charts"]
    return charts


def visible_text(page: str) -> str:
    """What a reader sees, without styles and scripts, in one line."""
    without = re.sub(r"<(style|script)\b.*?</\1>", " ", page, flags=re.DOTALL)
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", without))
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("&#34;", '"').replace("&#39;", "'")


class Outline(HTMLParser):
    """Collects what an assistive technology goes by."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.headings: list[int] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.landmarks: list[str] = []
        self.unnamed: list[str] = []
        self.outside: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag in ("header", "nav", "main", "footer"):
            self.landmarks.append(tag)
        if found.get("id"):
            self.ids.append(str(found["id"]))
        self.references += str(found.get("aria-labelledby") or "").split()
        if str(found.get("href")).startswith("#"):
            self.references.append(str(found["href"])[1:])
        named = found.get("alt") if tag == "img" else found.get("aria-label")
        if (tag == "img" or found.get("role") == "img") and not named:
            self.unnamed.append(str(attrs))
        source = found.get("src") or (found.get("href") if tag == "link" else "")
        if source and not source.startswith(("#", "data:")):
            self.outside.append(source)


def test_a_second_run_changes_no_byte(inputs: Inputs, capsys: pytest.CaptureFixture[str]) -> None:
    first = build(inputs)
    assert build(inputs) == first
    page = inputs.arguments()["page"]
    assert capsys.readouterr().out == f"report: {page}\n" * 2
    assert [path.name for path in page.parent.iterdir()] == ["index.html"]


def test_the_page_does_not_say_where_it_was_made(inputs: Inputs) -> None:
    assert str(inputs.folder) not in build(inputs)


def test_the_page_is_whole_and_structured(inputs: Inputs) -> None:
    page = build(inputs)
    assert page.startswith('<!DOCTYPE html>\n<html lang="en">')
    outline = Outline(page)
    assert outline.headings.count(1) == 1
    steps = np.diff(outline.headings)
    assert outline.headings[0] == 1
    assert steps.max() == 1
    assert sorted(outline.landmarks) == ["footer", "header", "main", "nav"]
    assert len(set(outline.ids)) == len(outline.ids)
    assert set(outline.references) <= set(outline.ids)
    assert outline.unnamed == []
    assert outline.outside == []


def test_each_chart_has_its_numbers_in_a_table(inputs: Inputs) -> None:
    exhibits = re.split(r'<div class="exhibit"', build(inputs))[1:]
    drawn = [each for each in exhibits if 'class="chart"' in each]
    assert len(drawn) == 9
    for each in drawn:
        assert re.search(r"<details>.*<table", each, re.DOTALL)


def test_the_answer_is_that_of_the_data(inputs: Inputs) -> None:
    text = visible_text(build(inputs))
    assert "tiny has the highest mean accuracy" in text
    assert 'cnn9 collapsed with 3 of 3 seeds: the pipeline\'s run answers "1" to 100.00 %' in text
    assert "Its closing text claims 99.00 % for tiny; its own recorded outputs say 98.00 %" in text
    assert "All 2 rules hold, for 70,000 raw and 2,000 normalized images." in text


def test_tuning_is_shown_with_its_settings_and_its_cost(inputs: Inputs) -> None:
    page = build(inputs)
    text = visible_text(page)
    assert "Does tuning help? Tuning makes tiny better. Tuned, tiny has the highest mean" in text
    assert "There are no two tuned networks of different depth" in text
    settings = page[page.index('<table id="table-settings"') :]
    row = visible_text(settings[: settings.index("</table>")])
    assert "tiny muon 0.004 one cycle 0.01 0.05 0.08 0 0.1 0.5 yes" in row
    costs = page[page.index('<table id="table-tuning-costs"') :]
    assert visible_text(costs[: costs.index("</table>")]).split()[-1] == "24,000"
    assert "cnn9" not in row


def test_without_tuned_networks_the_page_says_so(inputs: Inputs, tmp_path: Path) -> None:
    errors = {"tiny": 0.05, "cnn9": 0.01}
    other = write_inputs(tmp_path / "other", inputs.normalized, inputs.params, errors)
    page = build(other)
    assert "No tuning was confirmed: no network has settings" in visible_text(page)
    assert "chart-tuning" not in page


def test_a_tuned_network_that_failed_by_the_recipe_is_drawn_alone(
    inputs: Inputs, tmp_path: Path
) -> None:
    errors, tuned = {"tiny": 0.05, "cnn9": None}, {"tiny": 0.02, "cnn9": 0.01}
    other = write_inputs(tmp_path / "o", inputs.normalized, inputs.params, errors, tuned=tuned)
    page = build(other)
    traces = read_charts(page)["tuning"]["data"]
    assert [trace["meta"] for trace in traces] == ["tiny", "tiny", "cnn9"]
    text = visible_text(page)
    assert "cnn9 did not learn by the recipe" in text
    assert "Among the tuned networks: more depth helps here" in text


def test_other_data_give_another_answer(inputs: Inputs, tmp_path: Path) -> None:
    other = write_inputs(
        tmp_path / "other", inputs.normalized, inputs.params, {"tiny": 0.05, "cnn9": 0.01}
    )
    text = visible_text(build(other))
    assert "More depth helps here: the deeper network is better in the only pair." in text
    assert "cnn9 has the highest mean accuracy" in text
    assert "None: each network learned with each of its 3 seeds." in text
    assert "The notebook has none of these networks." in text


def test_everything_may_have_collapsed(inputs: Inputs, tmp_path: Path) -> None:
    errors = {"tiny": None, "cnn9": None}
    other = write_inputs(tmp_path / "other", inputs.normalized, inputs.params, errors)
    text = visible_text(build(other))
    assert "No network learned with every seed." in text
    assert "No effect of depth can be seen" in text


def test_one_network_and_one_seed_are_enough(
    tmp_path: Path, tiny_params: Path, normalized: Path
) -> None:
    single = write_inputs(tmp_path, normalized, tiny_params, {"tiny": 0.02}, seeds=1, epochs=1)
    text = visible_text(build(single))
    assert "There are no two networks of different depth" in text
    assert "One network" in text


def test_networks_are_those_of_the_parameters_in_their_order(inputs: Inputs) -> None:
    (inputs.folder / "replicates" / "stale.json").write_text("{}")
    page = build(inputs)
    assert [row[0] for row in read_table(page, "results")[1:]] == ["tiny", "cnn9"]
    assert "stale" not in visible_text(page)


def test_mappings_of_result_files_are_in_the_order_of_the_parameters(
    inputs: Inputs, tmp_path: Path
) -> None:
    inputs.params.write_text(inputs.params.read_text() + MANY_BLOCKS)
    names = ["tiny", "cnn9", "deep"]  # in no order of the alphabet
    pairs = ["tiny / cnn9", "tiny / deep", "cnn9 / deep"]
    errors = {"tiny": 0.05, "cnn9": 0.01, "deep": 0.03}
    other = write_inputs(tmp_path / "other", inputs.normalized, inputs.params, errors, tuned=errors)
    reading = other.folder / "reading.json"
    content = json.loads(reading.read_text())
    content["all_fail"]["networks"].sort()
    write_json(reading, content)
    results = read(other)
    contrasts, found = results.contrasts, results.reading
    for by_pair in (contrasts.pairs, contrasts.tuned.pairs, found.agreement):
        assert list(by_pair) == pairs
    for by_network in (contrasts.gains.networks, found.networks, found.all_fail.networks):
        assert list(by_network) == names
    for hard in found.hardest:
        assert list(hard.answers) == names
    blocks = [f"block{number}" for number in range(1, 12)]
    for point in results.networks[2].collapse.points:
        assert list(point.signal) == [*blocks, "head_dense"]
        for run in point.runs:
            assert list(run.signal) == [*blocks, "head_dense"]
            assert list(run.gradient_norm) == list(run.agreement) == blocks


def test_ten_blocks_or_more_are_drawn_in_the_order_of_the_parameters(
    inputs: Inputs, tmp_path: Path
) -> None:
    inputs.params.write_text(inputs.params.read_text() + MANY_BLOCKS)
    errors = {"tiny": 0.05, "cnn9": 0.01, "deep": 0.03}
    page = build(write_inputs(tmp_path / "o", inputs.normalized, inputs.params, errors))
    trace = read_charts(page)["collapse-gradient-norm"]["data"][2]
    assert trace["meta"] == "deep"
    assert trace["x"] == list(range(1, 12))
    assert trace["y"] == pytest.approx([0.3 / number for number in range(1, 12)])
    rows = [row[1] for row in read_table(page, "blocks")[1:] if row[0] == "deep"]
    assert rows == [*(f"block{number}" for number in range(1, 12)), "head_dense"]


def test_tuned_networks_are_in_the_order_of_the_parameters(inputs: Inputs, tmp_path: Path) -> None:
    errors, tuned = {"tiny": 0.05, "cnn9": 0.04}, {"tiny": 0.02, "cnn9": 0.01}
    other = write_inputs(tmp_path / "o", inputs.normalized, inputs.params, errors, tuned=tuned)
    page = build(other)
    for name in ("tuning", "settings", "tuning-costs"):
        assert [row[0] for row in read_table(page, name)[1:]] == ["tiny", "cnn9"]
    assert [row[0] for row in read_table(page, "tuned-pairs")[1:]] == ["tiny / cnn9"]
    assert re.findall("tiny|cnn9", tuning.say_tuning(read(other)))[:2] == ["tiny", "cnn9"]


def test_the_results_have_the_top_2_accuracy(inputs: Inputs) -> None:
    header, *rows = read_table(build(inputs), "results")
    column = header.index("top-2 accuracy")
    for row in rows:
        table = pd.read_csv(inputs.folder / "predictions" / f"{row[0]}.csv")
        among = table[["predicted", "second"]].eq(table["label"], axis=0).any(axis=1).mean()
        assert row[column] == f"{100 * among:.2f} %"


def test_charts_hold_the_accuracies(inputs: Inputs) -> None:
    traces = read_charts(build(inputs))["curves-val-accuracy"]["data"]
    mean = next(each for each in traces if "tiny, mean of" in each["hovertext"][0])
    assert mean["meta"] == "tiny"
    replicates = json.loads((inputs.folder / "replicates" / "tiny.json").read_text())
    last = [run["curves"]["val_accuracy"][-1] for run in replicates["runs"]]
    assert mean["hovertext"][-1].endswith(f"epoch 4: {100 * np.mean(last):.2f} %")
    assert mean["y"][-1] == pytest.approx(1 - np.mean(last))
    records = json.loads((inputs.folder / "notebook.json").read_text())
    recorded = [each for each in traces if ", notebook," in each["hovertext"][0]]
    assert [each["meta"] for each in recorded] == list(records)
    for each in recorded:
        shown = [text.rpartition(": ")[2] for text in each["hovertext"]]
        epochs = records[each["meta"]]["epochs"]
        assert shown == [f"{100 * epoch['val_accuracy']:.2f} %" for epoch in epochs]


def test_the_hardest_images_are_shown_with_all_answers(inputs: Inputs) -> None:
    text = visible_text(build(inputs))
    hardest = json.loads((inputs.folder / "reading.json").read_text())["hardest"]
    assert len(hardest) == 16
    first = hardest[0]
    assert f"label {first['label']} image {first['index']}" in text
    assert f"tiny: {first['answers']['tiny']} ✗ wrong" in text


def test_models_are_found_by_the_digest_of_their_files(inputs: Inputs) -> None:
    (inputs.folder / "models" / "tiny.keras").write_bytes(b"a model")
    digest = hashlib.md5(b"a model").hexdigest()
    assert f"git log --reverse -S{digest} -- dvc.lock" in build(inputs)


def test_the_record_beside_a_model_does_not_change_the_page(inputs: Inputs) -> None:
    records = [inputs.folder / "models" / f"{name}.numeric_class.json" for name in ("tiny", "cnn9")]
    for record in records:
        record.unlink(missing_ok=True)
    without = build(inputs)
    for record in records:
        write_json(record, NUMERIC_CLASS)
    assert build(inputs) == without
    for record in records:
        record.write_text("damaged")
    assert build(inputs) == without


def test_the_page_has_the_precision_and_the_threads_of_the_parameters(inputs: Inputs) -> None:
    text = inputs.params.read_text()
    changed = text.replace("  precision: float32", "  precision: mixed_bfloat16", 1)
    inputs.params.write_text(changed.replace("  threads: 1 ", "  threads: 3 ", 1))
    exhibit = build(inputs).partition('id="reproduce-models"')[2]
    note = re.search(r'<p class="note">(.*?)</p>', exhibit)
    assert note
    assert {"mixed_bfloat16", "3 threads", "`convdepth doctor`"} <= set(
        re.findall(r"mixed_bfloat16|\d+ threads?|`[^`]+`", note[1])
    )


def test_a_name_cannot_break_out_of_the_page(inputs: Inputs) -> None:
    summary = inputs.folder / "validation.json"
    content = json.loads(summary.read_text())
    content["rules"][0]["rule"] = "</script><script>alert(1)</script>"
    write_json(summary, content)
    page = build(inputs)
    assert "<script>alert(1)" not in page
    assert "&lt;/script&gt;" in page


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("validation.json", "dvc repro validate"),
        ("histories/tiny.csv", "dvc repro train@tiny"),
        ("models/tiny.keras", "dvc repro train@tiny"),
        ("predictions/tiny.csv", "dvc repro evaluate@tiny"),
        ("figures/confusion.png", "dvc repro plot"),
        ("notebook.json", "git checkout"),
        ("replicates/tiny.json", "dvc repro studies/dvc.yaml"),
        ("tuned/summary.json", "dvc repro studies/dvc.yaml"),
        ("contrasts.json", "dvc repro studies/dvc.yaml"),
        ("collapse/tiny.json", "dvc repro studies/dvc.yaml"),
        ("reading.json", "dvc repro studies/dvc.yaml"),
        ("pictures/kernels.png", "dvc repro studies/dvc.yaml"),
    ],
)
def test_a_missing_file_is_named_with_what_makes_it(
    file: str, command: str, inputs: Inputs
) -> None:
    (inputs.folder / file).unlink()
    with pytest.raises(DataError) as caught:
        build(inputs)
    assert str(inputs.folder / file) in str(caught.value)
    assert command in str(caught.value)
    assert not inputs.arguments()["page"].exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"accuracy": 2}', "\xff"])
@pytest.mark.parametrize(
    "file",
    [
        "validation.json",
        "replicates/tiny.json",
        "tuned/summary.json",
        "contrasts.json",
        "collapse/tiny.json",
        "reading.json",
    ],
)
def test_a_damaged_file_is_named(file: str, content: str, inputs: Inputs) -> None:
    (inputs.folder / file).write_text(content, encoding="latin-1")
    with pytest.raises(DataError, match="cannot be read") as caught:
        build(inputs)
    assert str(inputs.folder / file) in str(caught.value)


def forget_network(content: dict[str, dict[str, object]]) -> None:
    del content["networks"]["cnn9"]


def forget_gain(content: dict[str, dict[str, dict[str, object]]]) -> None:
    content["gains"]["networks"].clear()


def forget_pair(content: dict[str, dict[str, object]]) -> None:
    content["pairs"].clear()


@pytest.mark.parametrize(
    ("file", "forget", "message"),
    [
        ("reading.json", forget_network, r"expected an entry for cnn9, got tiny"),
        ("contrasts.json", forget_pair, r"expected the pair tiny / cnn9, got none"),
        ("contrasts.json", forget_gain, r"expected gains of tiny, .*summary\.json has, got none"),
    ],
)
def test_what_a_new_network_lacks_is_named(
    file: str, forget: Callable[[dict[str, dict[str, object]]], None], message: str, inputs: Inputs
) -> None:
    path = inputs.folder / file
    content = json.loads(path.read_text())
    forget(content)
    write_json(path, content)
    with pytest.raises(DataError, match=message):
        build(inputs)


def test_contrasts_of_other_seeds_are_refused(inputs: Inputs) -> None:
    path = inputs.folder / "contrasts.json"
    write_json(path, json.loads(path.read_text()) | {"seeds": 5})
    with pytest.raises(DataError, match=r"is of 5 seeds, and tiny has 3"):
        build(inputs)


def test_answers_to_other_images_are_refused(inputs: Inputs) -> None:
    path = inputs.folder / "predictions" / "tiny.csv"
    pd.read_csv(path).iloc[::-1].to_csv(path, index=False)
    with pytest.raises(DataError, match=r"labels of the 2000 test images.*evaluate@tiny"):
        build(inputs)


def test_a_training_that_is_not_the_first_seed_is_said_to_be_another(inputs: Inputs) -> None:
    assert "run of each network is the first of its seeds" in visible_text(build(inputs))
    path = inputs.folder / "histories" / "cnn9.csv"
    table = pd.read_csv(path)
    table.loc[0, "loss"] += 0.001
    table.to_csv(path, index=False)
    assert "The first seed of cnn9 is not the pipeline's run" in visible_text(build(inputs))


def test_a_hard_image_that_does_not_exist_is_refused(inputs: Inputs) -> None:
    path = inputs.folder / "reading.json"
    content = json.loads(path.read_text())
    content["hardest"][0]["index"] = 2000
    write_json(path, content)
    with pytest.raises(DataError, match=r"images from 0 to 1999, got 2000"):
        build(inputs)


def test_the_colors_are_those_of_the_other_figures() -> None:
    assert tuple(NETWORK_COLORS) == figures.COLORS


def test_an_axis_of_accuracies_has_round_marks() -> None:
    assert error_share(1.0, 10_000) == 0.00005
    whole = accuracy_axis([0.8865, 0.008], is_vertical=False)
    assert whole["ticktext"][0] == "10"
    assert whole["ticktext"][-1] == "99"
    near = accuracy_axis([0.0081, 0.0125], is_vertical=False)
    assert near["ticktext"] == ["99.2", "99", "98.8", "98.6"]
    crowded = accuracy_axis([0.0062, 0.0150], is_vertical=False)
    assert "" not in accuracy_axis([0.0062, 0.0150], is_vertical=True)["ticktext"]
    assert crowded["ticktext"] == ["99.4", "99.2", "99", "", "98.6", "", "98.2"]


def test_an_axis_within_one_power_of_ten_has_marks() -> None:
    assert logarithmic_axis([24e6, 35e6])["ticktext"] == ["25M", "30M", "35M", "40M"]
    assert logarithmic_axis([0.02, 2.3])["ticktext"] == [
        "0.02",
        "0.05",
        "0.1",
        "0.2",
        "0.5",
        "1",
        "2",
    ]
    assert logarithmic_axis([1e-5, 1])["exponentformat"] == "power"
    assert logarithmic_axis([0.0])["type"] == "log"
