"""Environments of their own for what is compared with, and is no dependency of this project."""

import subprocess
import sys
import venv
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "environments"


def python_of(name: str) -> Path:
    """Give the interpreter of ``environments/<name>.txt``, which is installed the first time."""
    requirements, folder = FOLDER / f"{name}.txt", FOLDER / f".{name}"
    python, installed = folder / "bin" / "python", folder / "installed.txt"
    wanted = requirements.read_text(encoding="utf-8")
    if not installed.exists() or installed.read_text(encoding="utf-8") != wanted:
        print(f"making the environment {name}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--requirement", requirements]
        subprocess.run(pip, check=True, stdout=sys.stderr)
        installed.write_text(wanted, encoding="utf-8")
    return python
