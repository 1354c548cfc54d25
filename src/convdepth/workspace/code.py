"""The stage `code`: for each stage, the digests of the code that it runs."""

from pathlib import Path

from convdepth.core.errors import DataError
from convdepth.core.files import write_text
from convdepth.workspace.code_digests import MODULES, Code, locked_versions, read_command

STAGES = tuple(command for command in MODULES if command != "tune")
"""Commands of stages; several stages can run one of them."""

NAMES = "modules"
"""The text that gives the digest of each module by name, for people; no stage depends on it."""


def main(sources: Path, lock: Path, digests: Path) -> None:
    """Write the texts of `digest_stages`, each as ``<name>.txt``.

    Args:
        sources: The folder of the package.
        lock: The requirements lock.
        digests: The folder to write; other texts in it are deleted.

    Raises:
        DataError: A module or the lock cannot be read, or the lock lacks a library.
        MachineError: A file cannot be written.
    """
    texts = digest_stages(sources, lock)
    for path in digests.glob("*.txt"):
        if path.stem not in texts:
            path.unlink()
    for name, text in texts.items():
        write_text(digests / f"{name}.txt", text)
    print(f"code: digests of {len(STAGES)} stages", flush=True)


def digest_stages(sources: Path, lock: Path) -> dict[str, str]:
    """Digest the code of each stage.

    A stage's text holds no names of modules, so that moving a module changes none of them.

    Args:
        sources: The folder of the package.
        lock: The requirements lock.

    Returns:
        For each of `STAGES` the sorted digests, then the locked versions; and for `NAMES` the
        digest of each module by name.

    Raises:
        DataError: A module or the lock cannot be read, or the lock lacks a library.
    """
    try:
        versions = locked_versions(lock.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{lock}: cannot be read: {error}. Run `git checkout {lock}`.") from error
    names: dict[str, str] = {}
    texts = {}
    for stage in STAGES:
        code = read_command(stage, sources.parent)
        names |= code.modules
        texts[stage] = "\n".join([*describe(code, versions, lock), ""])
    listed = [f"{digest} {name}" for name, digest in sorted(names.items())]
    return texts | {NAMES: "\n".join([*listed, ""])}


def describe(code: Code, versions: dict[str, str], lock: Path) -> list[str]:
    """Give the lines of a stage's file.

    Args:
        code: What the stage runs.
        versions: From `locked_versions`.
        lock: The file that they are from, for the error.

    Raises:
        DataError: The lock lacks a library that the code imports.
    """
    if missing := [name for name in code.libraries if name not in versions]:
        raise DataError(
            f"{lock}: expected a version of {', '.join(missing)}, found none. Run `make lock`."
        )
    pins = [f"{name}=={versions[name]}" for name in code.libraries]
    return [*sorted(set(code.modules.values())), *pins]
