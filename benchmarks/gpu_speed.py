"""How fast the four networks are trained on a GPU, and what each choice costs there.

In each round each arm trains the four networks one after the other; ours also trains all four at
once (``CONVDEPTH_SLOTS_PER_GPU``). The arm with CUDA graphs has not run yet.

Writes ``benchmarks/results/gpu_speed.csv`` and ``.json``, and the table in
``benchmarks/README.md``. It needs a GPU, and the data: run ``make repro`` first.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from environments import python_of
from interleaving import Arm, measure
from networks import NORMALIZED, PARAMS, describe_layers
from reporting import describe_machine, make_parser, record, where, write_rows
from training_speed import (
    BASE,
    MIXED,
    NOTEBOOK,
    OUR_OPTIONS,
    OURS,
    TWIN,
    WHOLE_EPOCH,
    arm_table,
    our_command,
    rows_of,
    summarize,
)

from convdepth.config.params import Params, read_params
from convdepth.workspace.gpu import choose_gpus

CHOICES: Mapping[str, Sequence[str]] = {
    "without XLA": ("--no-xla",),
    "sums in any order": ("--any-order",),
    "50 batches per call": ("--steps", "50"),
}


def main() -> None:
    """Measure, and write the results."""
    parser = make_parser(__doc__, rounds=6)
    parser.add_argument("--images", type=int, default=WHOLE_EPOCH, help="of one unit of work")
    parser.add_argument("--without", action="append", default=[], help="an arm to leave out")
    arguments = parser.parse_args()
    gpus = choose_gpus(require=True).gpus
    every = _arms(read_params(PARAMS), arguments.images)
    arms = [arm for arm in every if arm.name not in arguments.without]
    frame = rows_of(arms, measure(arms, arguments.rounds))
    write_rows("gpu_speed", frame)
    result = {
        "machine": {"gpu": ", ".join(gpu.label for gpu in gpus), **describe_machine()},
        "rounds": arguments.rounds,
        "images": arguments.images,
        **summarize(frame),
    }
    record("gpu_speed", result, table)


def _arms(params: Params, images: int) -> list[Arm]:
    given = ["--normalized", NORMALIZED, "--images", str(images)]
    # The arms share the GPU: none may take all of its memory.
    growth = {"TF_FORCE_GPU_ALLOW_GROWTH": "true"}

    def plain(name: str, *start: Any) -> Arm:
        commands = {
            key: [*start, *given, "--layers", describe_layers(each)]
            for key, each in params.architectures.items()
        }
        return Arm(name, commands, environment=growth)

    def ours(name: str, options: Sequence[str], jobs: int = 1) -> Arm:
        commands = {key: our_command(key, images, *options) for key in params.architectures}
        return Arm(name, commands, jobs, growth)

    torch = (python_of("pytorch"), "pytorch.py", "--device", "cuda", "--fused")
    return [
        plain(NOTEBOOK, sys.executable, "keras_plain.py"),
        plain(BASE, sys.executable, "keras_plain.py", "--no-tuner"),
        *(ours(name, OUR_OPTIONS[name]) for name in (OURS, TWIN, MIXED)),
        *(
            ours(f"{OURS}, {name}", (*OUR_OPTIONS[OURS], *options))
            for name, options in CHOICES.items()
        ),
        plain("PyTorch, float32", *torch),
        plain("PyTorch, float32, CUDA graphs", *torch, "--compile", "reduce-overhead"),
        *(
            ours(f"{name}, all at once", OUR_OPTIONS[name], len(params.architectures))
            for name in (OURS, MIXED)
        ),
    ]


def table(result: Mapping[str, Any]) -> list[str]:
    """Return the lines for the benchmarks' page."""
    place = f"{result['machine']['gpu']}, {where(result)}"
    return [*arm_table(result), "", f"{place} of {result['images']:,} images."]


if __name__ == "__main__":
    main()
