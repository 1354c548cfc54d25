"""Where the Prefect server of this machine is; more of it in `tests/pipelines/deploy`."""

from pathlib import Path

import pytest

from convdepth.workspace.servers import running_server


@pytest.mark.parametrize("content", ["", "no number", "999999999", "1"])
def test_no_server_is_found_where_none_runs(tmp_path: Path, content: str) -> None:
    pid_file = tmp_path / "server.pid"
    assert running_server(pid_file) is None
    pid_file.write_text(content)
    assert running_server(pid_file) is None
