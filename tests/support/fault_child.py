"""Runs commands of `convdepth`, each in a fork of this process that has a fault put into it.

A program, and no module of the tests: it imports what is named on its command line, once, and
then runs what it reads, a JSON object a line, and answers so.

A fault is put where a kind of call is made for the n-th time. The calls are those of all stages:

- ``write``: the content of a file is written (`Path.write_bytes`);
- ``begin``: a file is begun (`convdepth.core.files.atomic_path`);
- ``fsync``, ``replace``: what `convdepth.core.files` calls;
- ``batch``, ``remove``, ``clear``: a batch of a training ends; a checkpoint, all are deleted.
"""

import importlib
import json
import os
import resource
import secrets
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Calls = Counter[str]


def main() -> None:
    """Import, and then run what is asked for."""
    for name in sys.argv[1:]:
        importlib.import_module(name)
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(run(**json.loads(line))), flush=True)


def run(command: list[str], fault: dict[str, Any]) -> dict[str, Any]:
    """Run a command in a fork."""
    source, sink = os.pipe()
    if (child := os.fork()) == 0:
        os.close(source)
        for stream in (1, 2):
            os.dup2(sink, stream)
        os.close(sink)
        os._exit(_run_here(command, fault))
    os.close(sink)
    with open(source, "rb") as output:  # noqa: PTH123
        text = output.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    return {"code": os.waitstatus_to_exitcode(status), "output": text}


def _run_here(command: list[str], fault: dict[str, Any]) -> int:
    from convdepth import cli

    sys.argv = command
    count = _put(**fault) if fault else dict
    try:
        cli.run()
    except SystemExit as ended:
        code = int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
        code = 1
    print(json.dumps(count()))
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def _put(kind: str, call: str = "", number: int = 0, value: int = 0) -> Callable[[], Any]:
    """Put a fault into this process.

    Args:
        kind: ``kill``, ``half`` (write half of a file and then kill), ``raise``, ``limit`` (let no
            file become larger), ``nothing``.
        call: At which kind of call.
        number: At the how manieth of them, counted from 1; 0 means at once.
        value: The number of the error, or the largest size of a file in bytes.

    Returns:
        Gives what was counted: the number of each kind of call, and the sizes of the files.
    """
    calls, sizes = Counter[str](), list[int]()

    def happen(_path: Path | None = None, content: bytes = b"") -> None:
        if kind == "half" and _path is not None:
            with _path.open("wb") as file:
                file.write(content[: len(content) // 2])
        if kind in ("kill", "half"):
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "raise":
            raise OSError(value, os.strerror(value))
        if kind == "limit":
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (value, hard))

    def reached(name: str) -> bool:
        calls[name] += 1
        return name == call and calls[name] == number

    for name, owner, attribute in _places():
        _wrap(owner, attribute, name, reached, happen, sizes)
    if kind == "limit" and number == 0:
        happen()
    return lambda: {"calls": dict(calls), "sizes": sizes}


def _places() -> Iterator[tuple[str, Any, str]]:
    yield "write", Path, "write_bytes"
    yield "begin", secrets, "token_hex"
    yield "fsync", os, "fsync"
    yield "replace", os, "replace"
    if "convdepth.training.train" in sys.modules:
        from convdepth.training import checkpoints, loop

        # Else several batches would be one call, in which nothing of Python's can happen.
        loop.STEPS_PER_EXECUTION = 1
        yield "batch", loop.Watch, "on_train_batch_end"
        yield "remove", checkpoints, "_remove"
        yield "clear", checkpoints.Checkpoints, "clear"


def _wrap(
    owner: Any,
    attribute: str,
    name: str,
    reached: Callable[[str], bool],
    happen: Callable[..., None],
    sizes: list[int],
) -> None:
    original = getattr(owner, attribute)

    def wrapped(*arguments: Any, **options: Any) -> Any:
        if reached(name):
            happen(*(arguments if name == "write" else ()))
        if name == "replace":
            sizes.append(os.stat(arguments[0]).st_size)  # noqa: PTH116
        return original(*arguments, **options)

    setattr(owner, attribute, wrapped)


if __name__ == "__main__":
    main()
