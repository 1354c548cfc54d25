"""README and docs tell the results that are committed, commands that exist, and true links."""

import json
import re
import shlex
import shutil
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
from report_inputs import make_depth

from conftest import PROJECT
from convdepth.commands.readme import SECTIONS, update_pages
from convdepth.config.params import read_params
from convdepth.core.errors import DataError
from convdepth.core.files import write_json

WITH_TABLES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
PAGES = [
    *WITH_TABLES,
    *(PROJECT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md")),
]
TEXTS = {page: page.read_text(encoding="utf-8") for page in PAGES}
METRICS = PROJECT / "metrics"
NAMES = list(read_params(PROJECT / "params.yaml").architectures)


def update(pages: Sequence[Path], metrics: Path = METRICS) -> None:
    update_pages(pages, metrics, PROJECT / "data" / "notebook.json", PROJECT / "params.yaml")


def test_the_tables_are_those_of_the_committed_results(tmp_path: Path) -> None:
    copies = [Path(shutil.copy(page, tmp_path)) for page in WITH_TABLES]
    update(copies)
    for copy, page in zip(copies, WITH_TABLES, strict=True):
        assert copy.read_text(encoding="utf-8") == TEXTS[page], page


def test_each_table_follows_its_results(tmp_path: Path) -> None:
    page, metrics = tmp_path / "page.md", tmp_path / "metrics"
    page.write_text("".join(f"<!-- {name} --><!-- /{name} -->\n" for name in SECTIONS))
    collapsed = {"status": "collapsed", "evidence": {"answer_share": 0.987, "answer": 1}}
    for name in NAMES:
        entry = json.loads((METRICS / f"{name}.json").read_text(encoding="utf-8"))
        entry |= {"notebook_accuracy": None, **collapsed} if name == NAMES[0] else {}
        write_json(metrics / f"{name}.json", entry)
        write_json(metrics / "digests" / f"{name}.json", {"model": f"digest of {name}"})
    accuracy = {"mean": 0.99206, "standard_deviation": 0.000472, "low": 0.99042, "high": 0.99362}
    clear = {"mean": 0.99405, "standard_deviation": 0.001}
    over = {"vote": 0.9935, "agreement": 0.98, "accuracy_without_doubtful": clear}
    mean = {"mean": 0.0261, "standard_deviation": None}
    network = {"parameters": 1, "flop": 1, "seeds": [1, 2, 3, 4, 5], "failed": 1}
    network |= {"accuracy": accuracy, "loss": mean, "over_seeds": over, "by_corruption": {}}
    network |= {"calibration_error": mean | {"mean": 0.003}}
    judged = {"difference": -0.00002, "low": -0.005, "high": -0.0008, "verdict": "worse"}
    judged |= {"p": 0.01, "error": 0.001, "corrected_equivalence_p": 1.0}
    pair = {"first": "cnn1", "second": "cnn3", "agreement": 0.9, "first_seed": None} | judged
    gains = {"cnn3": judged | {"corrected_p": 0.00001}}
    for question, name, p, vote, gained in (
        ("recipe", "cnn1", 0.0123, 0.995, {}),
        ("tuned", "cnn3", None, None, gains),
    ):
        answer = {
            "groups": {question: [network | {"network": name}]},
            "votes": {question: vote},
            "comparisons": [pair | {"group": question, "corrected_p": p}],
            "gains": gained,
        }
        answer |= {"seeds": 5, "trained": 5, "planned": 5}
        write_json(metrics / "studies" / f"{question}.json", answer)
    write_json(metrics / "studies" / "depth.json", make_depth())
    write_json(metrics / "studies" / "fresh.json", make_depth(()))
    update([page], metrics)
    text = page.read_text()
    assert '| - | collapsed: 98.70% of its answers are "1" |' in text
    verdicts = "1 times depth 3 is better; 1 times not settled"
    difference = "largest difference +0.40 (-10.00 to +10.00): 3 less 1, `width`"
    assert f"| means 98.00 to 99.00%; {difference} | {verdicts} | - |" in text
    assert "| 4 of 8 trainings | - | - |" in text
    assert text.count("| no training yet | - | - |") == 3
    for row in (
        "| `width 3` | 90,000 | 2 | **99.00%** | 0.10% | 0.020 | 2.00% | +0.40 | 1 | 1 "
        "| depth 3 is better |",
        "| `cnn1` | **99.21%** | 0.05% | 99.04% to 99.36% | 0.026 | 0.30% | 1 of 5 |",
        "| `cnn3` | not run | - | - | - | - | - |",
        "| `cnn1` / `cnn3` | 0.00 | -0.50 to -0.08 | 0.012 | 1 | worse |",
        "| `cnn1` / `cnn3` | 0.00 | -0.50 to -0.08 | - | 1 | worse |",
        "| `cnn3` | **99.21%** | 0.05% | 0.026 | 0.30% | 0.00 | -0.50 to -0.08 | < 0.001 | 1 "
        "| worse |",
        "| `cnn1` | 99.41% | 98.00% | 99.35% | - | - | - |",
        "| `cnn3` | - | - | - | 99.41% | 98.00% | 99.35% |",
        "| `all` | - | - | 99.50% | - | - | - |",
        "| `cnn1` | 1 | 1,199,882 | - | **99.21%** ± 0.05 | - |",
        "| `cnn3` | 3 | 62,466 | 98.90% | - | **99.21%** ± 0.05 |",
        "| `cnn3` | `digest of cnn3` |",
    ):
        assert text.splitlines().count(row) == 1, row


@pytest.mark.parametrize("page", WITH_TABLES, ids=lambda page: page.name)
def test_no_other_number_of_a_result_is_in_the_text(page: Path) -> None:
    text = re.sub(r"(?s)<!-- (\w+) -->.*?<!-- /\1 -->", "", TEXTS[page])
    assert not re.findall(r"\d+\.\d\d+ ?%|0\.9\d+", text)


def test_what_is_missing_is_named_and_no_page_changes(tmp_path: Path) -> None:
    pages = [Path(shutil.copy(page, tmp_path)) for page in WITH_TABLES]
    with pytest.raises(DataError, match=rf"{NAMES[0]}\.json: cannot be read.*dvc repro"):
        update(pages, tmp_path / "nowhere")
    last = pages[-1].read_text()
    pages[-1].write_text("<!-- overview --><!-- /overview -->")
    with pytest.raises(DataError, match=r"README\.md.*<!-- overview -->.* in 2"):
        update(pages)
    pages[-1].write_text(last)
    pages[0].write_text("no marks")
    with pytest.raises(DataError, match=r"README\.md.*<!-- overview -->.* in 0"):
        update(pages)
    assert pages[0].read_text() == "no marks"


@pytest.mark.parametrize(
    "change", [("max_images:", "max_images: 5000"), ("epochs: 12", "epochs: 2")]
)
def test_a_quick_trial_is_no_headline(tmp_path: Path, change: tuple[str, str]) -> None:
    page, params = tmp_path / "page.md", Path(shutil.copy(PROJECT / "params.yaml", tmp_path))
    page.write_text("none")
    lock = (PROJECT / "dvc.lock").read_text(encoding="utf-8")
    assert change[0] in lock
    (tmp_path / "dvc.lock").write_text(lock.replace(*change))
    with pytest.raises(DataError, match=rf"dvc\.lock: .*{change[1].replace(':', ' was')}"):
        update_pages([page], METRICS, PROJECT / "data" / "notebook.json", params)
    assert page.read_text() == "none"


def test_the_readme_is_short() -> None:
    assert len(TEXTS[PROJECT / "README.md"].encode()) <= 7000


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_or_folder_and_a_heading_of_it(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", TEXTS[page]):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.is_relative_to(PROJECT), link
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = [re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings]
            assert anchor in slugs, link


@pytest.mark.parametrize(
    ("program", "module"),
    [("convdepth", "convdepth.cli"), ("python -m pipelines", "pipelines.__main__")],
)
def test_every_command_that_a_page_shows_is_understood(program: str, module: str) -> None:
    group: Any = typer.main.get_command(import_module(module).app)
    shown = [line for text in TEXTS.values() for line in commands(text, program)]
    assert len(shown) > 3
    for line in dict.fromkeys(shown):
        words = shlex.split(line.removeprefix(program))
        parent = group.make_context(program, words)
        name, command, rest = group.resolve_command(parent, words)
        if rest:  # else the text may only name it
            command.make_context(name, rest, parent)  # refuses what is missing or unknown


BLOCK = re.compile(r"^```.*?\n(.*?)^```", re.DOTALL | re.MULTILINE)


def code_lines(text: str) -> list[str]:
    """Return the commands in the code blocks of a page, without comments."""
    return [
        part.strip()
        for found in BLOCK.findall(text.replace("\\\n", " "))
        for line in found.splitlines()
        for part in line.partition("#")[0].split("&&")
    ]


def commands(text: str, program: str) -> list[str]:
    """Return all commands of a program in a page, in blocks and in the text."""
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", BLOCK.sub("", text))]
    found = [each for each in [*code_lines(text), *spans] if each.startswith(f"{program} ")]
    return [each for each in found if not each.startswith(f"{program} -") and "--help" not in each]
