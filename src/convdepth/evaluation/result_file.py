"""The base of the schemas of result files, and their reader.

A schema is both written and read: a stage writes ``model_dump()`` of an instance.
"""

from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from convdepth.core.errors import DataError

Share = Annotated[float, Field(ge=0, le=1)]
Loss = Annotated[float, Field(ge=0)]
"""In nats."""

Kind = TypeVar("Kind")


class Result(BaseModel):
    """A part of a result file: no unknown key, no value of another type, no NaN."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


def read_result(path: Path, kind: type[Kind], command: str) -> Kind:
    """Read a JSON file of the schema ``kind``, which ``command`` writes."""
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes())
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        reason = f"{key}: {first['msg']}" if key else first["msg"]
    raise DataError(f"{path}: {reason}. Run `{command}`, which writes it.")
