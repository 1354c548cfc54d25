"""What bits depend on, and whether the machine suits the precision."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import PROJECT
from convdepth.config.params import read_params
from convdepth.core.errors import MachineError
from convdepth.models import backend, cpu, numeric_class, precision_advice
from convdepth.models.backend import configure
from convdepth.models.numeric_class import describe_numeric_class, write_record
from convdepth.models.precision_advice import BFLOAT16_COST, BFLOAT16_GAIN, advise_precision

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = "vendor_id : A\ncpu family : 6\nmodel : 1\nmodel name : Some CPU\nstepping : 2\nflags : {}\n"

Machine = Callable[..., None]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Gives a function that pretends a CPU with some instruction sets, and GPUs."""

    def pretend(flags: str, *gpus: tuple[int, int]) -> None:
        info = tmp_path / "cpuinfo"
        info.write_text(CPU.format(flags))
        monkeypatch.setattr(cpu, "INFO", info)
        details = [{"device_name": "A GPU", "compute_capability": gpu} for gpu in gpus]
        monkeypatch.setattr(precision_advice, "gpu_details", lambda: details)
        for module in (backend, numeric_class, precision_advice):
            monkeypatch.setattr(module, "gpus", lambda: [each["device_name"] for each in details])

    return pretend


@pytest.mark.parametrize(
    ("flags", "gpus", "precision", "kind"),
    [
        ("avx2 avx512_bf16", [], "float32", "hint"),
        ("avx2 avx512_bf16", [], "mixed_bfloat16", None),
        ("avx2 avx512f amx_bf16 amx_tile", [], "float32", "hint"),
        ("avx2 avx512f avx512_vnni", [], "float32", None),
        ("avx2 avx512f avx512_vnni", [], "mixed_bfloat16", "warning"),
        ("avx512_bf16", [(9, 0), (7, 5)], "mixed_bfloat16", "warning"),  # one of two GPUs
        ("avx2", [(8, 0)], "mixed_bfloat16", None),
        ("avx2", [(8, 0)], "float32", None),  # the gain on a GPU was not measured
    ],
)
def test_the_advice_depends_on_instructions_for_bfloat16(
    machine: Machine, flags: str, gpus: list[tuple[int, int]], precision: str, kind: str | None
) -> None:
    machine(flags, *gpus)
    advice = advise_precision(precision)
    assert (advice.partition(":")[0] if advice else None) == kind


def test_the_factors_are_the_measured_ones() -> None:
    results = PROJECT / "benchmarks" / "results" / "precision_cost.json"
    ratios = json.loads(results.read_text())["ratios"]
    assert round(ratios["with"]["median"], 2) == BFLOAT16_GAIN
    assert round(ratios["without"]["median"], 2) == BFLOAT16_COST


RECIPE = read_params(PROJECT / "params.yaml").train


def test_the_record_names_the_model_its_class_and_the_machine(
    machine: Machine, tmp_path: Path
) -> None:
    machine("fpu avx2 sse avx512_bf16")
    model = tmp_path / "a.keras"
    model.write_bytes(b"weights")
    write_record(model, describe_numeric_class(RECIPE))
    record = json.loads((tmp_path / "a.numeric_class.json").read_text())
    assert record["model_sha256"] == hashlib.sha256(b"weights").hexdigest()
    assert record["cpu"] == "Some CPU (6/1/2; avx2 avx512_bf16)"
    assert [record["threads"], record["precision"], record["onednn"]] == [1, "float32", True]
    assert {"tensorflow", "keras", "numpy", "deterministic"} <= record.keys()


@pytest.mark.parametrize(
    ("portable", "gpus", "differ"), [(True, [], False), (False, [], True), (True, [(8, 0)], False)]
)
def test_only_native_classes_depend_on_the_cpu(
    machine: Machine, portable: bool, gpus: list[tuple[int, int]], differ: bool
) -> None:
    classes = []
    for flags in ("avx2 fma", "avx2 fma avx512f"):
        machine(flags, *gpus)
        classes.append(describe_numeric_class(RECIPE.model_copy(update={"portable": portable})))
    assert (classes[0] != classes[1]) == differ


def test_a_cpu_without_avx2_is_refused_by_name(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(backend.ISA_VARIABLE, raising=False)
    machine("avx fma")
    with pytest.raises(MachineError, match=r"^train\.portable: .*avx2"):
        configure(threads=1, portable=True)
    configure(threads=1, portable=False)
    machine("avx", (8, 0))  # a GPU computes
    configure(threads=1, portable=True)
    assert backend.ISA_VARIABLE not in os.environ
