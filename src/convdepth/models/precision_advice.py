"""Whether this machine would train faster in the other precision."""

from convdepth.models.backend import gpu_details, gpus
from convdepth.models.cpu import instruction_sets

BFLOAT16_COST = 1.82
"""Time of a bfloat16 training over a float32 one on a CPU without bfloat16 instructions."""

BFLOAT16_GAIN = 0.61
"""The same ratio on a CPU with them. `benchmarks/precision_cost.py` measures both."""

_INSTRUCTION_SETS = ("avx512_bf16", "amx_bf16")

_AMPERE = (8, 0)  # compute capability of the first NVIDIA GPUs that compute in bfloat16


def advise_precision(precision: str) -> str | None:
    """Return a sentence if this machine would train faster in the other precision, else None.

    The precision itself stays as in the parameters, so that results do not depend on the machine.
    """
    device = ", ".join(gpus()) or "this CPU"
    if precision == "mixed_bfloat16" and not _has_bfloat16():
        return (
            f"warning: {device} has no instructions for bfloat16 and emulates it: a training took "
            f"{BFLOAT16_COST} times as long as with train.precision: float32"
        )
    if precision == "float32" and _has_bfloat16() and not gpus():
        return (
            f"hint: {device} has instructions for bfloat16: with train.precision: mixed_bfloat16 "
            f"and train.portable: false a training took {BFLOAT16_GAIN:.0%} of the time, and gives "
            f"other bytes"
        )
    return None


def _has_bfloat16() -> bool:
    if details := gpu_details():
        return all(each.get("compute_capability", (0, 0)) >= _AMPERE for each in details)
    return any(name in instruction_sets().split() for name in _INSTRUCTION_SETS)
