"""How fast the four networks are trained, beside other ways to do the same: `make bench`.

Each arm trains some images of each network, and evaluates a sixth as many test images, by the code
of a whole epoch (the notebook's code does a whole epoch), in the way in which it is meant to use
the machine: the notebook's code one network after the other with all cores, ours as many trainings
of one thread at once as there are cores. From that follow the seconds of an epoch and, by the
schedule of the flow, of the job. In each round all arms run, in random order; ratios are taken
round by round, and once more between the fastest epochs of each network, in which neither a
neighbour on the machine nor what sleeps (see `WHOLE_EPOCH`) has cost anything. The arithmetic that
each core can do is measured beside them, on all cores at once.

Writes ``benchmarks/results/training_speed.json``, and the table in ``benchmarks/README.md``. It
needs the data: run ``make repro`` first.
"""

import heapq
import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from environments import python_of
from interleaving import Arm, Sample, compare, measure, show_ratio
from networks import NORMALIZED, PARAMS, PROJECT, describe_layers, training_flop
from reporting import describe_machine, make_parser, record, where, write_section

from convdepth.config.dataset import SPLIT_SIZES
from convdepth.config.params import Params, read_params
from pipelines.execution.concurrency import fill_cores

NOTEBOOK, OURS, TWIN = "the notebook's code", "ours, float32", "ours, float32, again"
MIXED, FAST = "ours, bfloat16", "ours, fast recipe"
TORCH, TORCH_MIXED = "PyTorch, float32", "PyTorch, bfloat16"
JAX = "Keras on JAX"

OUR_OPTIONS: Mapping[str, Sequence[str]] = {
    OURS: ("--precision", "float32"),
    MIXED: ("--precision", "mixed_bfloat16"),
    FAST: ("--preset", "fast"),
}

WHOLE_EPOCH = SPLIT_SIZES["train"]
"""What a unit of the notebook's code is.

TensorFlow tunes the feeding of the data in a thread that sleeps for 10 ms, 20 ms, 40 ms and so on,
and with all cores busy the end of an epoch often waits for it to wake. So the length of an epoch
is no straight line there, and a part of it tells nothing.
"""

PRECISIONS = {OURS: "float32", TWIN: "float32", MIXED: "bfloat16", FAST: "bfloat16"}
"""Those of the arms whose share of the arithmetic peak is told."""


def main() -> None:
    """Measure, and write the results."""
    parser = make_parser(__doc__, rounds=7)
    parser.add_argument("--images", type=int, default=3840, help="of one unit of work")
    parser.add_argument("--without", action="append", default=[], help="an arm to leave out")
    arguments = parser.parse_args()
    params = read_params(PARAMS)
    arms = [arm for arm in _arms(params, arguments.images) if arm.name not in arguments.without]
    samples = measure([*arms, *peak_arms()], arguments.rounds)
    result = {
        "machine": describe_machine(),
        "rounds": arguments.rounds,
        "images": arguments.images,
        "samples": samples,
        **_summarize(params, arms, samples),
    }
    record("training_speed", result, table)
    write_section("training_speed", summary(result), PROJECT / "docs" / "benchmarks.md")


def _arms(params: Params, images: int) -> list[Arm]:
    # In pairs, the costliest two first, as the flow starts them.
    names = sorted(params.architectures, key=lambda name: -params.architectures[name].flop)

    def plain(python: Path, script: str, *more: str) -> dict[str, Sequence[str | Path]]:
        layers = {name: describe_layers(params.architectures[name]) for name in names}
        start = [python, script, *_given(images), *more, "--layers"]
        return {name: [*start, layers[name]] for name in names}

    def ours(*more: str) -> dict[str, Sequence[str | Path]]:
        return {name: our_command(name, images, *more) for name in names}

    jobs = fill_cores(PROJECT)
    torch, jax = python_of("pytorch"), python_of("jax")
    # To compile takes half a minute, and is no part of what is measured: only the first round does.
    compiled = {
        "KERAS_BACKEND": "jax",
        "JAX_COMPILATION_CACHE_DIR": str(jax.parents[1] / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    return [
        notebook_arm(params, names),
        Arm(OURS, ours(*OUR_OPTIONS[OURS]), jobs),
        Arm(TWIN, ours(*OUR_OPTIONS[OURS]), jobs),
        Arm(MIXED, ours(*OUR_OPTIONS[MIXED]), jobs),
        Arm(FAST, ours(*OUR_OPTIONS[FAST]), jobs),
        Arm(TORCH, plain(torch, "pytorch.py")),
        Arm(TORCH_MIXED, plain(torch, "pytorch.py", "--precision", "bfloat16")),
        Arm(JAX, plain(jax, "keras_plain.py"), environment=compiled),
    ]


def notebook_arm(params: Params, names: Sequence[str]) -> Arm:
    """Give the arm of the notebook's code, whose unit is a whole epoch."""
    start = [sys.executable, "keras_plain.py", *_given(WHOLE_EPOCH), "--layers"]
    commands = {name: [*start, describe_layers(params.architectures[name])] for name in names}
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    return Arm(NOTEBOOK, commands, environment=quiet)


def our_command(name: str, images: int, *more: str) -> Sequence[str | Path]:
    """Give the command of an arm that trains one network as this project does.

    Its unit is so many images; ``more`` are options, such as those of `OUR_OPTIONS`.
    """
    return [sys.executable, "ours.py", "--params", PARAMS, *_given(images), "--name", name, *more]


def _given(images: int) -> list[str | Path]:
    return ["--normalized", NORMALIZED, "--images", str(images)]


def peak_arms() -> list[Arm]:
    """Give the arms that multiply matrices on all cores, in each precision."""
    cores = os.cpu_count() or 1
    return [
        Arm(
            precision,
            {
                f"core {core}": [sys.executable, "peak.py", "--precision", precision]
                for core in range(cores)
            },
            cores,
        )
        for precision in ("float32", "bfloat16")
    ]


def job_seconds(epochs: Mapping[str, float], jobs: int) -> float:
    """Return the seconds until the last network has had its epoch, the longest started first.

    ``epochs`` are the seconds of each network while ``jobs`` are trained at once.
    """
    ends = [0.0] * jobs
    for seconds in sorted(epochs.values(), reverse=True):
        heapq.heapreplace(ends, ends[0] + seconds)
    return max(ends)


def _summarize(
    params: Params, arms: Sequence[Arm], samples: Mapping[str, list[Sample]]
) -> dict[str, Any]:
    epochs = {
        arm.name: [
            {
                name: sample["seconds"] / sample["amount"] * SPLIT_SIZES["train"]
                for name, sample in each.items()
            }
            for each in samples[arm.name]
        ]
        for arm in arms
    }
    jobs = {arm.name: [job_seconds(each, arm.jobs) for each in epochs[arm.name]] for arm in arms}
    fastest = {name: _fastest(each) for name, each in epochs.items()}
    fastest_jobs = {arm.name: job_seconds(fastest[arm.name], arm.jobs) for arm in arms}
    base = NOTEBOOK if NOTEBOOK in jobs else OURS
    return {
        "jobs": {arm.name: arm.jobs for arm in arms},
        "epoch_seconds": {
            name: {key: round(_median(each, key), 2) for key in each[0]}
            for name, each in epochs.items()
        },
        "job_seconds": {name: round(statistics.median(each), 2) for name, each in jobs.items()},
        "times_as_fast": {name: compare(jobs[base], each) for name, each in jobs.items()},
        "fastest_epoch_seconds": fastest,
        "times_as_fast_by_fastest": {
            name: round(fastest_jobs[base] / each, 3) for name, each in fastest_jobs.items()
        },
        "against_pytorch": {
            ours: compare(jobs[torch], jobs[ours])
            for ours, torch in ((OURS, TORCH), (MIXED, TORCH_MIXED))
            if torch in jobs
        },
        "share_of_peak": _shares(params, samples),
        "peak_gigabytes": {
            arm.name: round(_peak_bytes(samples[arm.name]) / 1e9, 2) for arm in arms
        },
        "peak_gflops": peak_gflops(samples),
    }


def _shares(params: Params, samples: Mapping[str, list[Sample]]) -> dict[str, float]:
    """Compare the arithmetic of the whole job with what the cores could have done meanwhile."""
    flop = {name: training_flop(each) for name, each in params.architectures.items()}
    shares = {}
    for arm, precision in PRECISIONS.items():
        rounds = zip(samples.get(arm, []), samples[precision], strict=False)
        each = [
            sum(flop[name] * sample["amount"] for name, sample in ours.items())
            / sum(sample["seconds"] for sample in ours.values())
            / (_gflops(peak) * 1e9)
            for ours, peak in rounds
        ]
        if each:
            shares[arm] = round(statistics.median(each), 3)
    return shares


def _peak_bytes(samples: Sequence[Sample]) -> float:
    """Give the memory of the largest process."""
    return max(entry["peak_bytes"] for sample in samples for entry in sample.values())


def peak_gflops(samples: Mapping[str, list[Sample]]) -> dict[str, float]:
    """Give the median of what one core did meanwhile, in each precision."""
    return {
        precision: round(statistics.median(map(_gflops, samples[precision])), 1)
        for precision in ("float32", "bfloat16")
    }


def _gflops(sample: Sample) -> float:
    """Give what one core did, in a sample in which all were busy."""
    each = [entry["amount"] / entry["seconds"] / 1e9 for entry in sample.values()]
    return statistics.mean(each)


def _median(each: Sequence[Mapping[str, float]], key: str) -> float:
    return statistics.median(entry[key] for entry in each)


def _fastest(each: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Give the seconds of each network's fastest epoch, of whichever round."""
    return {key: round(min(entry[key] for entry in each), 2) for key in each[0]}


def table(result: Mapping[str, Any]) -> list[str]:
    """Give the lines for the README."""
    names = list(next(iter(result["epoch_seconds"].values())))
    rows = [
        f"| | {' | '.join(f'`{name}`' for name in names)} | all four | "
        "images per second | times as fast | by the fastest epochs | memory |",
        "|---|" + "--:|" * (len(names) + 5),
    ]
    for arm, epochs in result["epoch_seconds"].items():
        cells = [f"{epochs[name]:.1f} s" for name in names]
        seconds = result["job_seconds"][arm]
        cells += [f"{seconds:.0f} s", f"{len(names) * WHOLE_EPOCH / seconds:,.0f}"]
        cells.append(show_ratio(result["times_as_fast"][arm]))
        cells.append(f"{result['times_as_fast_by_fastest'][arm]:.2f}")
        cells.append(f"{result['peak_gigabytes'][arm]:.2f} GB")
        rows.append(f"| {arm} | {' | '.join(cells)} |")
    peak = result["peak_gflops"]
    shares = ", ".join(f"{arm} {share:.0%}" for arm, share in result["share_of_peak"].items())
    torch = ", ".join(
        f"{show_ratio(ratio)} ({arm})" for arm, ratio in result["against_pytorch"].items()
    )
    return [
        *rows,
        "",
        f"PyTorch takes this many times as long as ours in the same precision: {torch}. One core",
        f"multiplies matrices with {peak['float32']:.0f} GFLOP/s in float32 and "
        f"{peak['bfloat16']:.0f} in bfloat16 while the other does the same; share of",
        f"that over the whole job: {shares}.",
        "",
        f"{where(result)} of {result['images']:,} images.",
    ]


def summary(result: Mapping[str, Any]) -> list[str]:
    """Give the lines for the front page."""
    rows = [
        "| | an epoch of all four networks | times as fast | by the fastest epochs |",
        "|---|--:|--:|--:|",
    ]
    for arm, seconds in result["job_seconds"].items():
        ratio, fastest = result["times_as_fast"][arm], result["times_as_fast_by_fastest"][arm]
        rows.append(f"| {arm} | {seconds:.0f} s | {show_ratio(ratio)} | {fastest:.2f} |")
    return [*rows, "", f"{where(result)}."]


if __name__ == "__main__":
    main()
