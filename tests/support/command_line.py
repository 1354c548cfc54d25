"""Runs the installed command `convdepth` in a child process."""

import os
import subprocess
import sys
from pathlib import Path

from conftest import PROJECT

COMMAND = str(Path(sys.executable).with_name("convdepth"))


def run(
    *arguments: str, folder: Path = PROJECT, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run the command, whatever its exit code, in a folder and with further variables."""
    return subprocess.run(
        [COMMAND, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "100"} | environment,
    )


def loaded(imports: str) -> set[str]:
    """Return the modules in what Python writes with PYTHONPROFILEIMPORTTIME."""
    return {line.rpartition("|")[2].strip() for line in imports.splitlines()}
