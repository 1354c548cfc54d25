"""Results that are absent: their sections of the page say so, and the others are whole."""

from collections.abc import Callable, Mapping
from typing import Generic, ParamSpec, TypeVar

from convdepth.core.errors import DataError

P = ParamSpec("P")
T = TypeVar("T")


class AbsentError(DataError):
    """No stage has written a result yet, or not for each network of params.yaml."""


def attempt(read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | AbsentError:
    """Call `read`; return its result, or the error that says why the result is absent."""
    try:
        return read(*args, **kwargs)
    except AbsentError as error:
        return error


def require(result: T | AbsentError) -> T:
    """Return the result; raise the error that `attempt` returned."""
    if isinstance(result, AbsentError):
        raise result
    return result


class Attempted(Generic[T]):
    """A field of a dataclass that is set to what `attempt` returned, and read by `require`."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: object | None, owner: type) -> T:
        if instance is None:
            raise AttributeError(self.name)  # so the dataclass sees no default
        result: T | AbsentError = instance.__dict__[self.name]
        return require(result)

    def __set__(self, instance: object, result: T | AbsentError) -> None:
        instance.__dict__[self.name] = result


class Lazy(dict[str, T]):
    """Values that are made when a section reads them, so an absent result fails no other one."""

    def __init__(self, makers: Mapping[str, Callable[[], T]]) -> None:
        super().__init__()
        self._makers = makers

    def __missing__(self, key: str) -> T:
        value = self[key] = self._makers[key]()
        return value
