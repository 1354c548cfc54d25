"""How fast the four networks are trained on a GPU, and what each choice costs there.

A start takes longer than an epoch; so all arms are started first, and stay. Then one after the
other trains each network, in random order, round by round; and ours all four networks at once, as
several trainings share a GPU (``CONVDEPTH_SLOTS_PER_GPU``). The notebook's code does a whole epoch,
for the reason that `training_speed` gives, and all others some images, from which follows an epoch.

Writes ``benchmarks/results/gpu_speed.json``, and the table in ``benchmarks/README.md``. It needs a
GPU, and the data: run ``make repro`` first.
"""

import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from environments import python_of
from interleaving import Arm, Sample, compare, read_line, show_ratio, started, write_line
from networks import NORMALIZED, PARAMS, describe_layers
from reporting import describe_machine, make_parser, record
from training_speed import MIXED, NOTEBOOK, OURS, TORCH, TWIN, WHOLE_EPOCH

from convdepth.config.params import Params, read_params
from convdepth.workspace.gpu import choose_gpus

CHOICES = {
    "ours, float32, without XLA": ["--no-xla"],
    "ours, float32, sums in any order": ["--any-order"],
    "ours, float32, 50 batches per call": ["--steps", "50"],
}
"""What else ours could do, each with the arguments of the arm."""

AT_ONCE = (OURS, MIXED)

Processes = dict[str, dict[str, "subprocess.Popen[str]"]]
"""For each arm and network, a process that is ready."""


def main() -> None:
    """Measure, and write the results."""
    parser = make_parser(__doc__, rounds=7)
    parser.add_argument("--images", type=int, default=WHOLE_EPOCH, help="of one unit of work")
    parser.add_argument("--minutes", type=float, default=60, help="after which no round starts")
    arguments = parser.parse_args()
    gpus = choose_gpus(require=True).gpus
    arms = _arms(read_params(PARAMS), arguments.images)
    with ExitStack() as stack:
        processes = _start(arms, stack)
        rounds = _measure(processes, arguments.rounds, arguments.minutes)
    machine = {"gpu": ", ".join(gpu.label for gpu in gpus), **describe_machine()}
    failed = [arm.name for arm in arms if arm.name not in processes]
    names = [arm.name for arm in arms if arm.name in processes]
    result = {
        "machine": machine,
        "images": arguments.images,
        "failed": failed,
        "rounds": rounds,
        **_summarize(names, rounds),
    }
    record("gpu_speed", result, table)


def _arms(params: Params, images: int) -> list[Arm]:
    names = sorted(params.architectures, key=lambda name: -params.architectures[name].flop)
    given = ["--normalized", NORMALIZED, "--images", str(images)]
    whole = ["--normalized", NORMALIZED, "--images", str(WHOLE_EPOCH)]
    layers = {name: describe_layers(params.architectures[name]) for name in names}
    # The arms share the GPU: none may take all of its memory.
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}

    def plain(name: str, start: Sequence[Any], work: Sequence[Any]) -> Arm:
        commands = {key: [*start, "--layers", layers[key], *work] for key in names}
        return Arm(name, commands, environment={**quiet, "KERAS_BACKEND": "tensorflow"})

    def ours(name: str, precision: str, *more: str) -> Arm:
        start = [sys.executable, "ours.py", "--params", PARAMS, *given, "--precision", precision]
        return Arm(name, {key: [*start, "--name", key, *more] for key in names}, environment=quiet)

    return [
        plain(NOTEBOOK, [sys.executable, "keras_plain.py"], whole),
        ours(OURS, "float32"),
        ours(TWIN, "float32"),
        ours(MIXED, "mixed_bfloat16"),
        *(ours(name, "float32", *more) for name, more in CHOICES.items()),
        plain(TORCH, [python_of("pytorch"), "pytorch.py", "--device", "cuda"], given),
    ]


def _start(arms: Sequence[Arm], stack: ExitStack) -> Processes:
    """Start all processes; leave out an arm that does not come to its first epoch's end."""
    waiting: Processes = {
        arm.name: {
            key: stack.enter_context(started(command, arm.environment))
            for key, command in arm.commands.items()
        }
        for arm in arms
    }
    ready: Processes = {}
    for name, processes in waiting.items():
        try:
            for process in processes.values():
                read_line(process)
        except SystemExit as error:
            print(f"{name}: left out: {error}", flush=True)
        else:
            ready[name] = processes
    return ready


def _measure(processes: Processes, rounds: int, minutes: float) -> list[dict[str, Sample]]:
    """Give for each round the samples of each arm, and of those that train all at once."""
    pieces: list[tuple[str, str, list[str]]] = [
        (arm, arm, [name]) for arm, networks in processes.items() for name in networks
    ]
    pieces += [(at_once(arm), arm, list(processes[arm])) for arm in AT_ONCE]
    end, done = time.monotonic() + 60 * minutes, []
    while len(done) < rounds and time.monotonic() < end:
        samples: dict[str, Sample] = {}
        for label, arm, names in random.sample(pieces, len(pieces)):
            sample = _run({name: processes[arm][name] for name in names})
            samples.setdefault(label, {}).update(sample)
        done.append(samples)
        shown = {label: f"{_one_after_the_other(each):.1f} s" for label, each in samples.items()}
        print(f"round {len(done)}: {json.dumps(shown)}", flush=True)
    return done


def _run(processes: Mapping[str, "subprocess.Popen[str]"]) -> Sample:
    """Let each train at the same time as the others."""
    for process in processes.values():
        write_line(process, "once")
    return {name: json.loads(read_line(process)) for name, process in processes.items()}


def at_once(arm: str) -> str:
    """Name the samples of an arm that trains all networks at once."""
    return f"{arm}, all at once"


def _epoch(sample: Mapping[str, float]) -> float:
    return sample["seconds"] / sample["amount"] * WHOLE_EPOCH


def _one_after_the_other(sample: Sample) -> float:
    return sum(map(_epoch, sample.values()))


def _longest(sample: Sample) -> float:
    return max(map(_epoch, sample.values()))


def _summarize(arms: Sequence[str], rounds: Sequence[Mapping[str, Sample]]) -> dict[str, Any]:
    def jobs(arm: str, total: Callable[[Sample], float]) -> list[float]:
        return [total(samples[arm]) for samples in rounds]

    base = jobs(NOTEBOOK if NOTEBOOK in arms else OURS, _one_after_the_other)
    totals = {arm: jobs(arm, _one_after_the_other) for arm in arms}
    totals |= {at_once(arm): jobs(at_once(arm), _longest) for arm in AT_ONCE}
    return {
        "epoch_seconds": {
            arm: {
                name: round(statistics.median(_epoch(each[arm][name]) for each in rounds), 2)
                for name in sorted(rounds[0][arm])
            }
            for arm in arms
        },
        "job_seconds": {arm: round(statistics.median(each), 2) for arm, each in totals.items()},
        "times_as_fast": {arm: compare(base, each) for arm, each in totals.items()},
    }


def table(result: Mapping[str, Any]) -> list[str]:
    """Give the lines for the README."""
    names = list(next(iter(result["epoch_seconds"].values())))
    rows = [
        f"| | {' | '.join(f'`{name}`' for name in names)} | all four | times as fast |",
        "|---|" + "--:|" * (len(names) + 2),
    ]
    for arm, seconds in result["job_seconds"].items():
        epochs = result["epoch_seconds"].get(arm, {})
        cells = [f"{epochs[name]:.2f} s" if epochs else "" for name in names]
        ratio = show_ratio(result["times_as_fast"][arm])
        rows.append(f"| {arm} | {' | '.join(cells)} | {seconds:.1f} s | {ratio} |")
    machine = result["machine"]
    failed = f" Did not start: {', '.join(result['failed'])}." if result["failed"] else ""
    place = f"{machine['gpu']}, {machine['cores']} cores, {machine['cpu']}"
    amount = f"{len(result['rounds'])} rounds of {result['images']:,} images"
    return [*rows, "", f"{place}; {amount}.{failed}"]


if __name__ == "__main__":
    main()
