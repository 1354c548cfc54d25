"""The stage `code`: the digests of the code that each stage runs."""

from pathlib import Path

from convdepth.core.errors import DataError
from convdepth.core.files import write_text
from convdepth.workspace.code_digests import MODULES, locked_versions, read_command

STAGES = tuple(command for command in MODULES if command not in ("code", "tune"))
"""Commands of stages that depend on their digest; several stages can run one of them."""

NAMES = "modules"
"""The text with the digest of each module by name, for people; no stage depends on it."""


def main(sources: Path, lock: Path, digests: Path) -> None:
    """Write the texts of `digest_stages`, each as ``<name>.txt``, and delete other texts.

    Args:
        sources: The folder of the package.
        lock: The requirements lock.
        digests: The folder to write.

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
    """Return the digests of each stage's modules without names, then the libraries' versions.

    A moved module changes none of these texts. The text `NAMES` lists all digests with names.

    Raises:
        DataError: A module or the lock cannot be read, or the lock lacks a library.
    """
    try:
        versions = locked_versions(lock.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{lock}: cannot be read: {error}. Run `git checkout {lock}`.") from error
    codes = {stage: read_command(stage, sources.parent) for stage in STAGES}
    used = {name for code in codes.values() for name in code.libraries}
    if missing := sorted(used - versions.keys()):
        raise DataError(f"{lock}: no version of {', '.join(missing)}. Run `make lock`.")
    texts = {
        stage: [
            *sorted(set(code.modules.values())),
            *(f"{name}=={versions[name]}" for name in code.libraries),
        ]
        for stage, code in codes.items()
    }
    named = {name: digest for code in codes.values() for name, digest in code.modules.items()}
    texts[NAMES] = [f"{digest} {name}" for name, digest in sorted(named.items())]
    return {name: "\n".join([*lines, ""]) for name, lines in texts.items()}
