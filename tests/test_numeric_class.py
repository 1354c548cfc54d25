"""What bits depend on, and whether the machine suits the precision."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import PROJECT
from convdepth import numeric_class
from convdepth.numeric_class import advise_precision, describe_numeric_class, write_record

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = "vendor_id : A\ncpu family : 6\nmodel : 1\nmodel name : Some CPU\nstepping : 2\nflags : {}\n"

Machine = Callable[..., None]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Gives a function that pretends a CPU with some instruction sets, and GPUs."""

    def pretend(flags: str, *gpus: tuple[int, int]) -> None:
        info = tmp_path / "cpuinfo"
        info.write_text(CPU.format(flags))
        monkeypatch.setattr(numeric_class, "CPU_INFO", info)
        details = [{"device_name": "A GPU", "compute_capability": gpu} for gpu in gpus]
        monkeypatch.setattr(numeric_class, "gpu_details", lambda: details)
        monkeypatch.setattr(
            numeric_class, "gpus", lambda: [each["device_name"] for each in details]
        )

    return pretend


@pytest.mark.parametrize("flags", ["avx2 avx512_bf16", "avx2 avx512f amx_bf16 amx_tile"])
def test_a_cpu_with_bfloat16_gets_a_hint_in_float32(machine: Machine, flags: str) -> None:
    machine(flags)
    hint = advise_precision("float32")
    assert hint is not None
    assert hint.startswith("hint: this CPU has instructions for bfloat16: with train.precision: ")
    assert advise_precision("mixed_bfloat16") is None


def test_a_cpu_without_bfloat16_gets_a_warning_with_its_cost(machine: Machine) -> None:
    machine("avx2 avx512f avx512_vnni")
    warning = advise_precision("mixed_bfloat16")
    assert warning is not None
    assert warning.startswith("warning: this CPU has no instructions for bfloat16")
    assert f"took {numeric_class.BFLOAT16_COST} times as long" in warning
    assert advise_precision("float32") is None


def test_the_figures_are_those_that_were_measured() -> None:
    results = PROJECT / "benchmarks" / "results" / "precision_cost.json"
    ratios = json.loads(results.read_text())["ratios"]
    assert round(ratios["with"]["median"], 2) == numeric_class.BFLOAT16_GAIN
    assert round(ratios["without"]["median"], 2) == numeric_class.BFLOAT16_COST


def test_of_gpus_all_must_have_bfloat16(machine: Machine) -> None:
    machine("avx512_bf16", (9, 0), (7, 5))
    assert "warning: A GPU, A GPU has no instr" in (advise_precision("mixed_bfloat16") or "")
    machine("avx2", (8, 0))
    assert advise_precision("mixed_bfloat16") is None
    assert advise_precision("float32") is None  # how much it would gain there was not measured


def test_the_cpu_is_told_by_its_family_and_instructions(machine: Machine) -> None:
    machine("fpu avx2 sse avx512_bf16")
    found: dict[str, Any] = describe_numeric_class(1, "float32")
    assert found["device"] == "Some CPU (6/1/2; avx2 avx512_bf16)"
    assert (found["threads"], found["precision"], found["onednn"]) == (1, "float32", True)


def test_the_record_names_the_model(tmp_path: Path) -> None:
    model = tmp_path / "a.keras"
    model.write_bytes(b"weights")
    write_record(model, {"device": "Some CPU"})
    assert json.loads((tmp_path / "a.numeric_class.json").read_text()) == {
        "device": "Some CPU",
        "model_sha256": "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c",
    }
