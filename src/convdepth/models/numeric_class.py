"""The numeric class: all that the bits of a result depend on beside parameters, data and code.

Within one class equal inputs give equal bytes. In another class the last digits of a sum differ,
and training amplifies the difference.
"""

import hashlib
import platform
import re
from pathlib import Path
from typing import Any

from convdepth.core.files import write_json
from convdepth.models.backend import gpus, keras, tf

SUFFIX = ".numeric_class.json"

CPU_INFO = Path("/proc/cpuinfo")

# oneDNN and Eigen choose their kernels by them.
_INSTRUCTION_SETS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_tile")


def describe_numeric_class(threads: int, precision: str) -> dict[str, Any]:
    """Return the numeric class of this process, whose device is the model of the GPU or CPU."""
    return {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "device": ", ".join(gpus()) or describe_cpu(),
        "threads": threads,
        "precision": precision,
        "onednn": True,  # `backend` turns both on
        "deterministic": True,
    }


def write_record(model: Path, numeric_class: dict[str, Any]) -> None:
    """Write the numeric class of a model into a file beside it.

    DVC ignores the file (`.dvcignore`): it names the machine, and equal results must not differ.
    """
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    write_json(model.with_suffix(SUFFIX), {"model_sha256": digest, **numeric_class})


def describe_cpu() -> str:
    """Name the CPU, its family and its instruction sets; some virtual machines hide the model."""
    if not CPU_INFO.exists():
        return platform.processor() or platform.machine()
    fields = dict(re.findall(r"^(\w[\w ]*?)\s*: (.*)$", CPU_INFO.read_text(), re.MULTILINE))
    family = "/".join(fields.get(key, "?") for key in ("cpu family", "model", "stepping"))
    found = fields.get("flags", "").split()
    sets = " ".join(name for name in _INSTRUCTION_SETS if name in found)
    return f"{fields.get('model name', platform.machine())} ({family}; {sets})"
