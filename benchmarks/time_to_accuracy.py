"""How long it takes to the accuracies that the notebook recorded: two hours.

Each network that learns is trained with several seeds by three recipes: the notebook's in float32,
whose trainings are those of the studies (``metrics/replicates``), in bfloat16, and the preset
`fast`. Told are the epochs until the test accuracy first reaches what the notebook recorded, for
how many seeds it does, and what the last epoch has.

Then the seconds for so many epochs are measured side by side: in each round all arms run, in random
order, each in the way in which it is meant to use the machine. The notebook's code, which needs as
many epochs as ours in float32, trains one network after the other, and its unit is a whole epoch of
each. Ours trains the three networks as the flow does, at once, and its unit is the whole job with
fewer images; it ends with the last network.

Nothing is selected here: the recipes are fixed before. What was trained before is not trained
again. Writes ``benchmarks/results/time_to_accuracy.json``, and the table in
``benchmarks/README.md``.
"""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from interleaving import Arm, Sample, compare, measure, rounds_of, show_ratio
from networks import PARAMS, PROJECT
from reporting import FOLDER, describe_machine, make_parser, record, where
from training_speed import (
    FAST,
    MIXED,
    NOTEBOOK,
    OUR_OPTIONS,
    OURS,
    notebook_arm,
    our_command,
    peak_arms,
    peak_gflops,
)
from trainings import Training, run_trainings

from convdepth.config.dataset import SPLIT_SIZES
from convdepth.config.params import Params, read_params
from convdepth.evaluation.notebook_record import read_notebook
from pipelines.execution.concurrency import fill_cores

SEEDS = (1, 2, 3, 4, 5)

COLLAPSED = 0.5
"""What learned has more than this accuracy by far, and what did not has less."""

FAST_TWIN = f"{FAST}, again"

ARMS = {NOTEBOOK: "float32", OURS: "float32", MIXED: "bfloat16", FAST: "fast", FAST_TWIN: "fast"}
"""The arms, each with its recipe."""

IMAGES = 3840
"""About what each network has in the smaller job, all epochs together."""

STORE = FOLDER / "results" / "accuracy_trainings.json"


def main() -> None:
    """Train what is not trained yet, and write the results."""
    parser = make_parser(__doc__, rounds=7)
    parser.add_argument(
        "--no-training", action="store_true", help="only time what was trained before"
    )
    arguments = parser.parse_args()
    params, recorded = read_params(PARAMS), _recorded()
    accuracies = {
        "float32": {name: _replicates(name) for name in recorded},
        **_train(params, list(recorded), only_known=arguments.no_training),
    }
    epochs = {
        recipe: {
            name: [epochs_to(recorded[name], each) for each in runs]
            for name, runs in networks.items()
        }
        for recipe, networks in accuracies.items()
    }
    result: dict[str, Any] = {
        "machine": describe_machine(),
        "recorded": recorded,
        "epochs": epochs,
        "last": {
            recipe: {name: [each[-1] for each in runs] for name, runs in networks.items()}
            for recipe, networks in accuracies.items()
        },
        "rounds": arguments.rounds,
        **_time([_plan(params, arm, epochs[ARMS[arm]]) for arm in ARMS], arguments.rounds),
    }
    record("time_to_accuracy", result, table)


def _train(
    params: Params, names: Sequence[str], only_known: bool
) -> dict[str, dict[str, list[list[float]]]]:
    """Train what is not trained yet; give, by recipe and network, the accuracies of each seed."""
    # The quickest recipe first: an interrupted run has most of what it can have.
    recipes: Mapping[str, Mapping[str, Any]] = {
        "fast": params.presets["fast"].model_dump(exclude_unset=True),
        "bfloat16": {"precision": "mixed_bfloat16"},
    }
    trainings = {
        (recipe, name, seed): Training(name, {**changes, "seed": seed})
        for (recipe, changes), seed, name in product(
            recipes.items(), SEEDS, _costliest_first(params, names)
        )
    }
    reached = run_trainings(() if only_known else trainings.values(), STORE)
    return {
        recipe: {
            name: [
                reached[key]
                for seed in SEEDS
                if (key := trainings[recipe, name, seed].key) in reached
            ]
            for name in names
        }
        for recipe in reversed(recipes)
    }


def _replicates(name: str) -> list[list[float]]:
    """Read the test accuracy after each epoch from the studies, for each seed; none yet is none."""
    path = PROJECT / "metrics" / "replicates" / f"{name}.json"
    if not path.exists():
        return []
    runs = json.loads(path.read_text(encoding="utf-8"))["runs"]
    return [run["curves"]["val_accuracy"] for run in runs if run["seed"] in SEEDS]


def epochs_to(target: float, accuracies: Sequence[float]) -> int | None:
    """Return the number, from 1, of the first epoch that has an accuracy; None if none has."""
    return next((n for n, each in enumerate(accuracies, start=1) if each >= target), None)


def table(result: Mapping[str, Any]) -> list[str]:
    """Give the lines for the README."""
    names = list(result["recorded"])
    lines = [
        f"| recipe | {' | '.join(f'`{name}`: epochs' for name in names)} |",
        "|---|" + "--:|" * len(names),
    ]
    for recipe, networks in result["epochs"].items():
        cells = [_cell(networks[name], result["last"][recipe][name]) for name in names]
        lines.append(f"| {recipe} | {' | '.join(cells)} |")
    targets = ", ".join(f"{each:.2%}" for each in result["recorded"].values())
    lines += [
        "",
        f"To reach: {targets}. Epochs: the median over the seeds that reach it, if most do;",
        "in parentheses how many of them did; then mean and standard deviation at the end.",
        "",
        "| | seconds for all three | times as fast | by the fastest epochs |",
        "|---|--:|--:|--:|",
    ]
    for arm, recipe in ARMS.items():
        if (seconds := result["seconds"].get(arm)) is None:
            is_trained = all(result["epochs"][recipe].values())
            lines.append(f"| {arm} | {'not reached' if is_trained else 'not trained yet'} |  |  |")
            continue
        ratio, by_fastest = result["times_as_fast"][arm], result["times_as_fast_by_fastest"][arm]
        lines.append(f"| {arm} | {seconds:.0f} s | {show_ratio(ratio)} | {by_fastest:.1f} |")
    peak = result["peak_gflops"]
    return [
        *lines,
        "",
        f"{where(result)}. One core multiplied matrices with {peak['float32']:.0f}",
        f"GFLOP/s in float32 and {peak['bfloat16']:.0f} in bfloat16 while the other did the same.",
    ]


def _cell(epochs: Sequence[int | None], last: Sequence[float]) -> str:
    if not epochs:
        return "not trained yet"
    found, median = len(epochs) - epochs.count(None), _median(epochs)
    spread = f" ± {100 * statistics.stdev(last):.2f}" if len(last) > 1 else ""
    ending = f"ends at {100 * statistics.mean(last):.2f}{spread} %"
    return f"{f'{median:g}' if median else 'not'} ({found} of {len(epochs)}), {ending}"


def _recorded() -> dict[str, float]:
    """Give the accuracy that the notebook recorded, of each network that learned."""
    records = read_notebook(PROJECT / "data" / "notebook.json")
    accuracies = {name: record.test_accuracy for name, record in records.items()}
    return {name: each for name, each in accuracies.items() if each > COLLAPSED}


@dataclass(frozen=True)
class Plan:
    """How an arm does its job with less work, and what follows from that.

    Attributes:
        arm: What is timed.
        factors: For each network, how many times as long as its unit the whole training takes.
    """

    arm: Arm
    factors: Mapping[str, float]

    def seconds(self, sample: Sample) -> float:
        """Give the time until all networks have reached their accuracy, from that of the units."""
        rounds = rounds_of(list(self.arm.commands), self.arm.jobs)
        return sum(
            max(self.factors[name] * sample[name]["seconds"] for name in names) for names in rounds
        )

    def least(self, samples: Sequence[Sample]) -> float:
        """Give that of the fastest round; where the networks do not share cores, of each one's."""
        if self.arm.as_flow:
            return min(map(self.seconds, samples))
        fastest = {
            name: min((each[name] for each in samples), key=lambda unit: unit["seconds"])
            for name in self.arm.commands
        }
        return self.seconds(fastest)


def _plan(params: Params, arm: str, epochs: Mapping[str, list[int | None]]) -> Plan | None:
    """Plan how to time an arm; None where most seeds of a network do not reach the accuracy."""
    medians = {name: _median(epochs[name]) for name in _costliest_first(params, epochs)}
    needed = {name: median for name, median in medians.items() if median}
    if len(needed) < len(medians):
        return None
    if arm == NOTEBOOK:
        return Plan(notebook_arm(params, list(needed)), needed)
    options = OUR_OPTIONS[FAST if arm == FAST_TWIN else arm]
    batch = params.train.batch_size
    per_epoch = batch * max(1, round(IMAGES / statistics.mean(needed.values()) / batch))
    commands = {
        name: our_command(name, round(per_epoch * number), *options)
        for name, number in needed.items()
    }
    factor = SPLIT_SIZES["train"] / per_epoch
    return Plan(
        Arm(arm, commands, fill_cores(PROJECT), as_flow=True), dict.fromkeys(needed, factor)
    )


def _costliest_first(params: Params, names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: -params.architectures[name].flop)


def _time(plans: Iterable[Plan | None], rounds: int) -> dict[str, Any]:
    """Time the plans side by side; what has none is left out."""
    by_arm = {plan.arm.name: plan for plan in plans if plan}
    if NOTEBOOK not in by_arm:
        raise SystemExit(
            "metrics/replicates: expected trainings of each network by the notebook's recipe, most "
            "of which reach what the notebook recorded; run `make studies`"
        )
    samples = measure([*(plan.arm for plan in by_arm.values()), *peak_arms()], rounds)
    seconds = {arm: [plan.seconds(each) for each in samples[arm]] for arm, plan in by_arm.items()}
    least = {arm: plan.least(samples[arm]) for arm, plan in by_arm.items()}
    return {
        "samples": samples,
        "peak_gflops": peak_gflops(samples),
        "seconds": {arm: round(statistics.median(each), 1) for arm, each in seconds.items()},
        "times_as_fast": {arm: compare(seconds[NOTEBOOK], each) for arm, each in seconds.items()},
        "times_as_fast_by_fastest": {
            arm: round(least[NOTEBOOK] / each, 3) for arm, each in least.items()
        },
    }


def _median(epochs: Sequence[int | None]) -> float | None:
    """Give the median over the seeds that reach it; None if most do not."""
    found = [each for each in epochs if each is not None]
    return statistics.median(found) if 2 * len(found) > len(epochs) else None


if __name__ == "__main__":
    main()
