"""The name of the CPU and its instruction sets."""

import platform
import re
from pathlib import Path

INFO = Path("/proc/cpuinfo")

PORTABLE_INSTRUCTIONS = ("avx2", "fma")
"""What ``train.portable`` needs. Intel's CPUs have them since 2013, AMD's since 2015."""

# oneDNN chooses its kernels by them.
_INSTRUCTION_SETS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_tile")


def instruction_sets() -> str:
    """Name the CPU's instruction sets on which bits depend."""
    flags = cpu_flags()
    return " ".join(name for name in _INSTRUCTION_SETS if name in flags)


def cpu_flags() -> list[str]:
    """Return the CPU's flags as Linux names them; none on other systems."""
    return _fields().get("flags", "").split()


def describe_cpu() -> str:
    """Name the CPU, its family and its instruction sets; some virtual machines hide the model."""
    if not (fields := _fields()):
        return platform.processor() or platform.machine()
    family = "/".join(fields.get(key, "?") for key in ("cpu family", "model", "stepping"))
    return f"{fields.get('model name', platform.machine())} ({family}; {instruction_sets()})"


def _fields() -> dict[str, str]:
    text = INFO.read_text() if INFO.exists() else ""
    return dict(re.findall(r"^(\w[\w ]*?)\s*: (.*)$", text, re.MULTILINE))
