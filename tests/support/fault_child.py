"""Runs commands of `convdepth`, each in a fork of this process that has a fault put into it.

A program: it imports the modules named on its command line once, and then answers each line of
JSON with one. A fault happens at the n-th call of a kind. The calls are those of all stages:

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


def run(command: list[str], fault: dict[str, Any]) -> tuple[int, str]:
    """Run a command in a fork; return its exit code, negative for a signal, and its output."""
    source, sink = os.pipe()
    if (child := os.fork()) == 0:
        os.close(source)
        for stream in (1, 2):
            os.dup2(sink, stream)
        os.close(sink)
        os._exit(run_here(command, fault))
    os.close(sink)
    with open(source, "rb") as output:  # noqa: PTH123
        text = output.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), text


def run_here(command: list[str], fault: dict[str, Any]) -> int:
    from convdepth import cli

    sys.argv, code = command, 1
    counted = put(**fault) if fault else {}
    try:
        cli.run()
    except SystemExit as ended:
        code = int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
    print(json.dumps(counted), flush=True)
    sys.stderr.flush()
    return code


def put(kind: str, call: str = "", number: int = 0, value: int = 0) -> dict[str, Any]:
    """Put a fault into this process; return the calls and the files' sizes, counted as it runs.

    Args:
        kind: ``kill``, ``half`` (write half of a file and then kill), ``raise``, ``limit`` (let no
            file become larger), ``nothing``.
        call: At which kind of call.
        number: At the how manieth of them, counted from 1; 0 means at once.
        value: The number of the error, or the largest size of a file in bytes.
    """
    calls, sizes = Counter[str](), list[int]()

    def happen(*arguments: Any) -> None:
        if kind == "half":
            path, content = arguments
            with path.open("wb") as file:
                file.write(content[: len(content) // 2])
        if kind in ("kill", "half"):
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "raise":
            raise OSError(value, os.strerror(value))
        if kind == "limit":
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (value, hard))

    def watch(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **options: Any) -> Any:
            calls[name] += 1
            if name == call and calls[name] == number:
                happen(*arguments)
            if name == "replace":
                sizes.append(Path(arguments[0]).stat().st_size)
            return original(*arguments, **options)

        return watched

    for name, owner, attribute in places():
        setattr(owner, attribute, watch(name, getattr(owner, attribute)))
    if kind == "limit" and number == 0:
        happen()
    return {"calls": calls, "sizes": sizes}


def places() -> Iterator[tuple[str, Any, str]]:
    yield "write", Path, "write_bytes"
    yield "begin", secrets, "token_hex"
    yield "fsync", os, "fsync"
    yield "replace", os, "replace"
    if "convdepth.training.train" in sys.modules:
        from convdepth.training import checkpoints, loop, trainer

        # Else several batches would be one call, in which nothing of Python's can happen.
        trainer.STEPS_PER_EXECUTION = 1
        yield "batch", loop.Watch, "on_train_batch_end"
        yield "remove", checkpoints, "_remove"
        yield "clear", checkpoints.Checkpoints, "clear"


if __name__ == "__main__":
    for module in sys.argv[1:]:
        importlib.import_module(module)
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(run(**json.loads(line))), flush=True)
