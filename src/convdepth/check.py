"""The stage `check`: all parameters are valid, before any stage uses one.

DVC puts `${key}` into shell commands unquoted, so nothing may run on an unchecked name.
"""

from pathlib import Path

from convdepth.files import write_text
from convdepth.params import read_params
from convdepth.study_params import read_study_params, require_consistent


def main(params: Path, studies: Path, checked: Path) -> None:
    """Read both files of parameters; write a file that is the same for all valid parameters.

    Args:
        params: ``params.yaml``.
        studies: ``studies/params.yaml``.
        checked: The file to write.

    Raises:
        ParameterError: A parameter is wrong.
        MachineError: The file cannot be written.
    """
    require_consistent(studies, read_study_params(studies), read_params(params))
    write_text(checked, "valid\n")
    print(f"check: {params} and {studies} are valid", flush=True)
