"""The wheel: its files, and its commands in an environment without the repository."""

import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from conftest import PROJECT

ROOTS = {"convdepth": PROJECT / "src" / "convdepth", "pipelines": PROJECT / "pipelines"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=PROJECT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment with the wheel alone; dependencies come from this one.

    A path file adds this environment's packages. It ignores their own path files, so the editable
    install of the project stays out.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    code = "import convdepth, pipelines; print(convdepth.__file__, pipelines.__file__)"
    found = subprocess.check_output([python, "-c", code], cwd=folder, text=True)
    assert str(PROJECT) not in found
    return python


def test_the_wheel_holds_every_module_template_and_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for name, root in ROOTS.items():
        files = [path for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc"]
        assert {f"{name}/{path.relative_to(root).as_posix()}" for path in files} <= names
    assert any(name.endswith("/licenses/LICENSE") for name in names)


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("convdepth --version", f"convdepth {metadata.version('convdepth')}\n"),
        ("convdepth summary cnn3", "62,466"),
        ("pipelines --help", "nightly"),
    ],
)
def test_an_installed_command_works_outside_the_repository(
    installed: Path, tmp_path: Path, command: str, shown: str
) -> None:
    shutil.copy(PROJECT / "params.yaml", tmp_path)
    words = [installed, "-m", *command.split()]
    assert shown in subprocess.check_output(words, cwd=tmp_path, text=True)
