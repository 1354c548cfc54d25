"""The models whose digests README.md publishes, and those of the workspace."""

import hashlib
import re
from pathlib import Path

from convdepth.core.errors import DataError, ParameterError
from convdepth.workspace.dvc import planned_commands
from convdepth.workspace.lockfile import model_path

PAGE = Path("README.md")

ROW = re.compile(r"^\| `([a-z0-9_]+)` \| `([0-9a-f]{64})` \|$", re.MULTILINE)
"""Network and SHA-256, as `commands.readme` writes them."""


def describe_published(project: Path) -> list[str]:
    """Tell which models have the published bytes; empty if none is published or here."""
    page = project / PAGE
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    equal: list[str] = []
    others: list[str] = []
    rows = ROW.findall(text)
    stages = planned_commands(project) if rows else {}  # dvc.lock also has removed networks
    for name, digest in (row for row in rows if f"train@{row[0]}" in stages):
        try:
            model = model_path(name, project).read_bytes()
        except (DataError, ParameterError):  # not here, or not trained
            continue
        (equal if hashlib.sha256(model).hexdigest() == digest else others).append(name)
    needed = "equal parameters, code, data, libraries and numeric class give equal bytes"
    texts = {
        f"{', '.join(equal)}: as published in {PAGE}": equal,
        f"{', '.join(others)}: not the model that {PAGE} publishes; {needed}": others,
    }
    return [text for text, names in texts.items() if names]
