"""The exit codes are a promise to whoever calls: scripts, DVC's log, Prefect's flows."""

from convdepth.core import errors


def test_exit_codes_and_builtin_kinds() -> None:
    kinds = errors.ConvdepthError.__subclasses__()
    own = [kind for kind in kinds if kind.__module__ == errors.__name__]
    assert {kind.__name__: (kind.exit_code, kind.__bases__[-1]) for kind in own} == {
        "ParameterError": (2, ValueError),
        "DataError": (3, ValueError),
        "MachineError": (4, OSError),
        "BusyError": (5, errors.ConvdepthError),
        "TrainingError": (6, ArithmeticError),
        "IntegrityError": (7, ValueError),
    }
