"""The command `convdepth`: what each command takes, and its help.

Only this module knows of a command line, and no stage imports it, so a better help text never
trains a network again. The modules behind the commands are slow to import, and so are imported
when their command runs.
"""

import os
from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

from convdepth.core.errors import ParameterError
from convdepth.workspace.process import STAGE_VARIABLE, run_app

app = typer.Typer(
    help="Four convolutional networks of growing depth on MNIST: trained, compared, reproducible.",
    epilog="`make repro` or `dvc repro` runs the six stages in order, and only what has changed. "
    "dvc.yaml shows how they are connected, params.yaml holds every number.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

STAGES = "Stages, as dvc.yaml calls them"
STUDIES = "Stages of studies/dvc.yaml"
SEARCH = "Search"
QUESTIONS = "Questions"
HEALTH = "Health"

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="An entry of `architectures` in params.yaml.")
]
Params = Annotated[Path, typer.Option(help="The file with all parameters.", metavar="FILE")]
Raw = Annotated[Path, typer.Option(help="Folder of the four IDX files.", metavar="FOLDER")]
Normalized = Annotated[
    Path, typer.Option(help="Folder of the normalized arrays (.npy).", metavar="FOLDER")
]
Model = Annotated[Path, typer.Option(help="The trained network (.keras).", metavar="FILE")]
Summary = Annotated[Path, typer.Option(help="What comes out, to write (.json).", metavar="FILE")]
Checkpoints = Annotated[
    Path, typer.Option(help="Folder for what an interrupted stage goes on from.", metavar="FOLDER")
]
Studies = Annotated[Path, typer.Option(help="The studies' parameters.", metavar="FILE")]
History = Annotated[Path, typer.Option(help="Loss and accuracy per epoch (.csv).", metavar="FILE")]
WrittenHistory = Annotated[
    Path, typer.Option(help="Loss and accuracy per epoch, to write (.csv).", metavar="FILE")
]
Seeds = Annotated[Path, typer.Option(help="Folder of the seeds' results.", metavar="FOLDER")]
Models = Annotated[Path, typer.Option(help="Folder of the models.", metavar="FOLDER")]
Histories = Annotated[Path, typer.Option(help="Folder of the histories.", metavar="FOLDER")]
Predictions = Annotated[Path, typer.Option(help="Folder of the predictions.", metavar="FOLDER")]
Notebook = Annotated[Path, typer.Option(help="What the notebook recorded (.json).", metavar="FILE")]

Style = Annotated[
    Literal["table", "markdown", "json"], typer.Option("--format", help="table is for a terminal.")
]

PARAMS = Path("params.yaml")
STUDY_PARAMS = Path("studies/params.yaml")


@app.command(rich_help_panel=STAGES)
def code(
    sources: Annotated[Path, typer.Option(help="Folder of the package.", metavar="FOLDER")],
    lock: Annotated[Path, typer.Option(help="The requirements lock.", metavar="FILE")],
    digests: Annotated[
        Path, typer.Option(help="Folder for one text per stage, to write (.txt).", metavar="FOLDER")
    ],
) -> None:
    """Digest the code that each stage runs; what changes no result changes no digest.

    Comments, docstrings, messages and moved files change none. A stage runs again when its digest
    changes.
    """
    _hold("code", digests)
    from convdepth.workspace.code import main

    main(sources=sources, lock=lock, digests=digests)


@app.command(rich_help_panel=STAGES)
def check(
    checked: Annotated[
        Path, typer.Option(help="Written if all parameters are valid (.txt).", metavar="FILE")
    ],
    params: Params = PARAMS,
    studies: Studies = STUDY_PARAMS,
) -> None:
    """Check all parameters, before any stage uses one."""
    _hold("check", checked)
    from convdepth.config.check import main

    main(params=params, studies=studies, checked=checked)


@app.command(rich_help_panel=STAGES)
def download(raw: Raw, params: Params = PARAMS) -> None:
    """Get MNIST, check it, and write its four IDX files.

    The sources are those of params.yaml, in order, until one passes the check. To use a copy of
    your own, set CONVDEPTH_MNIST to a folder with the IDX files (gzipped or not), or to an
    mnist.npz. Files that are already there and right are left alone.
    """
    _hold("download", raw)
    from convdepth.data.download import main

    main(raw=raw, params=params)


@app.command(rich_help_panel=STAGES)
def normalize(raw: Raw, normalized: Normalized, params: Params = PARAMS) -> None:
    """Scale the pixels to 0..1 and write arrays that can be memory-mapped.

    `normalize.max_images` in params.yaml keeps only the first N images of each split.
    """
    _hold("normalize", normalized)
    from convdepth.data.normalize import main

    main(raw=raw, normalized=normalized, params=params)


@app.command(rich_help_panel=STAGES)
def validate(
    raw: Raw,
    normalized: Normalized,
    summary: Annotated[
        Path, typer.Option(help="The result of each rule, to write (.json).", metavar="FILE")
    ],
    docs: Annotated[
        Path, typer.Option(help="Folder for the pages about the data.", metavar="FOLDER")
    ],
    params: Params = PARAMS,
) -> None:
    """Check the data by rules, and stop where one is broken.

    Counts, labels, class balance, ink, duplicates, and images that are in both splits. The pages
    show each rule with what was found, also when a rule is broken.
    """
    _check(params)
    _hold("validate", summary, docs)
    from convdepth.data.validation.validate import main

    main(raw=raw, normalized=normalized, summary=summary, docs=docs, params=params)


@app.command(rich_help_panel=STAGES)
def train(
    name: Name,
    normalized: Normalized,
    model: Model,
    history: WrittenHistory,
    checkpoints: Checkpoints,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**32 - 1, metavar="N", help="Replaces train.seed.")
    ] = None,
    params: Params = PARAMS,
) -> None:
    """Train one network by the recipe in params.yaml.

    Equal parameters, data and software give an equal model, to the byte, on equal hardware. A
    training that is interrupted, in whatever way, goes on after its last whole epoch when it is
    started again, and gives that model, too.

    On a GPU, only one network is trained at a time; others wait. CONVDEPTH_DEVICE is auto (a GPU
    if there is one), gpu (required) or cpu; CONVDEPTH_SLOTS_PER_GPU says how many at a time, and
    CONVDEPTH_LOCKS in which folder the trainings on this machine see each other.
    """
    _check(params, name)
    _hold(f"train@{name}", model, history)
    _take_device(name)
    _advise(name, params)
    from convdepth.training.progress import TrainingProgress
    from convdepth.training.train import main

    main(
        name=name,
        normalized=normalized,
        model=model,
        history=history,
        checkpoints=checkpoints,
        code=_digest_code("train"),
        seed=seed,
        params=params,
        progress=TrainingProgress,
    )


@app.command(rich_help_panel=STAGES)
def evaluate(
    name: Name,
    normalized: Normalized,
    model: Model,
    history: History,
    notebook: Notebook,
    metrics: Annotated[Path, typer.Option(help="Metrics to write (.json).", metavar="FILE")],
    predictions: Annotated[
        Path, typer.Option(help="One row per test image, to write (.csv).", metavar="FILE")
    ],
    params: Params = PARAMS,
) -> None:
    """Evaluate one trained network on the test set.

    Accuracy with its 95 % interval, loss, figures per digit, and whether the network collapsed
    to one answer.
    """
    _check(params, name)
    _hold(f"evaluate@{name}", metrics, predictions)
    _take_device(name)
    from convdepth.evaluation.evaluate import main

    main(
        name=name,
        normalized=normalized,
        model=model,
        history=history,
        notebook=notebook,
        metrics=metrics,
        predictions=predictions,
        params=params,
    )


@app.command(rich_help_panel=STAGES)
def plot(
    normalized: Normalized,
    models: Models,
    histories: Histories,
    predictions: Predictions,
    notebook: Notebook,
    figures: Annotated[
        Path, typer.Option(help="Folder for the figures, to write (.png).", metavar="FOLDER")
    ],
    tables: Annotated[
        Path,
        typer.Option(help="Folder for what `dvc plots` draws, to write (.csv).", metavar="FOLDER"),
    ],
    params: Params = PARAMS,
) -> None:
    """Draw all figures: curves, weights, confusion, accuracy by depth, and errors."""
    _check(params)
    _hold("plot", figures, tables)
    _take_device("plot")
    from convdepth.figures.plot import main

    main(
        normalized=normalized,
        models=models,
        histories=histories,
        predictions=predictions,
        notebook=notebook,
        figures=figures,
        tables=tables,
        params=params,
    )


@app.command(rich_help_panel=STUDIES)
def train_tuned(
    name: Name,
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, metavar="N", help="Replaces train.seed.")
    ],
    normalized: Normalized,
    model: Model,
    history: WrittenHistory,
    checkpoints: Checkpoints,
    params: Params = PARAMS,
    studies: Studies = STUDY_PARAMS,
) -> None:
    """Train one network with the settings that a tuning found, on all training images.

    They are in the section `tuned` of the studies' parameters. A training that is interrupted goes
    on after its last whole epoch.
    """
    _check(params, name)
    _check_studies(studies)
    _hold(f"train_tuned@{name}-{seed}", model, history)
    _take_device(f"{name} tuned")
    from convdepth.studies.train_tuned import main
    from convdepth.training.progress import TrainingProgress

    main(
        name=name,
        seed=seed,
        normalized=normalized,
        model=model,
        history=history,
        checkpoints=checkpoints,
        code=_digest_code("train_tuned"),
        params=params,
        studies=studies,
        progress=TrainingProgress,
    )


@app.command(rich_help_panel=STUDIES)
def evaluate_seed(
    name: Name,
    normalized: Normalized,
    model: Model,
    answers: Annotated[
        Path,
        typer.Option(help="Label and answer of each test image, to write (.csv).", metavar="FILE"),
    ],
    scores: Annotated[
        Path, typer.Option(help="Accuracy, loss and calibration, to write (.json).", metavar="FILE")
    ],
    tuned: Annotated[
        bool, typer.Option("--tuned", help="The network has the settings of `tuned`.")
    ] = False,
    params: Params = PARAMS,
    studies: Studies = STUDY_PARAMS,
) -> None:
    """Evaluate one training of a study on the test set."""
    _check(params, name)
    _check_studies(studies)
    _hold(f"evaluate_seed@{name}", answers, scores)
    _take_device(name)
    from convdepth.studies.evaluate_seed import main

    main(
        name=name,
        normalized=normalized,
        model=model,
        answers=answers,
        scores=scores,
        tuned=tuned,
        params=params,
        studies=studies,
    )


@app.command(rich_help_panel=STUDIES)
def replicates(
    name: Name,
    normalized: Normalized,
    histories: Histories,
    predictions: Predictions,
    seeds: Seeds,
    summary: Summary,
    answers: Annotated[
        Path, typer.Option(help="Each seed's answers, to write (.csv).", metavar="FILE")
    ],
    params: Params = PARAMS,
    studies: Studies = STUDY_PARAMS,
) -> None:
    """Say how much the trainings of one network with several seeds differ.

    The first one is the pipeline's, with the seed of params.yaml.
    """
    _check(params, name)
    _check_studies(studies)
    _hold(f"replicates@{name}", summary, answers)
    from convdepth.studies.aggregate_recipe import main

    main(
        name=name,
        normalized=normalized,
        histories=histories,
        predictions=predictions,
        seeds=seeds,
        summary=summary,
        answers=answers,
        params=params,
        studies=studies,
    )


@app.command(rich_help_panel=STUDIES)
def collapse(
    name: Name,
    normalized: Normalized,
    summary: Summary,
    checkpoints: Checkpoints,
    params: Params = PARAMS,
    studies: Studies = STUDY_PARAMS,
) -> None:
    """Scale the dropouts of one network, and say from which scale on it learns nothing.

    Before the training of each scale and seed it is measured how much of the image gets through
    the fresh network, and on how much of the way to go masks and batches agree.
    """
    _study("collapse", name, normalized, summary, checkpoints, params, studies)


@app.command(rich_help_panel=SEARCH)
def tune(
    name: Name,
    normalized: Normalized,
    summary: Summary,
    checkpoints: Checkpoints,
    params: Params = PARAMS,
    studies: Studies = STUDY_PARAMS,
) -> None:
    """Search for settings with which one network does better on held-out images.

    What may be varied, and for how long, is in the section `tuning` of the studies' parameters.
    The test set is not looked at. A search that is interrupted goes on after its last whole trial.
    """
    _study("tune", name, normalized, summary, checkpoints, params, studies)


@app.command(rich_help_panel=STUDIES)
def tuned(
    normalized: Normalized,
    seeds: Seeds,
    tuned: Annotated[
        Path, typer.Option(help="Folder for the tuned networks, to write.", metavar="FOLDER")
    ],
    params: Params = PARAMS,
    studies: Studies = STUDY_PARAMS,
) -> None:
    """Say how the tuned networks do with several seeds."""
    _check(params)
    _check_studies(studies)
    _hold("tuned", tuned)
    from convdepth.studies.aggregate_tuned import main

    main(normalized=normalized, seeds=seeds, tuned=tuned, params=params, studies=studies)


@app.command(rich_help_panel=STUDIES)
def contrast(
    replicates: Annotated[
        Path, typer.Option(help="Folder of each network's answers.", metavar="FOLDER")
    ],
    tuned: Annotated[Path, typer.Option(help="Folder of each tuned network's.", metavar="FOLDER")],
    summary: Summary,
    params: Params = PARAMS,
) -> None:
    """Say which networks differ when each is trained with several seeds.

    The mean difference of each pair with its interval over seeds and images, and McNemar's exact
    test of the first seed's answers, corrected for several pairs. Tuned networks, too.
    """
    _check(params)
    _hold("contrast", summary)
    from convdepth.studies.contrast import main

    main(replicates=replicates, tuned=tuned, summary=summary, params=params)


@app.command(rich_help_panel=STUDIES)
def examine(
    normalized: Normalized,
    models: Models,
    predictions: Predictions,
    reading: Annotated[Path, typer.Option(help="What is found, to write (.json).", metavar="FILE")],
    pictures: Annotated[
        Path, typer.Option(help="Folder for the pictures, to write (.png).", metavar="FOLDER")
    ],
    params: Params = PARAMS,
) -> None:
    """Look into the trained networks, and at what they get wrong.

    Calibration, agreement, the images on which all fail, first-layer kernels, and Grad-CAM.
    """
    _check(params)
    _hold("examine", reading, pictures)
    _take_device("examine")
    from convdepth.studies.inspect_networks import main

    main(
        normalized=normalized,
        models=models,
        predictions=predictions,
        reading=reading,
        pictures=pictures,
        params=params,
    )


@app.command(rich_help_panel=STUDIES)
def report(
    validation: Annotated[
        Path, typer.Option(help="What was found in the data (.json).", metavar="FILE")
    ],
    histories: Histories,
    models: Models,
    predictions: Predictions,
    normalized: Normalized,
    figures: Annotated[Path, typer.Option(help="Folder of the figures.", metavar="FOLDER")],
    notebook: Notebook,
    replicates: Annotated[
        Path, typer.Option(help="Folder of the runs with several seeds.", metavar="FOLDER")
    ],
    tuned: Annotated[Path, typer.Option(help="Folder of the tuned runs.", metavar="FOLDER")],
    contrasts: Annotated[
        Path, typer.Option(help="How the networks differ (.json).", metavar="FILE")
    ],
    collapse: Annotated[
        Path, typer.Option(help="Folder of the trials with scaled dropouts.", metavar="FOLDER")
    ],
    reading: Annotated[
        Path, typer.Option(help="What was found in the networks (.json).", metavar="FILE")
    ],
    pictures: Annotated[
        Path, typer.Option(help="Folder of the pictures of the networks.", metavar="FOLDER")
    ],
    page: Annotated[Path, typer.Option(help="The page to write (.html).", metavar="FILE")],
    params: Params = PARAMS,
) -> None:
    """Put all results on one page, which needs nothing but a browser.

    Tables that sort, charts with values, the notebook beside each result, and how to get them
    again. Each conclusion on it is made from the data.
    """
    _check(params)
    _hold("report", page)
    from convdepth.report.report import main

    main(
        validation=validation,
        histories=histories,
        models=models,
        predictions=predictions,
        normalized=normalized,
        figures=figures,
        notebook=notebook,
        replicates=replicates,
        tuned=tuned,
        contrasts=contrasts,
        collapse=collapse,
        reading=reading,
        pictures=pictures,
        page=page,
        params=params,
    )


@app.command(rich_help_panel=QUESTIONS)
def summary(name: Name, params: Params = PARAMS) -> None:
    """Show the layers of a network: output shapes, parameters, and FLOP per image.

    FLOP are those of one forward pass, a multiplication and an addition counted as two; training
    on an image takes about three times as many.
    """
    from convdepth.commands.summary import print_summary
    from convdepth.config.params import read_architecture

    print_summary(name, read_architecture(name, params))


@app.command(rich_help_panel=QUESTIONS)
def compare(
    before: Annotated[
        str, typer.Argument(metavar="REV", help="A commit as git names it, such as HEAD~1.")
    ],
    after: Annotated[
        str | None, typer.Argument(metavar="[REV]", help="Another one; by default the workspace.")
    ] = None,
    style: Style = "table",
) -> None:
    """Say of each network whether its answers differ between two commits beyond chance.

    Accuracy before and after, the difference with its 95 % interval, the images that only one of
    the two has right, and the p of McNemar's exact test, corrected for several networks. It takes
    what the networks answered from DVC's cache; nothing is computed anew.
    """
    from convdepth.commands.compare_output import print_comparison

    print_comparison(before, after, style)


@app.command(rich_help_panel=QUESTIONS)
def rank(
    revision: Annotated[
        str | None, typer.Argument(metavar="[REV]", help="A commit; by default the workspace.")
    ] = None,
    style: Style = "table",
) -> None:
    """Say of each pair of networks whether one is better beyond chance.

    As `compare`, with the two networks of a pair in the place of the two commits.
    """
    from convdepth.commands.compare_output import print_ranking

    print_ranking(revision, style)


@app.command(rich_help_panel=QUESTIONS)
def predict(
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE...",
            help="Pictures (.png and others) of one digit each, or .npy files of uint8 in the "
            "shape (28, 28) or (n, 28, 28).",
        ),
    ],
    model: Annotated[
        str, typer.Option(metavar="NAME", help="Which trained network to ask, such as cnn3.")
    ],
    params: Params = PARAMS,
) -> None:
    """Ask a trained network which digit an image shows.

    Prints the digit, and the probability of each of the ten. A picture is made grey, inverted if
    its border is light, and scaled to 28 x 28 pixels; MNIST's digits are light on dark, centred,
    and fill the middle 20 x 20.
    """
    from convdepth.config.params import read_architecture, read_params
    from convdepth.workspace.repository import model_path

    architecture = read_architecture(model, params)
    precision = read_params(params).train.precision
    path = model_path(model)
    _take_device(model)

    from convdepth.commands.predict import predict_files  # TensorFlow, once all arguments are right

    for prediction in predict_files(images, architecture, path, precision):
        row = "  ".join(f"{digit}: {p:.4f}" for digit, p in enumerate(prediction.probabilities))
        print(f"{prediction.source}: {prediction.digit}   {row}")


@app.command(rich_help_panel=QUESTIONS)
def device(
    require_gpu: Annotated[
        bool, typer.Option("--require-gpu", help="Exit with code 4 if there is no GPU to use.")
    ] = False,
) -> None:
    """Show what TensorFlow can compute on, and which trainings hold a GPU.

    CONVDEPTH_DEVICE, CONVDEPTH_SLOTS_PER_GPU and CONVDEPTH_LOCKS count as for a training.
    """
    from convdepth.workspace.gpu import check_usable, choose_gpus, describe, list_slots

    choice = choose_gpus(require=require_gpu)

    from convdepth.models.backend import (
        gpus,  # TensorFlow, once it is decided what it may compute on
    )

    usable = gpus()
    wrong = check_usable(choice.gpus, usable, require=require_gpu)
    print(f"TensorFlow computes on {', '.join(usable) or 'the CPU'}.")
    for line in [wrong, choice.reason, *map(describe, list_slots(choice.gpus))]:
        if line:
            print(line)


@app.command(rich_help_panel=QUESTIONS)
def readme(
    readme: Annotated[Path, typer.Argument(metavar="README", help="The Markdown file to change.")],
    metrics: Annotated[Path, typer.Option(help="Folder of the metrics (.json).", metavar="FOLDER")],
    notebook: Notebook,
    params: Params = PARAMS,
) -> None:
    """Write the results into the tables of the README."""
    from convdepth.commands.readme import update_readme

    update_readme(readme, metrics, notebook, params)


@app.command(rich_help_panel=HEALTH)
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Networks for --twice or --against; by default all."),
    ] = None,
    twice: Annotated[
        bool,
        typer.Option("--twice", help="Train each network twice instead, and compare the bytes."),
    ] = False,
    epochs: Annotated[
        int | None,
        typer.Option(
            help="With --twice: train only so many epochs.", min=1, max=10_000, metavar="N"
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="REV", help="Train one epoch with the code of this commit and with today's."
        ),
    ] = None,
    accept: Annotated[
        bool,
        typer.Option(
            "--accept", help="With --against: keep results whose only change is code, if equal."
        ),
    ] = False,
    params: Params = PARAMS,
) -> None:
    """Hash all outputs and DVC's copies anew, and say what is damaged and how to mend it.

    DVC trusts size, mtime and read-only cache files, so it misses silent corruption. Exits with
    code 7 if anything is damaged. What is not here at all is no damage.

    With --twice, each network is trained twice, in temporary folders: the models and the
    histories must be equal to the byte. If they are not, the first layer that differs is named.

    With --against, one epoch of each network is trained by the code of a commit and by that of the
    workspace: weights, optimizer state and history must be equal to the byte. Parameters and data
    must be the same. It takes minutes, and saves a training after a change that computes the same.
    """
    _refuse_options(names, epochs, twice, against, accept)
    if twice:
        from convdepth.config.params import read_params
        from convdepth.integrity.train_twice import print_repetitions

        print_repetitions(names or list(read_params(params).architectures), params, epochs)
    elif against is not None:
        from convdepth.integrity.equivalence_report import print_equivalence

        print_equivalence(names, against, params, accept_results=accept)
    else:
        from convdepth.integrity.verify import print_verification

        print_verification()


@app.command(rich_help_panel=HEALTH)
def doctor(
    remote: Annotated[
        bool, typer.Option("--remote", help="Ask the DVC remote, too, which can take seconds.")
    ] = False,
) -> None:
    """Look at all that a run needs, and say what is wrong and how to put it right.

    One line for each check; nothing is changed. Exits with code 4 if anything is wrong. What may
    well be so, such as that no Prefect server runs, is a note.
    """
    from convdepth.integrity.doctor import print_diagnosis

    print_diagnosis(remote=remote)


def _refuse_options(
    names: list[str] | None, epochs: int | None, twice: bool, against: str | None, accept: bool
) -> None:
    wrong = ""
    if twice and against is not None:
        wrong = "--twice and --against: expected one of them"
    elif names and not twice and against is None:
        wrong = "names: expected --twice or --against; without them, everything is verified"
    elif epochs is not None and not twice:
        wrong = "--epochs: expected --twice"
    elif accept and against is None:
        wrong = "--accept: expected --against"
    if wrong:
        raise ParameterError(f"convdepth verify: {wrong}. See `convdepth verify --help`.")


def _check(params: Path, name: str | None = None) -> None:
    """Refuse a wrong parameter at once, and not after seconds of imports."""
    from convdepth.config.params import read_architecture, read_params

    if name is None:
        read_params(params)
    else:
        read_architecture(name, params)


def _check_studies(studies: Path) -> None:
    from convdepth.config.studies import read_study_params

    read_study_params(studies)


def _digest_code(stage: str) -> str:
    """Digest the code of a training: its checkpoints serve no other code."""
    from convdepth.workspace.code_digests import read_command

    return read_command(stage).digest


def _advise(name: str, params: Path) -> None:
    from convdepth.config.params import read_params
    from convdepth.models.precision_advice import advise_precision

    if advice := advise_precision(read_params(params).train.precision):
        print(f"{name}  {advice}", flush=True)


def _hold(stage: str, *outputs: Path) -> None:
    """Be the only writer of a stage's outputs until this process ends."""
    from convdepth.workspace.locks import hold_outputs

    hold_outputs(os.environ.get(STAGE_VARIABLE, stage), outputs)


def _study(
    stage: str,
    name: str,
    normalized: Path,
    summary: Path,
    checkpoints: Path,
    params: Path,
    studies: Path,
) -> None:
    """Run a study of one network by the parameters of the studies."""
    _check(params, name)
    _check_studies(studies)
    _hold(f"{stage}@{name}", summary)
    _take_device(name)
    from convdepth.training.progress import TrainingProgress
    from convdepth.workspace.code_digests import MODULES

    import_module(f"convdepth.{MODULES[stage]}").main(
        name=name,
        normalized=normalized,
        summary=summary,
        checkpoints=checkpoints,
        code=_digest_code(stage),
        params=params,
        studies=studies,
        progress=TrainingProgress,
    )


def _take_device(name: str) -> None:
    """Wait for a place on a GPU, where there is one, and import TensorFlow, which sees no other."""
    from convdepth.workspace.gpu import take_slot

    slot = take_slot(name)

    from convdepth.models.backend import gpus  # it is decided now what TensorFlow may compute on

    if slot is not None:
        slot.confirm(gpus())


def run() -> NoReturn:
    """Run the command line; an expected error becomes one message and its exit code."""
    run_app(app)
