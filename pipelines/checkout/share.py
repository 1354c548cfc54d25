"""Run stages in a clone with the results of other machines, and share the new ones."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from prefect.logging import get_run_logger
from pydantic import Field

from convdepth.core.errors import ConvdepthError, MachineError
from convdepth.workspace.process import run_captured
from pipelines.core.dvc_child import stage_environment
from pipelines.dvc.remote import fetch_results, push_results
from pipelines.dvc.stage import Options
from pipelines.execution.runner import run_graph
from pipelines.reporting.report import Report

Hours = Annotated[float, Field(gt=0)]

STAGE_HOURS = 8.0  # the longest run of one stage, by default
GPU_SECONDS = 300.0  # the longest start of TensorFlow


def run_and_share(
    report: Report, options: Options, require_gpu: bool
) -> tuple[str, ConvdepthError | None]:
    """Fetch the results of other machines, do as `run_graph`, and push the new results.

    The results of stages that did not fail are pushed, whatever has failed. Returns the summary,
    and the error if the push failed, which must not hide what the run has found; the report gets
    the outcomes. With ``require_gpu``, no stage falls back to the CPU.
    """
    log = get_run_logger().info
    if require_gpu:
        log(_require_gpu())
        options = replace(options, variables={"CONVDEPTH_DEVICE": "gpu"})
    pull = fetch_results(options.folder, log)
    results = run_graph(replace(options, pull=pull))
    report.outcomes, report.seconds = results.outcomes, results.seconds
    unshared = None
    try:
        push_results(options.folder, log)
    except ConvdepthError as error:
        unshared = error
    return results.summary(unshared), unshared


def _require_gpu() -> str:
    """Check in a child process that TensorFlow has a GPU; return its description."""
    command = [str(Path(sys.executable).with_name("convdepth")), "device", "--require-gpu"]
    try:
        ended = run_captured(command, variables=stage_environment(), seconds=GPU_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise MachineError(
            f"TensorFlow did not find a GPU within {GPU_SECONDS:.0f} s. `nvidia-smi` shows the "
            "state of the driver."
        ) from error
    if ended.returncode:
        words = ended.stderr.strip().removeprefix("error: ")
        raise MachineError(
            f"{words} This run has require_gpu set; `require_gpu: false` in "
            "pipelines/deploy/prefect.yaml, then `make deploy`, lets a schedule use the CPU."
        )
    return ended.stdout.strip()
