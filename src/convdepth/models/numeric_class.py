"""What the bits of a result depend on beside parameters, data and code.

Equal parameters, data and code give equal bytes within one such class. In another one the last
digits of a sum differ, and training makes more of it.
"""

import hashlib
import os
import platform
import re
from pathlib import Path
from typing import Any

from convdepth.core.files import write_json
from convdepth.models.backend import ONEDNN_VARIABLE, gpus, keras, tf

SUFFIX = ".numeric_class.json"

CPU_INFO = Path("/proc/cpuinfo")
"""Where Linux tells of the CPU."""

# What oneDNN and Eigen choose their kernels by.
_INSTRUCTION_SETS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_tile")


def describe_numeric_class(threads: int, precision: str) -> dict[str, Any]:
    """Describe what the bits of a training in this process depend on.

    Args:
        threads: Those of one operation, see `runtime.configure`.
        precision: ``float32`` or ``mixed_bfloat16``.

    Returns:
        tensorflow and keras (versions), device (the model of the GPU or of the CPU), threads,
        precision, onednn and deterministic (whether they are on, which they are by `runtime`).
    """
    return {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "device": ", ".join(gpus()) or describe_cpu(),
        "threads": threads,
        "precision": precision,
        "onednn": os.environ.get(ONEDNN_VARIABLE) == "1",
        "deterministic": True,  # `configure` asks TensorFlow for it, which has no way to be asked
    }


def write_record(model: Path, numeric_class: dict[str, Any]) -> None:
    """Write beside a model what made it.

    DVC does not see this file (`.dvcignore`): it tells of the machine, and must not make two
    equal results differ.

    Args:
        model: The ``.keras`` file, which exists.
        numeric_class: What `describe_numeric_class` gave.

    Raises:
        MachineError: The file cannot be written.
    """
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    write_json(record_path(model), {"model_sha256": digest, **numeric_class})


def record_path(model: Path) -> Path:
    """Give the path of the record beside a model.

    Args:
        model: The ``.keras`` file.
    """
    return model.with_name(model.stem + SUFFIX)


def describe_cpu() -> str:
    """Name the CPU and its instruction sets; some virtual machines hide the model's name."""
    if not CPU_INFO.exists():
        return platform.processor() or platform.machine()
    fields = dict(re.findall(r"^(\w[\w ]*?)\s*: (.*)$", CPU_INFO.read_text(), re.MULTILINE))
    family = "/".join(fields.get(key, "?") for key in ("cpu family", "model", "stepping"))
    found = fields.get("flags", "").split()
    sets = " ".join(name for name in _INSTRUCTION_SETS if name in found)
    return f"{fields.get('model name', platform.machine())} ({family}; {sets})"
