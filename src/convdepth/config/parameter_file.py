"""Refuse a file of parameters before a parser, which can take minutes, reads it.

No stage imports this module, so that it makes no result stale.
"""

from pathlib import Path

from convdepth.core.errors import ParameterError

LARGEST = 256 * 1024
"""Bytes; YAML of this size takes up to 2 s to parse. The project's own files have 6 KiB."""


def require_text(path: Path) -> Path:
    """Return the path of a file that is not too large and is UTF-8, which is all that DVC reads."""
    if not path.is_file():  # a pipe can be read only once
        return path
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError:
        return path
    if len(content) > LARGEST:
        raise ParameterError(
            f"{path}: expected at most {LARGEST:,} bytes, got {path.stat().st_size:,}. Remove what "
            f"is no parameter."
        )
    try:
        content.decode()
    except UnicodeDecodeError as error:
        found = f"0x{content[error.start]:02x} at position {error.start}"
        raise ParameterError(
            f"{path}: expected UTF-8, as DVC does, got {found}. Save it as UTF-8."
        ) from None
    return path
