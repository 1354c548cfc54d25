"""Files around the code: they parse, and name only targets and commands that exist."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

from conftest import PROJECT
from convdepth.cli import app
from project import Project

GITHUB = PROJECT / ".github"
WORKFLOW = GITHUB / "workflows" / "ci.yml"
CITATION = PROJECT / "CITATION.cff"
NAMING_TARGETS = [
    *sorted(path for path in GITHUB.rglob("*") if path.is_file()),
    *(PROJECT / ".ci/run", PROJECT / "benchmarks/README.md"),
    *(*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md")),
]


def load(path: Path) -> Any:
    return YAML(typ="safe").load(path)


def targets() -> set[str]:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


def steps() -> list[dict[str, Any]]:
    return [step for job in load(WORKFLOW)["jobs"].values() for step in job["steps"]]


def test_make_lists_every_target_in_a_group() -> None:
    shown = subprocess.check_output(["make", "--silent", "help"], cwd=PROJECT, text=True)
    groups = shown.strip().split("\n\n")
    titles = [group.splitlines()[0] for group in groups]
    assert titles == ["Run", "Compare", "Look", "Schedule", "Develop"]
    listed = re.findall(r"^  ([a-z-]+) +\S", shown, re.MULTILINE)
    assert sorted(listed) == sorted(targets() - {"help"})


@pytest.mark.parametrize("path", NAMING_TARGETS, ids=lambda path: path.name)
def test_every_named_target_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert set(re.findall(r"(?<![a-z] )\bmake ([a-z-]+)", text)) <= targets()  # not a verb


def test_the_workflow_runs_commands_that_exist() -> None:
    group: Any = typer.main.get_command(app)
    ran = [step["run"] for step in steps() if "run" in step]
    assert {".ci/run", "make nightly"} < set(ran)
    (compare,) = (line for line in ran if ".venv/bin/convdepth " in line)
    words = compare.partition(">>")[0].split()[1:]
    parent = group.make_context("convdepth", words)
    name, command, rest = group.resolve_command(parent, words)
    assert command.make_context(name, rest, parent).params["style"] == "markdown"
    assert os.access(PROJECT / ".ci" / "run", os.X_OK)


def test_the_workflow_pins_actions_and_has_the_commit_to_compare_with() -> None:
    used = [step["uses"] for step in steps() if "uses" in step]
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", each) for each in used)
    checkout = load(WORKFLOW)["jobs"]["check"]["steps"][0]
    assert checkout["with"]["fetch-depth"] in (0, 2)


def test_the_citation_agrees_with_the_package() -> None:
    citation, package = load(CITATION), (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert f'version = "{citation["version"]}"' in package
    assert f'license = "{citation["license"]}"' in package
    assert f"## [{citation['version']}]" in (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_a_clone_with_autocrlf_has_no_carriage_return_and_no_stale_stage(tmp_path: Path) -> None:
    folder = tmp_path / "clone"
    clone = ["git", "-c", "core.autocrlf=true", "clone", "--quiet", str(PROJECT), str(folder)]
    subprocess.run(clone, check=True)
    project = Project(folder, tmp_path)
    project.run("git", "config", "core.autocrlf", "true")
    endings = re.findall(r"w/(\S+)", project.run("git", "ls-files", "--eol"))
    assert set(endings) <= {"lf", "none", "-text"}
    assert "up to date" in project.run("dvc", "status", "code", "check")
