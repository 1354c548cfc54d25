"""The stage `check`: all parameters are valid, before any stage uses one.

DVC puts `${key}` into shell commands unquoted, so nothing may run on an unchecked name.
"""

from pathlib import Path

from convdepth.config.params import read_params
from convdepth.config.studies import read_study_params, require_consistent
from convdepth.core.files import write_text


def main(params: Path, studies: Path, checked: Path) -> None:
    """Check both parameter files; write ``checked``, which is the same for all valid values."""
    require_consistent(studies, read_study_params(studies), read_params(params))
    write_text(checked, "valid\n")
    print(f"check: {params} and {studies} are valid", flush=True)
