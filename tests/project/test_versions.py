"""Each supported Python gives the same bytes: the whole pipeline with the locked packages."""

import os
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

import faults
from conftest import PROJECT
from faults import Finished

PREFIX = "Programming Language :: Python :: 3."
CLASSIFIERS = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["classifiers"]
VERSIONS = [line.rpartition(" ")[2] for line in CLASSIFIERS if line.startswith(PREFIX)]
CURRENT = f"3.{sys.version_info.minor}"
OTHERS = [version for version in VERSIONS if version != CURRENT]

pytestmark = [pytest.mark.versions, pytest.mark.timeout(1800)]


@cache
def find_interpreters() -> dict[str, str]:
    """Map version to interpreter, for the candidates in the variable PYTHONS that run."""
    found = {}
    candidates = os.environ.get("PYTHONS", " ".join(f"python{each}" for each in VERSIONS))
    for candidate in candidates.split():
        code = "import sys; print('%d.%d' % sys.version_info[:2])"
        try:
            version = subprocess.check_output([candidate, "-c", code], stderr=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError):
            continue  # not installed, or a shim of pyenv for a version that is not switched on
        found.setdefault(version.decode().strip(), candidate)
    return found


def make_environment(version: str, interpreter: str) -> Path:
    """Install the lock and the project; return the folder with the commands."""
    folder = PROJECT / ".dvc" / "tmp" / f"python{version}"
    install = ["uv", "pip", "install", "--quiet", "--no-deps", "--python", str(folder)]
    for command in (
        ["uv", "venv", "--quiet", "--allow-existing", "--python", interpreter, str(folder)],
        [*install, "--require-hashes", "--requirement", "requirements.lock"],
        [*install, "--no-build-isolation", "--editable", "."],
    ):
        subprocess.run(command, cwd=PROJECT, check=True)
    return folder / "bin"


def test_another_version_is_installed() -> None:
    found = find_interpreters()
    assert found.keys() & set(OTHERS), f"expected one of {OTHERS} in PYTHONS, found {found}"


@pytest.mark.parametrize("version", OTHERS)
def test_the_bytes_are_equal(request: pytest.FixtureRequest, tmp_path: Path, version: str) -> None:
    interpreter = find_interpreters().get(version)
    if interpreter is None:
        pytest.skip(f"Python {version} is not installed")
    finished: Finished = request.getfixturevalue("finished")  # takes minutes: only if needed
    commands = make_environment(version, interpreter)
    project = faults.clone(finished.project, tmp_path / "convdepth")
    project.run("git", "reset", "--quiet", "--hard", "HEAD~1")  # the commit before the results
    project.environment["PATH"] = f"{commands}{os.pathsep}{os.environ['PATH']}"
    assert project.run("python", "--version").startswith(f"Python {version}.")
    project.run("python", "-m", "pipelines", "pipeline")
    assert finished.differences(project) == []
