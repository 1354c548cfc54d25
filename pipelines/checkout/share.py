"""Run stages in a clone with the results of other machines, and share the new ones."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from prefect.logging import get_run_logger
from pydantic import Field

from convdepth.core.errors import MachineError
from pipelines.core.process_tree import stage_environment
from pipelines.dvc.remote import fetch_results, push_results
from pipelines.dvc.stage import Options
from pipelines.execution.runner import Results
from pipelines.reporting.report import Report

Hours = Annotated[float, Field(gt=0)]

STAGE_HOURS = 8.0
"""The longest run of one stage, by default."""

GPU_SECONDS = 300.0
"""The longest start of TensorFlow."""


def run_and_share(
    report: Report,
    work: Callable[[Options], Results],
    *,
    force: bool,
    require_gpu: bool,
    stage_hours: float,
) -> str:
    """Fetch the results of other machines, run stages, and push the new results.

    The results of stages that did not fail are pushed, whatever has failed.

    Args:
        report: Names the folder; gets what became of the stages.
        work: Runs stages with the given options.
        force: Run the stages even if nothing has changed.
        require_gpu: Let no stage fall back to the CPU; without a GPU, nothing runs.
        stage_hours: The longest run of one stage.

    Returns:
        How many stages ran, were restored, or were unchanged.
    """
    log, folder = get_run_logger().info, report.folder
    if require_gpu:
        log(_require_gpu())
    variables = {"CONVDEPTH_DEVICE": "gpu"} if require_gpu else {}
    pull = fetch_results(folder, log)
    results = work(Options(force, pull, folder, variables, stage_hours * 3600))
    report.outcomes, report.seconds = results.outcomes, results.seconds
    push_results(folder, log)
    return results.summary()


def _require_gpu() -> str:
    """Check in a child process that TensorFlow has a GPU; return its description."""
    command = [str(Path(sys.executable).with_name("convdepth")), "device", "--require-gpu"]
    try:
        ended = subprocess.run(
            command,
            env=stage_environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=GPU_SECONDS,
        )
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
