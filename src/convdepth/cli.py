"""The command line `convdepth`.

Commands of stages come from `commands.stages`. The modules behind all commands are slow to import,
so each is imported when its command runs. What `--help` shows is in ``cli.toml``.
"""

import os
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from convdepth.commands.command_line import make_app
from convdepth.commands.stages import PARAMETERS, add_commands, take_device
from convdepth.config.parameter_file import require_text
from convdepth.core.errors import DataError, ParameterError
from convdepth.workspace.process import run_app
from convdepth.workspace.terminal import guard_terminal

if TYPE_CHECKING:
    from convdepth.commands.demo import Compute

PARAMS = PARAMETERS["params"]

Params = Annotated[Path, typer.Option(help="Parameters.", metavar="FILE", callback=require_text)]
Style = Annotated[
    Literal["table", "markdown", "json"], typer.Option("--format", help="table is for a terminal.")
]

AnswerStyle = Annotated[
    Literal["table", "json", "csv"], typer.Option("--format", help="table is for a terminal.")
]

app, _command = make_app(
    Path(__file__).with_suffix(".toml"),
    help="Four convolutional networks of growing depth on MNIST: trained, compared, reproducible.",
    epilog="`make repro` or `dvc repro` runs the stages in order, and only those that are stale. "
    "dvc.yaml defines how they are connected, params.yaml holds every number.",
)
add_commands(app)


def run() -> NoReturn:
    """Run the command line."""
    guard_terminal()
    run_app(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"convdepth {metadata.version('convdepth')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Add the options that come before a command."""


@_command
def summary(name: str, params: Params = PARAMS) -> None:
    """Print the layers of a network."""
    from convdepth.commands.summary import print_summary
    from convdepth.config.params import read_architecture

    print_summary(name, read_architecture(name, params))


@_command
def compare(before: str, after: str | None = None, style: Style = "table") -> None:
    """Compare two revisions."""
    from convdepth.commands.compare_output import print_comparison

    print_comparison(before, after, style)


@_command
def rank(revision: str | None = None, style: Style = "table") -> None:
    """Compare the networks of a revision."""
    from convdepth.commands.compare_output import print_ranking

    print_ranking(revision, style)


@_command
def experiments(
    revisions: list[str] | None = None,
    network: str | None = None,
    order: Literal["time", "accuracy", "held-out", "experiment"] = "time",
    style: Style = "table",
) -> None:
    """Show the experiments of DVC."""
    from convdepth.commands.experiments import print_experiments

    print_experiments(revisions or (), network, order, style)


@_command
def watch() -> None:
    """Draw the curves of running trainings."""
    from convdepth.commands.watch import watch_trainings

    watch_trainings()


@_command
def models(style: Style = "table", params: Params = PARAMS) -> None:
    """List the models."""
    from convdepth.commands.models import print_models

    print_models(params, style)


@_command
def predict(images: list[Path], model: str, style: AnswerStyle = "table") -> None:
    """Classify images."""
    from convdepth.data.pictures import read_usable
    from convdepth.workspace.registry import find_model

    path = find_model(model)
    pixels, refused = read_usable(images)
    if pixels:
        take_device(model)

        from convdepth.commands.predict import load, predict_images, print_predictions

        (network,) = load(path)
        print_predictions(predict_images(network, pixels), style)
    if refused:
        raise DataError("\n".join(refused))


@_command
def demo(port: int = 8000, params: Params = PARAMS) -> None:
    """Serve the demo page."""
    from convdepth.commands.demo import serve
    from convdepth.config.params import read_params
    from convdepth.models.description import describe_archive
    from convdepth.workspace.gpu import VISIBLE_VARIABLE
    from convdepth.workspace.registry import find_model

    models = {name: find_model(name) for name in read_params(params).architectures}
    architectures = {name: describe_archive(path).architecture for name, path in models.items()}
    os.environ[VISIBLE_VARIABLE] = "-1"  # single pictures need no GPU, and take none from trainings

    def load() -> "Compute":  # TensorFlow, while the page is there already
        from convdepth.commands.demo_networks import load_all

        return load_all(models)

    serve(architectures, load, port)


@_command
def export(
    model: str, form: Literal["onnx", "litert", "saved_model"], output: Path | None = None
) -> None:
    """Export a network."""
    from convdepth.commands.export_formats import FORMATS
    from convdepth.data.idx import read_split
    from convdepth.models.description import describe_archive
    from convdepth.workspace.lockfile import raw_data
    from convdepth.workspace.registry import MODEL, find_model

    chosen = FORMATS[form]
    target = output or Path(f"{model.removesuffix(MODEL)}{chosen.suffix}")
    if target.exists():
        raise ParameterError(f"{target}: exists. Delete it, or name another path with --output.")
    chosen.require_modules()
    path = find_model(model)
    architecture = describe_archive(path).architecture
    pixels, _ = read_split(raw_data(), "test")

    from convdepth.commands.export import export_network  # TensorFlow, once arguments are valid

    proof = export_network(architecture, path, chosen, pixels, target)
    print(f"{target}: {proof.size:,} bytes; {proof.describe(chosen.runtime)}")


@_command
def device(require_gpu: bool = False) -> None:
    """Print the devices and their users."""
    from convdepth.workspace.gpu import check_usable, choose_gpus, describe, list_slots

    choice = choose_gpus(require=require_gpu)

    from convdepth.models.backend import gpus  # only now: TensorFlow reads which GPUs it may see

    usable = gpus()
    wrong = check_usable(choice.gpus, usable, require=require_gpu)
    print(f"TensorFlow computes on {', '.join(usable) or 'the CPU'}.")
    for line in [wrong, choice.reason, *map(describe, list_slots(choice.gpus))]:
        if line:
            print(line)


@_command
def readme(pages: list[Path], metrics: Path, notebook: Path, params: Params = PARAMS) -> None:
    """Write results into pages."""
    from convdepth.commands.readme import update_pages

    update_pages(pages, metrics, notebook, params)


@_command
def release(folder: Path, params: Params = PARAMS) -> None:
    """Write the release bundle."""
    from convdepth.release.bundle import write_bundle

    write_bundle(folder, params)


@_command
def verify(
    names: list[str] | None = None,
    twice: bool = False,
    epochs: int | None = None,
    against: str | None = None,
    accept: bool = False,
    params: Params = PARAMS,
) -> None:
    """Check outputs, or train to compare bytes."""
    for wrong, expected in (
        (twice and against is not None, "--twice and --against: expected one of them"),
        (names and not twice and against is None, "NAME: expected --twice or --against"),
        (epochs is not None and not twice, "--epochs: expected --twice"),
        (accept and against is None, "--accept: expected --against"),
    ):
        if wrong:
            raise ParameterError(f"verify: {expected}. See `convdepth verify --help`.")
    if twice:
        from convdepth.config.params import read_params
        from convdepth.integrity.train_twice import print_repetitions

        print_repetitions(names or list(read_params(params).architectures), params, epochs)
    elif against is not None:
        from convdepth.integrity.against import print_comparison

        print_comparison(names, against, params, accept_results=accept)
    else:
        from convdepth.integrity.verify import print_verification

        print_verification()


@_command
def doctor(remote: bool = False) -> None:
    """Check what a run needs."""
    from convdepth.integrity.doctor import print_diagnosis

    print_diagnosis(remote=remote)
