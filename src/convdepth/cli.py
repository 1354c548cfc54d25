"""The command line `convdepth`.

Commands of stages come from `commands.stages`. The modules behind all commands are slow to import,
so each is imported when its command runs.
"""

from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

from convdepth.commands.stages import PARAMETERS, add_commands, take_device
from convdepth.config.parameter_file import require_text
from convdepth.core.errors import ParameterError
from convdepth.workspace.process import run_app
from convdepth.workspace.terminal import guard_terminal

QUESTIONS = "Questions"
HEALTH = "Health"
PARAMS = PARAMETERS["params"]

Params = Annotated[Path, typer.Option(help="Parameters.", metavar="FILE", callback=require_text)]
Style = Annotated[
    Literal["table", "markdown", "json"], typer.Option("--format", help="table is for a terminal.")
]

app = typer.Typer(
    help="Four convolutional networks of growing depth on MNIST: trained, compared, reproducible.",
    epilog="`make repro` or `dvc repro` runs the stages in order, and only those that are stale. "
    "dvc.yaml defines how they are connected, params.yaml holds every number.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
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


@app.command(rich_help_panel=QUESTIONS)
def summary(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="An entry of `architectures` in params.yaml.")
    ],
    params: Params = PARAMS,
) -> None:
    """Show the layers of a network: output shapes, parameters, and FLOP per image.

    FLOP of one forward pass, a multiplication and an addition counted as two. Training on an image
    takes about three times as many.
    """
    from convdepth.commands.summary import print_summary
    from convdepth.config.params import read_architecture

    print_summary(name, read_architecture(name, params))


@app.command(rich_help_panel=QUESTIONS)
def compare(
    before: Annotated[str, typer.Argument(metavar="REV", help="A git revision, such as HEAD~1.")],
    after: Annotated[
        str | None, typer.Argument(metavar="[REV]", help="Another; by default the workspace.")
    ] = None,
    style: Style = "table",
) -> None:
    """Test for each network whether its answers differ between two revisions beyond chance.

    Shows accuracy before and after, the difference with its 95% interval, the images that only one
    of the two classifies correctly, and the p value of McNemar's exact test, corrected for several
    networks. Reads predictions from DVC's cache; nothing is computed anew.
    """
    from convdepth.commands.compare_output import print_comparison

    print_comparison(before, after, style)


@app.command(rich_help_panel=QUESTIONS)
def rank(
    revision: Annotated[
        str | None, typer.Argument(metavar="[REV]", help="By default the workspace.")
    ] = None,
    style: Style = "table",
) -> None:
    """Test for each pair of networks whether one is better beyond chance; see `compare`."""
    from convdepth.commands.compare_output import print_ranking

    print_ranking(revision, style)


@app.command(rich_help_panel=QUESTIONS)
def predict(
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE...",
            help="Pictures (.png and others) of one digit each, or .npy files of uint8 with shape "
            "(28, 28) or (n, 28, 28).",
        ),
    ],
    model: Annotated[str, typer.Option(metavar="NAME", help="A trained network, such as cnn3.")],
    params: Params = PARAMS,
) -> None:
    """Classify images with a trained network.

    Prints the digit and the probability of each of the ten. A picture is converted to grey,
    inverted if its border is light, and scaled to 28 x 28 pixels. MNIST's digits are light on
    dark, centred, and fill the middle 20 x 20.
    """
    from convdepth.config.params import read_architecture, read_params
    from convdepth.workspace.lockfile import model_path

    architecture = read_architecture(model, params)
    precision = read_params(params).train.precision
    path = model_path(model)
    take_device(model)

    from convdepth.commands.predict import predict_files  # TensorFlow, once arguments are valid

    for prediction in predict_files(images, architecture, path, precision):
        row = "  ".join(f"{digit}: {p:.4f}" for digit, p in enumerate(prediction.probabilities))
        print(f"{prediction.source}: {prediction.digit}   {row}")


@app.command(rich_help_panel=QUESTIONS)
def device(
    require_gpu: Annotated[
        bool, typer.Option("--require-gpu", help="Exit with code 4 if no GPU can be used.")
    ] = False,
) -> None:
    """Show the devices that TensorFlow uses, and which trainings hold a GPU.

    Reads CONVDEPTH_DEVICE, CONVDEPTH_SLOTS_PER_GPU and CONVDEPTH_LOCKS as a training does.
    """
    from convdepth.workspace.gpu import check_usable, choose_gpus, describe, list_slots

    choice = choose_gpus(require=require_gpu)

    from convdepth.models.backend import gpus  # only now: TensorFlow reads which GPUs it may see

    usable = gpus()
    wrong = check_usable(choice.gpus, usable, require=require_gpu)
    print(f"TensorFlow computes on {', '.join(usable) or 'the CPU'}.")
    for line in [wrong, choice.reason, *map(describe, list_slots(choice.gpus))]:
        if line:
            print(line)


@app.command(rich_help_panel=QUESTIONS)
def readme(
    pages: Annotated[list[Path], typer.Argument(metavar="PAGE...", help="Markdown files.")],
    metrics: Annotated[Path, typer.Option(help="Folder of the metrics.", metavar="FOLDER")],
    notebook: Annotated[Path, typer.Option(help="The notebook's results.", metavar="FILE")],
    params: Params = PARAMS,
) -> None:
    """Write the results into the tables of Markdown pages."""
    from convdepth.commands.readme import update_pages

    update_pages(pages, metrics, notebook, params)


@app.command(rich_help_panel=HEALTH)
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Networks for --twice or --against; by default all."),
    ] = None,
    twice: Annotated[
        bool, typer.Option("--twice", help="Train each network twice and compare the bytes.")
    ] = False,
    epochs: Annotated[
        int | None,
        typer.Option(help="With --twice: train N epochs.", min=1, max=10_000, metavar="N"),
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="REV", help="Train an epoch with the code of REV, too.")
    ] = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="With --against: keep results of equal code.")
    ] = False,
    params: Params = PARAMS,
) -> None:
    """Re-hash all outputs and cached copies; name what is damaged and how to restore it.

    DVC trusts size, mtime and read-only cache files, so it misses silent corruption. Exits with
    code 7 if anything is damaged. A missing file is no damage.

    With --twice, models and histories must be equal to the byte; otherwise the first differing
    layer is named. With --against, weights, optimizer state and history must be equal to the byte.
    """
    _refuse_options(names, epochs, twice, against, accept)
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


@app.command(rich_help_panel=HEALTH)
def doctor(
    remote: Annotated[
        bool, typer.Option("--remote", help="Check the DVC remote, too, which can take seconds.")
    ] = False,
) -> None:
    """Check everything that a run needs, and say how to fix what is wrong.

    Prints one line per check and changes nothing. Exits with code 4 if anything is wrong.
    """
    from convdepth.integrity.doctor import print_diagnosis

    print_diagnosis(remote=remote)


def _refuse_options(
    names: list[str] | None, epochs: int | None, twice: bool, against: str | None, accept: bool
) -> None:
    for wrong, expected in (
        (twice and against is not None, "--twice and --against: expected one of them"),
        (names and not twice and against is None, "NAME: expected --twice or --against"),
        (epochs is not None and not twice, "--epochs: expected --twice"),
        (accept and against is None, "--accept: expected --against"),
    ):
        if wrong:
            raise ParameterError(f"verify: {expected}. See `convdepth verify --help`.")
