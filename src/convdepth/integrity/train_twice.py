"""Whether a training gives the same bytes again: two of them, in processes of their own.

Each child is what DVC would start, and differs from the other in what must not matter: the seed
of Python's own hashes, the time zone, and the folder that it writes to.
"""

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

from convdepth.config.params import read_params
from convdepth.core.errors import ConvdepthError, IntegrityError, ParameterError
from convdepth.core.files import write_text
from convdepth.core.hashes import hash_files
from convdepth.workspace.dvc import find_option, recorded_outputs
from convdepth.workspace.lockfile import training_command
from convdepth.workspace.process import STAGE_VARIABLE

RUNS: Mapping[str, Mapping[str, str]] = {
    "first": {"PYTHONHASHSEED": "1", "TZ": "Pacific/Auckland"},
    "second": {"PYTHONHASHSEED": "2", "TZ": "America/Caracas"},
}
"""The two trainings, and what is different in their environment."""

PROGRAM = "from convdepth.cli import run; run()"
"""Is the command line itself, also where its script is not on the search path."""

GRACE_SECONDS = 5.0
"""How long a child that is stopped may clean up before it is killed."""

POLL_SECONDS = 0.2
"""How often to look whether a child has ended."""


@dataclass(frozen=True)
class Trained:
    """What a training has written.

    Attributes:
        model: The ``.keras`` file.
        history: The CSV file.
    """

    model: Path
    history: Path


@dataclass(frozen=True)
class Verdict:
    """What came out of training a network twice.

    Attributes:
        equal: Whether both files are equal, byte for byte.
        text: In words; where they differ, by what.
    """

    equal: bool
    text: str


def train_twice(
    name: str, params: Path, epochs: int | None = None, project: Path = Path()
) -> Verdict:
    """Train a network twice, with the command that ``dvc.lock`` records, and compare the bytes.

    They run side by side if there are cores for the threads of both. Nothing of the project is
    changed. If this process ends, so do they.

    Args:
        name: The architecture.
        params: The parameters.
        epochs: How many, instead of ``train.epochs``.
        project: The root of the project.

    Returns:
        Whether the models and the histories are equal, and whether they are the recorded ones.

    Raises:
        ParameterError: A parameter is wrong, or no such network was trained.
        DataError: ``dvc.lock`` cannot be read.
        MachineError: A file cannot be written.
        ConvdepthError: A training failed; the exit code is that of the training.
    """
    command, recipe = training_command(name, project), read_params(params).train
    recorded = _recorded(name, project)
    with tempfile.TemporaryDirectory(prefix="convdepth-twice-") as folder:
        used = params.absolute()
        if epochs is not None:
            used = Path(folder) / params.name
            write_text(used, change_epochs(params, epochs))
        commands = {run: redirect(command, Path(folder) / run, used) for run in RUNS}
        together = 2 * recipe.threads <= len(os.sched_getaffinity(0))
        for group in [list(RUNS)] if together else [[run] for run in RUNS]:
            _run({run: commands[run] for run in group}, name, project)
        first, second = (_results(commands[run]) for run in RUNS)
        verdict = compare(name, used, first, second)
        if epochs in (None, recipe.epochs) and verdict.equal:
            verdict = Verdict(True, f"{verdict.text}; {_compare_recorded(recorded, first)}")
    return verdict


def print_repetitions(
    names: Sequence[str], params: Path, epochs: int | None, project: Path = Path()
) -> None:
    """Train some networks twice each, and print what came out.

    Args:
        names: The architectures.
        params: The parameters.
        epochs: How many, instead of ``train.epochs``.
        project: The root of the project.

    Raises:
        IntegrityError: A network gave other bytes the second time.
        ConvdepthError: As `train_twice`.
    """
    for name in names:  # a wrong name shall not be found after an hour
        training_command(name, project)
    unequal = []
    for name in names:
        verdict = train_twice(name, params, epochs, project)
        print(verdict.text, flush=True)
        if not verdict.equal:
            unequal.append(name)
    if unequal:
        raise IntegrityError(
            f"{', '.join(unequal)}: equal parameters, data and software gave other bytes. Expected "
            "equal ones. Look at what the first layer that differs computes, and at "
            "TensorFlow's and the driver's versions."
        )


def change_epochs(params: Path, epochs: int) -> str:
    """Change ``train.epochs`` in a text of parameters, and nothing else.

    Args:
        params: The file, which is right.
        epochs: How many.

    Returns:
        The new text.

    Raises:
        ParameterError: The number cannot be found in the text.
    """
    text = params.read_text(encoding="utf-8")
    line, column = YAML().load(text)["train"].lc.value("epochs")
    lines = text.splitlines(keepends=True)
    lines[line] = lines[line][:column] + re.sub(r"^\d+", str(epochs), lines[line][column:])
    changed = "".join(lines)
    entries, expected = (YAML(typ="safe").load(each) for each in (changed, text))
    expected["train"]["epochs"] = epochs
    if entries != expected:
        raise ParameterError(
            f"{params}: train.epochs: expected a plain number to put {epochs} in the place of"
        )
    return changed


def redirect(command: Sequence[str], folder: Path, params: Path) -> list[str]:
    """Let a training write into a folder of its own.

    Args:
        command: ``convdepth train ...``, as DVC runs it.
        folder: Where everything that it writes goes.
        params: The parameters to use.

    Returns:
        The same command with other paths; what it reads stays.
    """
    targets = {
        "--model": folder / "model.keras",
        "--history": folder / "history.csv",
        "--checkpoints": folder / "checkpoints",
        "--params": params,
    }
    kept: list[str] = []
    words = iter(command)
    for word in words:
        if word in targets:
            next(words, None)
        elif word.partition("=")[0] not in targets:
            kept.append(word)
    return [*kept, *(word for option, path in targets.items() for word in (option, str(path)))]


def compare(name: str, params: Path, first: Trained, second: Trained) -> Verdict:
    """Compare what two trainings of a network have written.

    Args:
        name: The architecture.
        params: The parameters, for the layers.
        first: The results of one training.
        second: Those of the other.

    Returns:
        Equal, or the first layer whose weights differ, and by how much.
    """
    found = []
    if first.model.read_bytes() != second.model.read_bytes():
        found.append(f"the models differ: {_compare_models(name, params, first, second)}")
    if first.history.read_bytes() != second.history.read_bytes():
        found.append(f"the histories differ: {_compare_histories(first, second)}")
    if found:
        return Verdict(False, f"{name}: trained twice, and {'; '.join(found)}")
    return Verdict(True, f"{name}: trained twice, and the model and the history are equal")


def _compare_models(name: str, params: Path, first: Trained, second: Trained) -> str:
    import numpy as np  # noqa: PLC0415  what is slow to import, only if there is something to find

    from convdepth.config.params import read_architecture  # noqa: PLC0415
    from convdepth.models.archive import load_weights  # noqa: PLC0415
    from convdepth.models.build import build_network  # noqa: PLC0415

    networks = [build_network(read_architecture(name, params)) for _ in range(2)]
    for network, trained in zip(networks, (first, second), strict=True):
        load_weights(network, trained.model)
    for layer, other in zip(*(network.layers for network in networks), strict=True):
        pairs = list(zip(layer.get_weights(), other.get_weights(), strict=True))
        if any(not np.array_equal(one, two) for one, two in pairs):
            largest = max(float(np.abs(one - two).max()) for one, two in pairs)
            return f"{layer.name} is the first layer that does, by up to {largest:.3g}"
    return f"all weights are equal, but not {', '.join(_different_members(first, second))}"


def _different_members(first: Trained, second: Trained) -> list[str]:
    archives = [zipfile.ZipFile(io.BytesIO(each.model.read_bytes())) for each in (first, second)]
    members = [{name: archive.read(name) for name in archive.namelist()} for archive in archives]
    names = sorted({*members[0], *members[1]})
    differ = [name for name in names if members[0].get(name) != members[1].get(name)]
    return differ or ["the order or the times of the archive's members"]


def _compare_histories(first: Trained, second: Trained) -> str:
    texts = (each.history.read_text(encoding="utf-8").splitlines() for each in (first, second))
    for one, two in zip(*texts, strict=False):
        if one != two:
            return f"{one!r} and {two!r}"
    return "one is longer"


def _recorded(name: str, project: Path) -> dict[str, str]:
    """Give the digests that ``dvc.lock`` has of a training's files, by their suffix."""
    outputs = [each for each in recorded_outputs(project) if each.stage == f"train@{name}"]
    return {Path(output.path).suffix: output.md5 for output in outputs}


def _compare_recorded(recorded: Mapping[str, str], trained: Trained) -> str:
    contents = hash_files([trained.model, trained.history])
    differing = [
        path for path, content in contents.items() if content.md5 != recorded.get(path.suffix)
    ]
    if not differing:
        return "they are what dvc.lock records"
    return (
        f"not equal to the {' and the '.join(path.stem for path in differing)} that dvc.lock "
        "records, which other parameters, code, data, software or hardware have made"
    )


def _results(command: Sequence[str]) -> Trained:
    model, history = (find_option(command, option) or "" for option in ("--model", "--history"))
    return Trained(Path(model), Path(history))


def _run(commands: Mapping[str, Sequence[str]], name: str, project: Path) -> None:
    """Run trainings side by side, to their end.

    Raises:
        ConvdepthError: One failed; the others are stopped.
    """
    with contextlib.ExitStack() as stack:
        processes = {
            run: stack.enter_context(
                start_training(run, command, f"train@{name} ({run} of two)", project, RUNS[run])
            )
            for run, command in commands.items()
        }
        while any(process.poll() is None for process in processes.values()):
            _require_success(processes, name)
            time.sleep(POLL_SECONDS)
        _require_success(processes, name)


@contextlib.contextmanager
def start_training(
    label: str, command: Sequence[str], stage: str, project: Path, variables: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """Start a training as a child process; it is stopped when the block ends.

    Args:
        label: Stands before each line that it prints.
        command: ``convdepth train ...``.
        stage: Its name, for whoever waits for it.
        project: The folder that it runs in, with the code in ``src``.
        variables: Environment variables beside those of this process.

    Yields:
        The process.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *command[1:]],
        cwd=project,
        # As a stage of DVC it runs the code of that folder, and ends when its parent does.
        env={**os.environ, **variables, STAGE_VARIABLE: stage},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    printer = threading.Thread(target=_show_lines, args=(label, process), daemon=True)
    printer.start()
    try:
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
        process.kill()
        with process:  # waits, and closes the pipe
            printer.join()


def _show_lines(label: str, process: subprocess.Popen[str]) -> None:
    for line in process.stdout or []:
        print(f"{label:<6} | {line.rstrip()}", flush=True)


def _require_success(processes: Mapping[str, subprocess.Popen[str]], name: str) -> None:
    for run, process in processes.items():
        if code := process.poll():
            raise training_error(f"{name}: the {run} training", code)


def training_error(what: str, code: int) -> ConvdepthError:
    """Return the error that ends this process as a training has ended.

    Args:
        what: Which training.
        code: Its exit code, negative for a signal.
    """
    kinds = {kind.exit_code: kind for kind in ConvdepthError.__subclasses__()}
    ending = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
    if code == -signal.SIGKILL:
        ending += ", often for want of memory"
    return kinds.get(code, ConvdepthError)(f"{what} ended with {ending}; its lines are above")
