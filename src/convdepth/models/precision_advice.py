"""Whether this machine would train faster in the other precision."""

from convdepth.models.backend import gpu_details, gpus
from convdepth.models.numeric_class import describe_cpu

BFLOAT16_COST = 1.82
"""Time of a bfloat16 training over a float32 one on a CPU without bfloat16 instructions."""

BFLOAT16_GAIN = 0.61
"""The same ratio on a CPU with them. `benchmarks/precision_cost.py` measures both."""

_INSTRUCTION_SETS = ("avx512_bf16", "amx_bf16")
"""With one of them a CPU multiplies faster in bfloat16 than in float32."""

_COMPUTE_CAPABILITY = (8, 0)
"""From this one on, called Ampere, an NVIDIA GPU does so."""


def advise_precision(precision: str) -> str | None:
    """Say whether this machine would train faster in the other precision.

    The precision stays what the parameters say, so that results do not depend on the machine.

    Args:
        precision: ``float32`` or ``mixed_bfloat16``.

    Returns:
        A sentence; None if the precision suits the machine.
    """
    device = ", ".join(gpus()) or "this CPU"
    if precision == "mixed_bfloat16" and not has_bfloat16():
        return (
            f"warning: {device} has no instructions for bfloat16 and emulates it: a training took "
            f"{BFLOAT16_COST} times as long as with train.precision: float32"
        )
    if precision == "float32" and has_bfloat16() and not gpus():
        return (
            f"hint: {device} has instructions for bfloat16: with train.precision: mixed_bfloat16 a "
            f"training took {BFLOAT16_GAIN:.0%} of the time; its bytes are others"
        )
    return None


def has_bfloat16() -> bool:
    """Tell whether the device that trains computes faster in bfloat16 than in float32."""
    if details := gpu_details():
        return all(
            detail.get("compute_capability", (0, 0)) >= _COMPUTE_CAPABILITY for detail in details
        )
    return any(name in describe_cpu() for name in _INSTRUCTION_SETS)
