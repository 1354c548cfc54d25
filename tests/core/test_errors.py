"""The exit codes are a promise to whoever calls: scripts, DVC's log, Prefect's flows."""

import pytest

from convdepth.core import errors


@pytest.mark.parametrize(
    ("kind", "exit_code", "builtin"),
    [
        (errors.ParameterError, 2, ValueError),
        (errors.DataError, 3, ValueError),
        (errors.MachineError, 4, OSError),
        (errors.TrainingError, 6, ArithmeticError),
        (errors.IntegrityError, 7, ValueError),
    ],
)
def test_exit_codes_and_builtin_kinds(
    kind: type[errors.ConvdepthError], exit_code: int, builtin: type[Exception]
) -> None:
    error = kind("a.npy: found this, expected that")
    assert error.exit_code == exit_code
    assert isinstance(error, builtin)
    assert str(error) == "a.npy: found this, expected that"
