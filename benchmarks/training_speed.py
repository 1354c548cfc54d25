"""How fast the four networks are trained, beside other ways to do the same: `make bench`.

Each arm uses the machine in the way that suits it: one process with all cores, or one process of
one thread per core, all with the same network. The unit of work is the same for all arms: one
process trains on `IMAGES` images and evaluates a sixth as many. The seconds of a whole epoch follow
from it, and by the flow's schedule those of all four networks. In each round all arms run, in
random order, except that peers run in every second or third round. Ratios are taken round by round.

Writes ``benchmarks/results/training_speed.csv`` and ``.json``, and the tables in
``benchmarks/README.md`` and ``README.md``. It needs the data: run ``make repro`` first.
"""

import heapq
import os
import statistics
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from environments import python_of
from interleaving import Arm, Sample, compare, measure, show_ratio
from networks import NORMALIZED, PARAMS, PROJECT, describe_layers, training_flop
from reporting import make_parser, record, where, write_rows, write_section

from convdepth.config.dataset import SPLIT_SIZES
from convdepth.config.params import Params, read_params
from pipelines.execution.concurrency import fill_cores

NOTEBOOK, BASE = "plain Keras", "plain Keras, tuner off"
PER_CORE = ", one process per core"
OURS, TWIN, PORTABLE = "ours, float32", "ours, float32, again", "ours, float32, portable"
MIXED, FAST = "ours, bfloat16", "ours, fast recipe"
TORCH, JAX = "PyTorch", "Keras on JAX"

OUR_OPTIONS: Mapping[str, Sequence[str]] = {
    OURS: ("--precision", "float32"),
    TWIN: ("--precision", "float32"),
    PORTABLE: ("--precision", "float32", "--portable"),
    MIXED: ("--precision", "mixed_bfloat16"),
    FAST: ("--preset", "fast"),
}

PEERS = {NOTEBOOK: OURS, f"{TORCH}, float32": OURS, f"{TORCH}, bfloat16": MIXED, JAX: OURS}
"""The first words of a peer's arms, and the arm of ours that its best arm is compared with."""

FUSED = ("--threads", "1", "--fused")
TORCH_WAYS: Mapping[str, Sequence[str]] = {
    "": (),
    f"{PER_CORE}, fused Adam": FUSED,
    f"{PER_CORE}, fused Adam, compiled": (*FUSED, "--compile", "default"),
}

PEAKS = {OURS: "float32", PORTABLE: "portable", MIXED: "bfloat16"}
"""Each of our arms, and the kind of matrix product that bounds it."""

STEPS = {
    "pipeline and one process per core": (BASE, OURS),
    "precision: bfloat16": (OURS, MIXED),
    "recipe: `make fast`": (MIXED, FAST),
    "all three": (BASE, FAST),
}
"""What makes a training faster, each step with the arms before and after it."""

FRONT_PAGE = {
    BASE: "plain Keras port of the notebook",
    PORTABLE: "this project",
    OURS: "this project, `portable: false`",
    FAST: "this project, `make fast` (bfloat16)",
}

WHOLE_EPOCH = SPLIT_SIZES["train"]
IMAGES = 3840
"""Of a unit of work: 30 whole batches, so that peers compile each step for one shape only."""

LOW = 0.25
"""The quantile over rounds that load from other programs hardly reaches."""


def main() -> None:
    """Measure, and write the results."""
    parser = make_parser(__doc__, rounds=6)
    parser.add_argument("--images", type=int, default=IMAGES, help="of one unit of work")
    parser.add_argument("--without", action="append", default=[], help="an arm to leave out")
    arguments = parser.parse_args()
    params, started = read_params(PARAMS), time.monotonic()
    frames, peaks = [], []
    for number, network in enumerate(params.architectures, start=1):
        every = arms_of(params, network, arguments.images)
        arms = [arm for arm in every if arm.name not in arguments.without]
        samples = measure([*arms, *peak_arms()], arguments.rounds)
        frames.append(rows_of(arms, samples))
        peaks.append(peak_gflops(samples))
        minutes = (time.monotonic() - started) / 60
        estimate = minutes / number * len(params.architectures)
        print(f"{network}: {minutes:.0f} min, estimated total {estimate:.0f} min", flush=True)
    frame = pd.concat(frames)
    write_rows("training_speed", frame)
    result: dict[str, Any] = {
        "rounds": arguments.rounds,
        "images": arguments.images,
        "peak_gflops": {
            key: round(statistics.median(each[key] for each in peaks), 1) for key in peaks[0]
        },
        "epochs": {BASE: params.train.epochs, FAST: params.presets["fast"].epochs},
        **summarize(frame),
    }
    flop = sum(map(training_flop, params.architectures.values()))
    result["share_of_peak"] = {
        arm: round(flop * WHOLE_EPOCH / sum(entry["epoch_seconds"].values()) / peak, 3)
        for arm, kind in PEAKS.items()
        if (entry := result["arms"].get(arm))
        and (peak := result["peak_gflops"][kind] * (os.cpu_count() or 1) * 1e9)
    }
    result = record("training_speed", result, table)
    write_section("training_speed", summary(result), PROJECT / "README.md")


def arms_of(params: Params, network: str, images: int) -> list[Arm]:
    """Return all arms for one network and a number of training images per unit of work."""
    cores = sorted(os.sched_getaffinity(0))[: fill_cores(PROJECT)]
    torch, jax = python_of("pytorch"), python_of("jax")
    compiled = {
        "KERAS_BACKEND": "jax",
        "JAX_COMPILATION_CACHE_DIR": str(jax.parents[1] / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }

    def one(name: str, command: Sequence[Any], every: int = 1, **environment: str) -> Arm:
        return Arm(name, {network: command}, 1, environment, every)

    def per_core(name: str, command: Sequence[Any], every: int = 1, **environment: str) -> Arm:
        commands = {f"{network} {core}": command for core in cores}
        return Arm(name, commands, len(cores), environment, every)

    def pinned(arm: Arm) -> Arm:
        pins = {piece: ["taskset", "--cpu-list", piece.split()[1]] for piece in arm.commands}
        return replace(arm, commands={key: [*pins[key], *arm.commands[key]] for key in pins})

    def plain(python: str | Path, *more: str, script: str = "keras_plain.py") -> list[str | Path]:
        layers = describe_layers(params.architectures[network])
        return [python, script, *_given(images), "--layers", layers, *more]

    arms = [
        notebook_arm(params, [network], images=images),
        base := notebook_arm(params, [network], "--no-tuner", images=images),
        pinned(per_core(f"{BASE}{PER_CORE}", base.commands[network])),
        *(per_core(name, our_command(network, images, *o)) for name, o in OUR_OPTIONS.items()),
        one(JAX, plain(jax), 3, **compiled),
        pinned(per_core(f"{JAX}{PER_CORE}", plain(jax), 3, **compiled)),
    ]
    for precision in ("float32", "bfloat16"):
        for way, options in TORCH_WAYS.items():
            command = plain(torch, "--precision", precision, *options, script="pytorch.py")
            arms.append((per_core if options else one)(f"{TORCH}, {precision}{way}", command, 2))
    return arms


def notebook_arm(
    params: Params, names: Iterable[str], *more: str, images: int = WHOLE_EPOCH
) -> Arm:
    """Return an arm of plain Keras; ``more`` are options of ``arms/keras_plain.py``."""
    start = [sys.executable, "keras_plain.py", *_given(images), *more, "--layers"]
    commands = {name: [*start, describe_layers(params.architectures[name])] for name in names}
    return Arm(BASE if "--no-tuner" in more else NOTEBOOK, commands)


def our_command(name: str, images: int, *more: str) -> Sequence[str | Path]:
    """Return the command of an arm that trains one network as this project does."""
    return [sys.executable, "ours.py", "--params", PARAMS, *_given(images), "--name", name, *more]


def _given(images: int) -> list[str | Path]:
    return ["--normalized", NORMALIZED, "--images", str(images)]


def peak_arms() -> list[Arm]:
    """Return the arms that multiply matrices on all cores, of each kind."""
    cores = os.cpu_count() or 1
    commands = {kind: [sys.executable, "peak.py", "--kind", kind] for kind in PEAKS.values()}
    return [
        Arm(kind, {f"core {core}": command for core in range(cores)}, cores)
        for kind, command in commands.items()
    ]


def peak_gflops(samples: Mapping[str, list[Sample]]) -> dict[str, float]:
    """Return the median GFLOP/s of one core while all are busy, for each kind."""
    return {
        kind: statistics.median(
            statistics.mean(each["amount"] / each["seconds"] / 1e9 for each in sample.values())
            for sample in samples[kind]
        )
        for kind in PEAKS.values()
    }


def rows_of(arms: Sequence[Arm], samples: Mapping[str, Sequence[Sample]]) -> pd.DataFrame:
    """Return one row per arm, network (first word of a piece) and round: the slowest piece."""
    rows = []
    for arm in arms:
        for number, sample in enumerate(samples[arm.name]):
            for network in dict.fromkeys(piece.split()[0] for piece in sample):
                each = [value for piece, value in sample.items() if piece.split()[0] == network]
                slowest = max(each, key=lambda value: value["seconds"])
                seconds, images = round(slowest["seconds"], 4), int(slowest["amount"])
                rows.append((arm.name, network, number * arm.every, arm.jobs, seconds, images))
    columns = ["arm", "network", "round", "processes", "seconds", "images"]
    return pd.DataFrame(rows, columns=columns)


def job_seconds(epochs: Iterable[float], jobs: int) -> float:
    """Return the seconds until the last network has had its epoch, the longest started first.

    ``epochs`` are the seconds of each network while ``jobs`` are trained at once.
    """
    ends = [0.0] * jobs
    for seconds in sorted(epochs, reverse=True):
        heapq.heapreplace(ends, ends[0] + seconds)
    return max(ends)


def epochs_of(own: pd.DataFrame) -> pd.DataFrame:
    """Return the seconds of a whole epoch by round and network, from the rows of one arm."""
    epoch = own["seconds"] / own["images"] * WHOLE_EPOCH
    rows = own.assign(epoch=epoch)
    return rows.pivot_table(index="round", columns="network", values="epoch", sort=False)


def jobs_of(own: pd.DataFrame) -> pd.Series:
    """Return the seconds of one epoch of all networks by round, from the rows of one arm."""
    processes = int(own["processes"].iloc[0])
    return epochs_of(own).apply(lambda row: job_seconds(row, processes), axis=1)


def compare_jobs(before: pd.Series, after: pd.Series) -> dict[str, float]:
    """Compare the results of `jobs_of` for two arms by the rounds in which both ran."""
    both = before.index.intersection(after.index)
    return compare(before[both].to_list(), after[both].to_list())


def summarize(frame: pd.DataFrame) -> dict[str, Any]:
    """Compute the figures of the tables from one row per arm, network and round."""
    jobs: dict[str, pd.Series] = {}
    lows, arms = {}, {}
    for name, own in frame.groupby("arm", sort=False):
        processes, epochs = int(own["processes"].iloc[0]), epochs_of(own)
        jobs[str(name)] = jobs_of(own)
        lows[name] = job_seconds(epochs.quantile(LOW), processes)
        arms[str(name)] = {
            "epoch_seconds": (epochs.median() / processes).round(2).to_dict(),
            "all_seconds": round(float(jobs[str(name)].median()), 2),
        }
    base = BASE if BASE in jobs else next(iter(jobs))

    def ratio(before: str, after: str) -> dict[str, float]:
        return compare_jobs(jobs[before], jobs[after])

    for name, entry in arms.items():
        entry["times_as_fast"] = ratio(base, name)
        entry["by_low"] = round(lows[base] / lows[name], 3)
    best = {
        peer: min(found, key=lambda name: arms[name]["all_seconds"])
        for peer in PEERS
        if (found := [name for name in arms if name.startswith(peer)])
    }
    return {
        "base": base,
        "arms": arms,
        "steps": {key: ratio(*pair) for key, pair in STEPS.items() if set(pair) <= set(jobs)},
        "peers": {
            peer: {"arm": arm, "ours": PEERS[peer], "ratio": ratio(arm, PEERS[peer])}
            for peer, arm in best.items()
            if PEERS[peer] in arms
        },
    }


def arm_table(result: Mapping[str, Any]) -> list[str]:
    """Return the table of all arms."""
    names = list(next(iter(result["arms"].values()))["epoch_seconds"])
    rows = [
        f"| | {' | '.join(f'`{name}`' for name in names)} | all four | times as fast | "
        "by lower quartiles |",
        "|---|" + "--:|" * (len(names) + 3),
    ]
    for arm, entry in result["arms"].items():
        cells = [f"{entry['epoch_seconds'][name]:.1f} s" for name in names]
        cells += [f"{entry['all_seconds']:.1f} s", show_ratio(entry["times_as_fast"])]
        rows.append(f"| {arm} | {' | '.join(cells)} | {entry['by_low']:.2f} |")
    return rows


def _whole(result: Mapping[str, Any], ratio: Mapping[str, float], arm: str) -> dict[str, float]:
    """Turn a ratio of epochs into one of whole trainings: the fast recipe has fewer epochs."""
    factor = result["epochs"][BASE] / result["epochs"][FAST] if arm == FAST else 1
    return {key: value * factor for key, value in ratio.items()}


def table(result: Mapping[str, Any]) -> list[str]:
    """Return the lines for the benchmarks' page."""
    peers = [
        f"| {each['arm']} | {each['ours']} | {show_ratio(each['ratio'])} |"
        for each in result["peers"].values()
    ]
    steps = [
        f"| {step} | {show_ratio(_whole(result, ratio, STEPS[step][1]))} |"
        for step, ratio in result["steps"].items()
    ]
    ours = ", ".join(
        f"{arm} {show_ratio(result['arms'][arm]['times_as_fast'])}"
        for arm in OUR_OPTIONS
        if arm in result["arms"]
    )
    peaks = ", ".join(f"{kind} {peak:.0f}" for kind, peak in result["peak_gflops"].items())
    shares = ", ".join(f"{arm}: {share:.0%}" for arm, share in result["share_of_peak"].items())
    return [
        f"**Times as fast as {result['base']}, per epoch: {ours}.**",
        "",
        *arm_table(result),
        "",
        "| the best arm of each peer | compared with | time, peer over ours |",
        "|---|---|--:|",
        *peers,
        "",
        f"| what makes a whole training faster than {result['base']} | times as fast |",
        "|---|--:|",
        *steps,
        "",
        f"One core multiplies matrices with this many GFLOP/s while the other cores do the same: "
        f"{peaks}. Share of that reached in training: {shares}.",
        "",
        f"{where(result)} of {result['images']:,} images.",
    ]


def summary(result: Mapping[str, Any]) -> list[str]:
    """Return the lines for the front page."""
    rows = ["| | epochs | training of all four networks | times as fast |", "|---|--:|--:|--:|"]
    for arm, name in FRONT_PAGE.items():
        if entry := result["arms"].get(arm):
            epochs = result["epochs"][FAST if arm == FAST else BASE]
            ratio = _whole(result, entry["times_as_fast"], arm)
            minutes = entry["all_seconds"] * epochs / 60
            rows.append(f"| {name} | {epochs} | {minutes:.1f} min | {show_ratio(ratio)} |")
    return [*rows, "", f"{where(result)}; without start-up."]


if __name__ == "__main__":
    main()
