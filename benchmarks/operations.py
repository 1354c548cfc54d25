"""Where the time of a training step goes: `make bench`.

TensorFlow's profiler watches some steps of each network, trained by the code of the stage. The ten
costliest operations go into a table: the share of all that operations took, on one core.

Writes ``benchmarks/results/operations.json``, and the table in ``benchmarks/README.md``.
"""

import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from made_up import made_up_data
from reporting import describe_machine, make_parser, record

from convdepth.config.params import find_architecture, read_params
from convdepth.models.backend import configure, tf
from convdepth.training.loop import build_trainer, train_epoch
from convdepth.training.progress import TrainingProgress

# isort: split
from tensorflow.tsl.profiler.protobuf import xplane_pb2

PARAMS = Path(__file__).resolve().parent.parent / "params.yaml"
STEPS = 20
TOP = 10


def main() -> None:
    """Measure each network in a process of its own, and write the results."""
    parser = make_parser(__doc__)
    parser.add_argument("--watch", nargs=3, metavar=("NAME", "PRECISION", "FOLDER"))
    if watched := parser.parse_args().watch:
        _watch(*watched)
        return
    result: dict[str, Any] = {"machine": describe_machine(), "milliseconds": {}}
    for name in read_params(PARAMS).architectures:
        for precision in ("float32", "mixed_bfloat16"):
            with tempfile.TemporaryDirectory() as folder:
                command = [sys.executable, __file__, "--watch", name, precision, folder]
                subprocess.run(command, check=True)
                times = _read(Path(folder))
            result["milliseconds"][f"{name}, {precision}"] = {
                operation: round(spent / STEPS, 3) for operation, spent in times.most_common()
            }
    record("operations", result, table)


def _watch(name: str, precision: str, folder: str) -> None:
    params = read_params(PARAMS)
    recipe = params.train.model_copy(update={"precision": precision})
    configure(recipe.threads)
    count = STEPS * recipe.batch_size
    data = made_up_data(count)
    trainer = build_trainer(find_architecture(name, params, PARAMS), recipe, data)
    progress = TrainingProgress(name, 2, count)
    train_epoch(trainer, recipe, 1, data, progress)
    tf.profiler.experimental.start(folder)
    train_epoch(trainer, recipe, 2, data, progress)
    tf.profiler.experimental.stop()


def _read(folder: Path) -> Counter[str]:
    """Sum up the milliseconds of each operation."""
    space = xplane_pb2.XSpace()
    space.ParseFromString(next(folder.rglob("*.xplane.pb")).read_bytes())
    times: Counter[str] = Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                if operation := _operation(plane.event_metadata[event.metadata_id].name):
                    times[operation] += event.duration_ps / 1e9
    return times


def _operation(event: str) -> str | None:
    """Put in words what an event of the profiler was; None if it is no operation of a step."""
    path, _, kind = event.partition(":")
    if not kind or "/" not in path:
        return None
    if "/adam/" in path.lower():
        return "optimizer"
    kind = re.sub(r"^_Mkl|Native|Fused", "", kind)
    layer = re.search(r"/(block\d+_\w+?|head_\w+?|softmax|flatten)(_\d+)?/", path)
    if not layer:
        return f"rest: {kind}"
    backward = "backward: " if "gradient_tape" in path else ""
    return f"{layer[1]}: {backward}{kind}"


def table(result: Mapping[str, Any]) -> list[str]:
    """Give the lines for the README."""
    lines = []
    for network, times in result["milliseconds"].items():
        total = sum(times.values())
        lines += [f"**{network}**: {total:.1f} ms a step", "", "| operation | share |", "|---|--:|"]
        for operation, spent in list(times.items())[:TOP]:
            lines.append(f"| {operation} | {spent / total:.1%} |")
        lines.append("")
    machine = result["machine"]
    return [*lines, f"One core of {machine['cpu']}; {STEPS} steps of 128 images."]


if __name__ == "__main__":
    main()
