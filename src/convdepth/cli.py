"""The command line `convdepth`.

Commands of stages come from `commands.stages`. The modules behind all commands are slow to import,
so each is imported when its command runs. What `--help` shows is in ``cli.toml``.
"""

from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

from convdepth.commands.command_line import make_app
from convdepth.commands.stages import PARAMETERS, add_commands, take_device
from convdepth.config.parameter_file import require_text
from convdepth.core.errors import ParameterError
from convdepth.workspace.process import run_app
from convdepth.workspace.terminal import guard_terminal

PARAMS = PARAMETERS["params"]

Params = Annotated[Path, typer.Option(help="Parameters.", metavar="FILE", callback=require_text)]
Style = Annotated[
    Literal["table", "markdown", "json"], typer.Option("--format", help="table is for a terminal.")
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
def predict(images: list[Path], model: str, params: Params = PARAMS) -> None:
    """Classify images."""
    from convdepth.config.params import read_architecture, read_params
    from convdepth.workspace.lockfile import model_path

    architecture = read_architecture(model, params)
    recipe = read_params(params).train
    path = model_path(model)
    take_device(model)

    from convdepth.commands.predict import predict_files  # TensorFlow, once arguments are valid

    for prediction in predict_files(images, architecture, path, recipe):
        row = "  ".join(f"{digit}: {p:.4f}" for digit, p in enumerate(prediction.probabilities))
        print(f"{prediction.source}: {prediction.digit}   {row}")


@_command
def export(
    model: str,
    form: Literal["onnx", "litert", "saved_model"],
    output: Path | None = None,
    params: Params = PARAMS,
) -> None:
    """Export a network."""
    from convdepth.commands.export_formats import FORMATS
    from convdepth.config.params import read_architecture
    from convdepth.data.idx import read_split
    from convdepth.workspace.lockfile import model_path, raw_data

    chosen = FORMATS[form]
    target = output or Path(f"{model}{chosen.suffix}")
    if target.exists():
        raise ParameterError(f"{target}: exists. Delete it, or name another path with --output.")
    chosen.require_modules()
    architecture, path = read_architecture(model, params), model_path(model)
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
