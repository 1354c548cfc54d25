"""What bfloat16 gains on a CPU with instructions for it, and costs on one without.

For the second, oneDNN is told not to use them on the same CPU. `convdepth.models.precision_advice`
tells users these figures. Writes ``benchmarks/results/precision_cost.json``, and the table in
``benchmarks/README.md``.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from interleaving import compare, measure
from networks import PARAMS
from reporting import make_parser, record, where
from training_speed import notebook_arm

from convdepth.config.params import read_params

NETWORKS = ("cnn1", "cnn5")
IMAGES = 1920
PRECISIONS = ("float32", "mixed_bfloat16")
CPUS = {"with": {}, "without": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"}}


def main() -> None:
    """Measure, and write the results."""
    rounds = make_parser(__doc__, rounds=5).parse_args().rounds
    params = read_params(PARAMS)
    arms = [
        replace(
            notebook_arm(params, NETWORKS, "--no-tuner", "--precision", precision, images=IMAGES),
            name=f"{precision}, {name}",
            environment=variables,
        )
        for precision in PRECISIONS
        for name, variables in CPUS.items()
    ]
    samples = measure(arms, rounds)
    seconds = {
        arm: [sum(entry["seconds"] for entry in sample.values()) for sample in each]
        for arm, each in samples.items()
    }
    ratios = {
        name: compare(seconds[f"mixed_bfloat16, {name}"], seconds[f"float32, {name}"])
        for name in CPUS
    }
    result = {"rounds": rounds, "seconds": seconds, "ratios": ratios}
    record("precision_cost", result, table)


def table(result: Mapping[str, Any]) -> list[str]:
    """Return the lines for the benchmarks' page."""
    rows = ["| the CPU's instructions for bfloat16 | time, bfloat16 over float32 |", "|---|--:|"]
    for name, ratio in result["ratios"].items():
        interval = f"{ratio['low']:.2f} to {ratio['high']:.2f}"
        rows.append(f"| {name} | {ratio['median']:.2f} ({interval}) |")
    networks = " and ".join(f"`{name}`" for name in NETWORKS)
    return [*rows, "", f"{where(result)} of {networks}."]


if __name__ == "__main__":
    main()
