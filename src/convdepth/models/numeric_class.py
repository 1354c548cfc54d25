"""The numeric class: all that the bits of a result depend on beside parameters, data and code.

Within one class equal inputs give equal bytes. In another class the last digits of a sum differ,
and training amplifies the difference. Portable trainings have one class on all CPUs with AVX2.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from convdepth.config.recipe import Train
from convdepth.core.files import write_json
from convdepth.models.backend import gpus, keras, tf
from convdepth.models.cpu import PORTABLE_INSTRUCTIONS, describe_cpu, instruction_sets

SUFFIX = ".numeric_class.json"


def describe_numeric_class(recipe: Train) -> dict[str, Any]:
    """Return the numeric class of a training in this process.

    The device is "CPU" or the model of the GPU; a CPU's instructions are those that may be used.
    """
    portable = " ".join(PORTABLE_INSTRUCTIONS)
    used = portable if recipe.portable else instruction_sets()
    return {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "device": ", ".join(gpus()) or "CPU",
        "instructions": "" if gpus() else used,
        "threads": recipe.threads,
        "precision": recipe.precision,
        "onednn": True,  # `backend` turns both on
        "deterministic": True,
    }


def write_record(model: Path, numeric_class: dict[str, Any]) -> None:
    """Write the numeric class of a model, and the CPU as information, into a file beside it.

    DVC ignores the file (`.dvcignore`): it names the machine, and equal results must not differ.
    """
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    record = {"model_sha256": digest, **numeric_class, "cpu": describe_cpu()}
    write_json(model.with_suffix(SUFFIX), record)
