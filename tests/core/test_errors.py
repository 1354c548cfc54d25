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


def test_a_message_has_no_control_characters() -> None:
    error = errors.MachineError("\x1b[31m\x9b\u202e\udcff\r\nÜ\t")
    assert str(error) == "\\x1b[31m\\x9b\\u202e\\udcff\\r\nÜ\t"
