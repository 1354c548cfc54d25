"""The command line of the flows: `python -m pipelines`."""

import os
import signal
import sys
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

from convdepth.errors import ConvdepthError

app = typer.Typer(
    name="python -m pipelines",
    help="Run DVC's stages by Prefect: in parallel, with retries, and seen in its web page.",
    epilog="With PREFECT_API_URL set, the flow is seen on that server; else it starts one for "
    "itself. `dvc repro` gives the same results without Prefect.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

Force = Annotated[bool, typer.Option("--force", help="Run the stages even if nothing has changed.")]


@app.command()
def pipeline(
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Stages at once. Default: the cores over `train.threads`."
        ),
    ] = None,
    force: Force = False,
) -> None:
    """Run the whole graph: what has changed, and what depends on it."""
    _run("pipeline", jobs=jobs, force=force)


@app.command()
def prepare_data(force: Force = False) -> None:
    """Get MNIST, normalize it, and check it by rules."""
    _run("prepare_data", force=force)


@app.command()
def train_architecture(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="An entry of `architectures` in params.yaml.")
    ],
    force: Force = False,
) -> None:
    """Train and evaluate one network; the data must have been prepared."""
    _run("train_architecture", name=name, force=force)


@app.command()
def plot_results(force: Force = False) -> None:
    """Draw all figures; all networks must have been trained and evaluated."""
    _run("plot_results", force=force)


def _run(flow: str, **parameters: Any) -> None:
    # Prefect is slow to import, and reads this variable when it is.
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from pipelines import flows
    from pipelines.artifacts import read_metrics
    from pipelines.console import print_metrics, show_stage_lines
    from pipelines.server import require_server

    require_server()
    show_stage_lines()
    try:
        state = getattr(flows, flow)(**parameters, return_state=True)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    state.result()
    print_metrics(read_metrics())


def run() -> NoReturn:
    """Run the command line; an expected error becomes one message and its exit code."""
    # Prefect ends by the handler that was there before. The default one would leave its server.
    signal.signal(signal.SIGTERM, _stop)
    try:
        app()
    except ConvdepthError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    sys.exit(0)


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    run()
