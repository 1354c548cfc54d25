"""What bfloat16 gains where the CPU has instructions for it, and costs where it has none.

The second is measured on the same CPU, whose bfloat16 instructions oneDNN is told not to use.
`convdepth.numeric_class` tells users these figures. Writes
``benchmarks/results/precision_cost.json``, and the table in ``benchmarks/README.md``.
"""

import argparse
import sys
from typing import Any

from interleaving import Arm, compare, measure
from networks import NORMALIZED, PARAMS, describe_layers
from reporting import describe_machine, write_results, write_section

from convdepth.params import read_params

PRECISIONS = ("float32", "mixed_bfloat16")
CPUS = {"with": {}, "without": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"}}


def main() -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5, help="how often each arm runs")
    parser.add_argument("--images", type=int, default=1920, help="of one unit of work")
    arguments = parser.parse_args()
    arms = [
        Arm(f"{precision}, {name}", _commands(precision, arguments.images), environment=variables)
        for precision in PRECISIONS
        for name, variables in CPUS.items()
    ]
    samples = measure(arms, arguments.rounds)
    seconds = {
        arm: [sum(entry["seconds"] for entry in sample.values()) for sample in each]
        for arm, each in samples.items()
    }
    ratios = {
        name: compare(seconds[f"mixed_bfloat16, {name}"], seconds[f"float32, {name}"])
        for name in CPUS
    }
    result = {"machine": describe_machine(), "seconds": seconds, "ratios": ratios}
    write_results("precision_cost", result)
    write_section("precision_cost", _table(result))


def _commands(precision: str, images: int) -> dict[str, list[Any]]:
    return {
        name: [
            *(sys.executable, "keras_plain.py", "--layers", describe_layers(architecture)),
            *("--normalized", NORMALIZED, "--images", str(images), "--precision", precision),
        ]
        for name, architecture in read_params(PARAMS).architectures.items()
    }


def _table(result: dict[str, Any]) -> list[str]:
    rows = ["| the CPU's instructions for bfloat16 | time, bfloat16 over float32 |", "|---|--:|"]
    for name, ratio in result["ratios"].items():
        rows.append(
            f"| {name} | {ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f}) |"
        )
    machine = result["machine"]
    return [
        *rows,
        "",
        f"{machine['cores']} cores, {machine['cpu']}; four networks, Keras's own `fit`.",
    ]


if __name__ == "__main__":
    main()
