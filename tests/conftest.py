"""What several test modules share."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import absl.logging
import drawn
import pytest
from fault_report import full, pytest_addoption, pytest_terminal_summary, record_fault, try_each  # noqa: F401  # pytest finds its hooks and fixtures here

from convdepth.data import arrays as images

if TYPE_CHECKING:  # they need this module
    from playwright.sync_api import Browser
    from study_inputs import Study

    from faults import Finished
    from project import Project

PROJECT = Path(__file__).parent.parent

# Equal results on a machine with a GPU, and no waiting for those who train on it.
os.environ["CONVDEPTH_DEVICE"] = "cpu"

# A developer's own server stays out of it.
for variable in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING"):
    os.environ.pop(variable, None)

# TensorFlow's logger keeps the standard error of its import, which is pytest's capture. Prefect's
# import closes all loggers: without this line, the capture too, and pytest ends.
absl.logging.get_absl_handler().python_handler.stream = sys.__stderr__

# Prefect makes its folder when it is imported, and by default in the user's home.
os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="prefect-")


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Mark the fault tests, and order the tests for the two workers of `make test`.

    With ``--dist worksteal``, worker 1 starts at the first test and worker 2 at the middle.
    Worker 1 sets up the finished project; worker 2 starts the Prefect server.
    """
    for item in items:
        if item.path.parent.name == "faults":
            item.add_marker("faults")
            item.add_marker(pytest.mark.timeout(3600))
    yield  # the tests of other tiers are removed
    finished, flows, rest = list[pytest.Item](), list[pytest.Item](), list[pytest.Item]()
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "pipelines" in item.path.parts or "harness" in fixtures:
            flows.append(item)
        else:
            (finished if "finished" in fixtures else rest).append(item)
    middle = max(0, len(items) // 2 - len(finished))
    items[:] = [*finished, *rest[:middle], *flows, *rest[middle:]]


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the four IDX files of the drawn digits. Read-only by agreement."""
    folder = tmp_path_factory.mktemp("drawn") / "raw"
    drawn.write(folder)
    return folder


@pytest.fixture(scope="session")
def params_text() -> str:
    """The project's own ``params.yaml``."""
    return (PROJECT / "params.yaml").read_text(encoding="utf-8")


SECOND = """
  cnn9:
    block1: {conv1: {filters: 4, kernel_size: 3}, pool_size: 4}
    block2: {conv1: {filters: 4, kernel_size: 3}, pool_size: 2}
    head: {units: 8}
"""
"""A second network, deeper than `TINY`, to be put behind it."""

TINY = """
architectures:
  tiny:
    block1:
      conv1: {filters: 8, kernel_size: 5}
      pool_size: 4
      dropout: 0.2
    head: {units: 32, dropout: 0.2}
"""


@pytest.fixture
def tiny_params(tmp_path: Path, params_text: str) -> Path:
    """A ``params.yaml`` with one tiny network, which trains in seconds, and two epochs."""
    return write_tiny_params(tmp_path, params_text)


def write_tiny_params(folder: Path, params_text: str) -> Path:
    """Write what `tiny_params` gives, for fixtures that are made once for several tests."""
    recipe = params_text[: params_text.index("# One entry is one network")]
    path = folder / "params.yaml"
    # TensorFlow of the test process may use all instructions.
    recipe = recipe.replace("portable: true", "portable: false").replace("epochs: 12", "epochs: 2")
    path.write_text(recipe + TINY, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def normalized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the first 2,000 drawn digits of each split, normalized. Read-only."""
    folder = tmp_path_factory.mktemp("normalized")
    for split in images.SPLITS:
        pixels, labels = drawn.draw_split(split)
        images.write_split(folder, split, images.normalize(pixels[:2000]), labels[:2000])
    return folder


@pytest.fixture(scope="session")
def one_thread() -> None:
    """TensorFlow as the stages set it up, which is possible only before it does anything."""
    from convdepth.models.backend import configure

    configure(threads=1)


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Chromium, for the tests of pages."""
    import chromium

    with chromium.launch() as browser:
        yield browser


@pytest.fixture
def study(tmp_path: Path, params_text: str, normalized: Path, one_thread: None) -> "Study":  # noqa: ARG001
    """Small parameters of studies, a folder for results, and TensorFlow with one thread."""
    import study_inputs

    return study_inputs.make_study(tmp_path, params_text, normalized)


@pytest.fixture(scope="session")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prefect server with a database of its own; gives its address."""
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    home = {PREFECT_HOME: tmp_path_factory.mktemp("prefect")}
    with temporary_settings(home), prefect_test_harness(server_startup_timeout=120):
        yield str(PREFECT_API_URL.value())


@pytest.fixture
def quick_dvc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the flows in this process run DVC by `forked_dvc`, as `Project.run` does."""
    import forked_dvc

    from pipelines.core import dvc_child

    monkeypatch.setenv(forked_dvc.ADDRESS, forked_dvc.server())
    monkeypatch.setattr(dvc_child, "__file__", forked_dvc.__file__)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Project":
    """The made-up project of `toy`, in which this process works, with its home."""
    import toy

    project = toy.create(tmp_path / "toy", tmp_path)
    project.enter(monkeypatch, "HOME", "DVC_SITE_CACHE_DIR")
    return project


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Project":
    """The same after a run, with its results committed."""
    import toy

    project = toy.create(tmp_path / "toy", tmp_path, ran=True)
    project.enter(monkeypatch, "HOME", "DVC_SITE_CACHE_DIR")
    project.commit("Results")
    return project


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> "Finished":
    """The project after a whole run with tiny networks, which is made once for all processes."""
    import faults

    folder = tmp_path_factory.getbasetemp()
    shared = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    return faults.finish_once(shared / "faults")


@pytest.fixture
def workspace(finished: "Finished", tmp_path: Path) -> "Iterator[Project]":
    """A copy of the finished project, to be damaged; it has 120 MB, and is deleted at the end."""
    folder = tmp_path / "work space"
    yield finished.copy(folder / "convdepth")
    shutil.rmtree(folder)
