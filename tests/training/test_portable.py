"""`train.portable`: this CPU and emulated ones give equal bytes; `make portable-proof`.

QEMU translates each instruction, and reports the instruction sets and caches of the CPU that it
emulates. What runs are the stages `train` and `evaluate`.
"""

import os
import shutil
import site
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from conftest import PROJECT
from convdepth.data import arrays as images
from convdepth.data.arrays import read_split

EMULATOR = "qemu-x86_64"
CPUS = ("Haswell", "Skylake-Client", "EPYC-Rome")
BATCH_SIZE = 4
"""Emulation is 300 times as slow; batches of 128 were compared between CPUs, see LOG.md."""

NETWORKS = ("cnn1", "cnn3", "cnn5", "cnn7")
EVERYTHING = "everything"
"""What the notebook lacks and `studies` use: `cnn3` with all of it."""

SHORT = "short"
"""The same with one block."""

BOTH_STAGES = """
import sys
from pathlib import Path
from convdepth.evaluation import evaluate
from convdepth.training import train

name, outputs, project = sys.argv[1], *map(Path, sys.argv[2:])
common = dict(name=name, normalized=Path("normalized"), params=Path("params.yaml"))
common |= dict(model=outputs / "m.keras", history=outputs / "h.csv")
train.main(**common, checkpoints=Path("checkpoints"), code="")
files = dict(metrics="e.json", scores="s.json", predictions="e.csv")
files = {key: outputs / file for key, file in files.items()}
evaluate.main(**common, **files, notebook=project / "data" / "notebook.json")
"""
"""In one process: under emulation, the import of TensorFlow takes 40 s."""

nightly = pytest.mark.nightly

pytestmark = [pytest.mark.portable, pytest.mark.timeout(3600)]


def write_inputs(folder: Path, name: str, steps: int, normalized: Path) -> None:
    """Write the parameters of two epochs of ``steps`` batches each, and their images."""
    for split, count in (("train", steps * BATCH_SIZE), ("test", 8 if name == SHORT else 40)):
        pixels, labels = read_split(normalized, split)
        images.write_split(folder / "normalized", split, pixels[:count], labels[:count])
    entries = YAML(typ="safe").load(PROJECT / "params.yaml")
    entries["train"] |= {"epochs": 2, "batch_size": BATCH_SIZE, "portable": True}
    if name in (EVERYTHING, SHORT):
        entries["train"] |= {
            **{"label_smoothing": 0.1, "weight_decay": 0.01, "schedule": "one_cycle"},
            "augmentation": {"shift": 0.1, "rotation": 0.05, "zoom": 0.1},
        }
        network = entries["architectures"]["cnn3"]
        for block in ("block1", "block2", "block3"):
            network[block]["batch_normalization"] = True
        entries["architectures"] |= {
            EVERYTHING: network,
            SHORT: {key: network[key] for key in ("block1", "head")},
        }
    YAML(typ="safe").dump(entries, folder / "params.yaml")


def run_stages(inputs: Path, name: str, cpu: str | None) -> dict[str, bytes]:
    """Train and evaluate a network, natively or on an emulated CPU; return its outputs."""
    outputs = inputs / (cpu or "native")
    # An emulated process starts no emulated children, so it must be the interpreter itself.
    python = Path(sys.executable).resolve()
    program = [EMULATOR, "-cpu", cpu, str(python)] if cpu else [str(python)]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([*site.getsitepackages(), str(PROJECT / "src")])
    }
    command = [*program, "-c", BOTH_STAGES, name, str(outputs), str(PROJECT)]
    subprocess.run(command, check=True, cwd=inputs, env=environment)
    return {
        path.name: path.read_bytes()
        for path in sorted(outputs.iterdir())
        if not path.name.endswith(".numeric_class.json")
    }


@cache
def find_emulator() -> str | None:
    return shutil.which(EMULATOR)


@pytest.mark.parametrize(
    ("name", "cpu", "steps"),
    [
        (SHORT, "Haswell", 2),
        *(
            pytest.param(name, cpu, 16, marks=nightly)
            for name in (*NETWORKS, EVERYTHING)
            for cpu in CPUS
        ),
    ],
)
def test_emulated_cpus_give_equal_bytes(
    tmp_path: Path, normalized: Path, name: str, cpu: str, steps: int
) -> None:
    assert find_emulator(), f"install {EMULATOR} (on Debian: apt-get install qemu-user)"
    write_inputs(tmp_path, name, steps, normalized)
    expected = run_stages(tmp_path, name, None)
    assert len(expected) == 5
    np.testing.assert_equal(run_stages(tmp_path, name, cpu), expected)
