"""What several test modules share."""

from pathlib import Path

import drawn
import pytest

PROJECT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the four IDX files of the drawn digits. Read-only by agreement."""
    folder = tmp_path_factory.mktemp("drawn") / "raw"
    drawn.write(folder)
    return folder


@pytest.fixture
def params_text() -> str:
    """The project's own ``params.yaml``."""
    return (PROJECT / "params.yaml").read_text(encoding="utf-8")
