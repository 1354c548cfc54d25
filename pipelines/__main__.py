"""The command line of the flows: `python -m pipelines`."""

import os
import signal
import sys
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer

from convdepth.workspace.process import run_app

app = typer.Typer(
    name="python -m pipelines",
    help="Run DVC's stages by Prefect: in parallel, on a schedule, on several machines.",
    epilog="A flow is seen on the server that PREFECT_API_URL names, or on that of `ui`; else it "
    "starts one for itself. `dvc repro` gives the same results without Prefect.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

HERE = "Flows in this folder"
ELSEWHERE = "Flows in clones of their own"
SERVER = "Server, schedule and workers"

Force = Annotated[bool, typer.Option("--force", help="Run the stages even if nothing has changed.")]
Jobs = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="How many at once, never more. Default: as many as fill the cores."
    ),
]
RequireGpu = Annotated[
    bool, typer.Option("--require-gpu", help="Stop at once where there is no GPU to train on.")
]
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="An entry of `architectures` in params.yaml.")
]


@app.command(rich_help_panel=HERE)
def pipeline(
    jobs: Jobs = None,
    force: Force = False,
    preset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="First put these `presets` into `train` in params.yaml."),
    ] = None,
) -> None:
    """Run the whole graph: what has changed, and what depends on it."""
    if preset is not None:
        _apply_preset(preset)
    _run("local", "pipeline", jobs=jobs, force=force)
    _print_metrics()


@app.command(rich_help_panel=HERE)
def prepare_data(force: Force = False) -> None:
    """Check code and parameters, then get MNIST, normalize it, and validate it."""
    _run("local", "prepare_data", force=force)


@app.command(rich_help_panel=HERE)
def train_architecture(name: Name, force: Force = False) -> None:
    """Train and evaluate one network; the data must have been prepared."""
    _run("local", "train_architecture", name=name, force=force)
    _print_metrics()


@app.command(rich_help_panel=HERE)
def plot_results(force: Force = False) -> None:
    """Draw all figures; all networks must have been trained and evaluated."""
    _run("local", "plot_results", force=force)


@app.command(rich_help_panel=HERE)
def studies(jobs: Jobs = None, force: Force = False) -> None:
    """Run the studies of studies/dvc.yaml: hours of training, with several seeds of each network.

    Stages of the pipeline that they need and that have changed run first. An interrupted training
    goes on where it was. A missing model alone is not trained again: git keeps its answers.
    """
    _run("local", "studies", jobs=jobs, force=force)


@app.command(rich_help_panel=HERE)
def tune(
    names: Annotated[
        list[str] | None,
        typer.Option("--architecture", metavar="NAME", help="Only this network; may be repeated."),
    ] = None,
    jobs: Jobs = None,
) -> None:
    """Search for better settings of each network, for hours, each with the same budget.

    What may be varied is in `tuning` in studies/params.yaml. Held-out training images alone
    decide. A search that is interrupted goes on after its last whole trial.
    """
    _run("tune", "tune", names=names, jobs=jobs)


@app.command(rich_help_panel=ELSEWHERE)
def nightly(
    force: Force = False,
    publish: Annotated[
        bool, typer.Option("--publish", help="Push changed results as a branch results/DATE.")
    ] = False,
    require_gpu: RequireGpu = False,
    jobs: Jobs = None,
) -> None:
    """Run the newest commit as the schedule does, and fail if a metric became worse.

    How much worse it may be is in `tolerances` in params.yaml.
    """
    _run("nightly", "nightly", force=force, publish=publish, require_gpu=require_gpu, jobs=jobs)


@app.command(rich_help_panel=ELSEWHERE)
def spread(require_gpu: RequireGpu = False) -> None:
    """Train each network on whatever worker is free, and collect the results here.

    Needs a git remote and a DVC remote that the workers share, and a server with the deployments.
    """
    _prepare()
    from pipelines.deploy.server import require_staying_server

    require_staying_server()
    _run("fan_out", "spread", require_gpu=require_gpu)
    _print_metrics()


@app.command(rich_help_panel=ELSEWHERE)
def sweep(
    settings: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="KEY=VALUE[,VALUE...]",
            help="A key of params.yaml and what to try for it; once for each key.",
        ),
    ],
    architectures: Annotated[
        list[str] | None,
        typer.Option("--architecture", metavar="NAME", help="Only this network; may be repeated."),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Draw N of all combinations. Default: all of them."),
    ] = None,
    sample_seed: Annotated[
        int, typer.Option(metavar="SEED", help="Determines the draw of --sample.")
    ] = 0,
    jobs: Jobs = None,
) -> None:
    """Run experiments that differ in their parameters, and compare them on held-out images.

    Each is a DVC experiment on top of the last commit. Those that were run before are not run
    again. The test set is not looked at, so `train.validation_images` must be given.
    """
    from pipelines.experiments.grid import parse_settings, plan

    changes = parse_settings(settings)
    plan(changes, sample, sample_seed, architectures)  # a mistake is told before Prefect starts
    _run(
        "sweep",
        "sweep",
        changes=changes,
        architectures=architectures,
        sample=sample,
        sample_seed=sample_seed,
        jobs=jobs,
    )


@app.command(rich_help_panel=SERVER)
def ui() -> None:
    """Start a server that stays, with its web page, and say where to look."""
    _prepare()
    from pipelines.deploy.server import start_ui

    start_ui()


@app.command(rich_help_panel=SERVER)
def deploy() -> None:
    """Put the work pool, the schedule and the deployments on the server; again without harm.

    With a web address in CONVDEPTH_WEBHOOK, the server sends it alerts about runs that end badly.
    """
    _prepare()
    from pipelines.deploy.deployments import deploy as put_on_server

    put_on_server()


@app.command(rich_help_panel=SERVER)
def worker(
    pool: Annotated[str, typer.Option(metavar="POOL", help="The work pool to serve.")] = "gpu",
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The worker's name. Default: machine and folder."),
    ] = None,
) -> None:
    """Run in this clone what the server has for a pool, one run at a time, until stopped."""
    _prepare()
    from pipelines.deploy.deployments import work

    work(pool, name)


def _prepare() -> None:
    # Prefect reads this variable when it is imported, which is slow.
    os.environ.setdefault("DO_NOT_TRACK", "1")


def _run(module: str, flow: str, **parameters: Any) -> None:
    _prepare()
    from pipelines.deploy.server import require_server
    from pipelines.reporting.console import show_stage_lines

    require_server()
    function = getattr(import_module(f"pipelines.flows.{module}"), flow)
    show_stage_lines()
    try:
        state = function(**parameters, return_state=True)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    state.result()


def _apply_preset(name: str) -> None:
    from pipelines.experiments.presets import apply_preset

    changes = apply_preset(name)
    for key, (former, new) in changes.items():
        print(f"params.yaml: {key}: {former} -> {new}")
    if changes:
        print("`git restore params.yaml` brings the former recipe back, and its results with it.")


def _print_metrics() -> None:
    from pipelines.reporting.artifacts import read_metrics
    from pipelines.reporting.console import print_metrics

    print_metrics(read_metrics())


def run() -> NoReturn:
    """Run the command line; an expected error becomes one message and its exit code."""
    run_app(app)


if __name__ == "__main__":
    run()
