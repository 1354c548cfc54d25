"""The command line of the flows: `python -m pipelines`."""

import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from ruamel.yaml import YAML

from convdepth.commands.command_line import make_app
from convdepth.config.parameter_file import require_text
from convdepth.config.params import find_architecture, read_params
from convdepth.core.errors import ParameterError
from convdepth.workspace import servers
from convdepth.workspace.dvc import GRAPH, STUDIES
from convdepth.workspace.process import run_app
from convdepth.workspace.terminal import guard_terminal

app, _command = make_app(
    Path(__file__).with_name("commands.toml"),
    name="python -m pipelines",
    help="Run DVC's stages by Prefect: in parallel, on a schedule, on several machines.",
    epilog="A flow reports to the server at PREFECT_API_URL or to the server of `ui`. Without "
    "either, it starts its own. `dvc repro` gives the same results without Prefect.",
)


@_command
def pipeline(jobs: int | None = None, force: bool = False, preset: str | None = None) -> None:
    """Run the whole graph: what has changed, and what depends on it."""
    _require()
    if preset is not None:
        _late("experiments.presets.apply_preset", preset)
    if force or _must_run(GRAPH):
        _run("local", "pipeline", jobs=jobs, force=force)
    _late("reporting.regressions.print_metrics")


@_command
def prepare_data(force: bool = False) -> None:
    """Check code and parameters, then get MNIST, normalize it, and validate it."""
    _require()
    if force or _must_run(GRAPH):
        _run("local", "prepare_data", force=force)


@_command
def train_architecture(name: str, force: bool = False) -> None:
    """Train and evaluate one network; the data must have been prepared."""
    _require(name)
    _late("dvc.inputs.require_inputs", f"train@{name}", "python -m pipelines prepare-data")
    if force or _must_run(GRAPH):
        _run("local", "train_architecture", name=name, force=force)
    _late("reporting.regressions.print_metrics")


@_command
def plot_results(force: bool = False) -> None:
    """Draw all figures; all networks must have been trained and evaluated."""
    _require()
    _late("dvc.inputs.require_inputs", "plot", "python -m pipelines pipeline")
    if force or _must_run(GRAPH):
        _run("local", "plot_results", force=force)


@_command
def studies(jobs: int | None = None, force: bool = False) -> None:
    """Run the studies, which train several seeds of each network."""
    _require()
    if force or _must_run(STUDIES):
        _run("local", "studies", jobs=jobs, force=force)


@_command
def tune(names: list[str] | None = None, jobs: int | None = None) -> None:
    """Search for better settings of each network, for hours, each with the same budget."""
    _require(*names or ())
    _run("tune", "tune", names=names, jobs=jobs)


@_command
def nightly(
    force: bool = False, publish: bool = False, require_gpu: bool = False, jobs: int | None = None
) -> None:
    """Run the newest commit as the schedule does, and fail if a metric became worse."""
    from pipelines.checkout.enter import CLONE, enter_commit

    if CLONE not in os.environ:
        enter_commit([sys.executable, *sys.orig_argv[1:]])
    _run("nightly", "nightly", force=force, publish=publish, require_gpu=require_gpu, jobs=jobs)


@_command
def spread(require_gpu: bool = False, job_variable: list[str] | None = None) -> None:
    """Train each network on any free worker, and collect the results here."""
    variables = dict(map(_parse_variable, job_variable or ()))
    _require()
    _late("dvc.inputs.require_pushed")
    given = {"require_gpu": require_gpu, "job_variables": variables}
    _run("fan_out", "spread", staying=True, **given)
    _late("reporting.regressions.print_metrics")


@_command
def sweep(
    settings: list[str],
    architectures: list[str] | None = None,
    sample: int | None = None,
    sample_seed: int = 0,
    jobs: int | None = None,
) -> None:
    """Run experiments that differ in their parameters, and compare them on held-out images."""
    from pipelines.experiments.grid import parse_settings, plan

    _require(*architectures or ())
    grid: dict[str, Any] = {"sample": sample, "sample_seed": sample_seed}
    grid |= {"changes": parse_settings(settings), "architectures": architectures}
    plan(**grid)  # a mistake is told before Prefect starts
    _run("sweep", "sweep", jobs=jobs, **grid)


@_command
def ui() -> None:
    """Start a server that stays, with its web page, and say where to look."""
    _say_start("a Prefect server")
    _call("server", "start_ui")


@_command
def deploy(pool_type: str = "process") -> None:
    """Put the work pool, the schedule and the deployments on the server; again without harm."""
    _call("deployments", "deploy", pool_type=pool_type)


@_command
def worker(pool: str = "convdepth", name: str | None = None) -> None:
    """Run in this clone what the server has for a pool, one run at a time, until stopped."""
    _call("deployments", "work", pool=pool, name=name)


def _require(*names: str) -> None:
    """Check all parameters, and names of networks, in a tenth of the time that Prefect takes."""
    path = Path("params.yaml")
    params = read_params(require_text(path))
    for name in names:
        find_architecture(name, params, path)


def _parse_variable(text: str) -> tuple[str, Any]:
    """Read a variable such as ``gpus=2``; the value is YAML."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ParameterError(f"--job-variable: expected NAME=VALUE, got {text!r}.")
    return name, YAML(typ="safe").load(value)


def _late(function: str, *arguments: Any) -> Any:
    """Call a function of a module that is slow to import."""
    module, _, name = function.rpartition(".")
    return getattr(import_module(f"pipelines.{module}"), name)(*arguments)


def _call(module: str, function: str, **arguments: Any) -> None:
    os.environ.setdefault("DO_NOT_TRACK", "1")  # Prefect reads it at its import
    servers.bypass_proxies()
    with servers.explained_settings():
        loaded = import_module(f"pipelines.deploy.{module}")
    getattr(loaded, function)(**arguments)


def _say_start(what: str) -> None:
    """Say at once what takes up to half a minute, unless a server is known."""
    if not servers.running_server(servers.prefect_home() / "server.pid"):
        print(f"starting {what}", flush=True)


def _must_run(graph: Path) -> bool:
    """Ask DVC whether a stage must run, in a fifth of the time that Prefect takes to start."""
    _late("dvc.lockfile.mend_locks")
    if not _late("dvc.graph.is_up_to_date", graph):
        return True
    print("nothing to do: no stage has changed")
    return False


def _run(module: str, flow: str, *, staying: bool = False, **parameters: Any) -> None:
    if not staying and "PREFECT_API_URL" not in os.environ:
        _say_start("Prefect, and a server for this flow alone")
    _call("server", "require_server", staying=staying)
    from pipelines.dvc.stage import show_stage_lines

    function = getattr(import_module(f"pipelines.flows.{module}"), flow)
    show_stage_lines()
    try:
        state = function(**parameters, return_state=True)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    state.result()


def run() -> NoReturn:
    """Run the command line; an expected error becomes one message and its exit code."""
    guard_terminal()
    run_app(app)


if __name__ == "__main__":
    run()
