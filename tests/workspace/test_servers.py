"""Where the Prefect server of this machine is; more of it in `test_pipelines_server`."""

import subprocess
import sys
from pathlib import Path

import pytest

from convdepth.workspace.servers import running_server


@pytest.mark.parametrize("content", [None, "", "no number", "999999999", "1"])
def test_no_server_is_found_where_none_runs(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "server.pid").write_text(content)
    assert running_server(tmp_path / "server.pid") is None


def test_to_look_for_it_does_not_import_prefect() -> None:
    code = "import sys, convdepth.workspace.servers; sys.exit('prefect' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
