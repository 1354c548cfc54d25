"""What the notebook that this project makes reproducible had recorded."""

import json
from pathlib import Path
from typing import Any

from convdepth.errors import DataError


def read_notebook(path: Path) -> dict[str, Any]:
    """Read what the notebook recorded.

    Args:
        path: A JSON file with one entry per network.

    Returns:
        By network: parameters, test_accuracy, test_loss, claimed_accuracy, claimed_loss (from
        the closing text), and the history's epochs.

    Raises:
        DataError: The file is missing or is not such a file.
    """
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path}: cannot be read: {error}. Run `git checkout {path}`.") from error
