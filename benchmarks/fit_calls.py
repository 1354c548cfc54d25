"""What tf.data's tuner costs plain Keras: one `fit` of 12 epochs beside 12 calls of one epoch.

The tuner's thread sleeps 10 ms, 20 ms, 40 ms and so on, and the end of an epoch can wait for it. An
epoch here is a sixteenth of a whole one: the sleeps double, so a wait keeps its share of the epoch.

Writes ``benchmarks/results/fit_calls.json``, and the table in ``benchmarks/README.md``.
"""

import statistics
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from interleaving import compare, measure, show_ratio
from networks import PARAMS
from reporting import make_parser, record, where
from training_speed import notebook_arm

from convdepth.config.dataset import SPLIT_SIZES
from convdepth.config.params import read_params

NETWORKS = ("cnn1", "cnn7")
EPOCHS = 12
CALLS = {f"one fit of {EPOCHS} epochs": (EPOCHS, 1), f"{EPOCHS} fits of one epoch": (1, EPOCHS)}
TUNER: Mapping[str, list[str]] = {"tuner on": [], "tuner off": ["--no-tuner"]}
USUAL, BASE = (f"{next(iter(CALLS))}, {tuner}" for tuner in TUNER)


def main() -> None:
    """Measure, and write the results."""
    parser = make_parser(__doc__, rounds=3)
    parser.add_argument("--images", type=int, default=SPLIT_SIZES["train"] // 16)
    arguments = parser.parse_args()
    params, arms = read_params(PARAMS), []
    for calls, (epochs, number) in CALLS.items():
        work = ("--epochs", str(epochs), "--calls", str(number))
        for tuner, options in TUNER.items():
            arm = notebook_arm(params, NETWORKS, *work, *options, images=arguments.images)
            arms.append(replace(arm, name=f"{calls}, {tuner}"))
    samples = measure(arms, arguments.rounds)
    result = {
        "rounds": arguments.rounds,
        "images": arguments.images,
        "seconds": {
            arm: {name: [round(each[name]["seconds"], 3) for each in found] for name in NETWORKS}
            for arm, found in samples.items()
        },
    }
    record("fit_calls", result, table)


def table(result: Mapping[str, Any]) -> list[str]:
    """Return the lines for the benchmarks' page."""
    seconds = result["seconds"]
    lines = [f"| | {' | '.join(f'`{name}` | times as long' for name in NETWORKS)} |"]
    lines.append("|---|" + "--:|--:|" * len(NETWORKS))
    for arm, found in seconds.items():
        cells = [
            f"{statistics.median(found[name]):.1f} s | "
            f"{show_ratio(compare(found[name], seconds[BASE][name]))}"
            for name in NETWORKS
        ]
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    slower = " and ".join(
        f"{show_ratio(compare(seconds[USUAL][name], seconds[BASE][name]))} times (`{name}`)"
        for name in NETWORKS
    )
    finding = f"**With the tuner on, one fit of {EPOCHS} epochs takes {slower} as long.**"
    return [finding, "", *lines, "", f"{where(result)}; epochs of {result['images']:,} images."]


if __name__ == "__main__":
    main()
