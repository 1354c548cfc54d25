"""The commands that stages run, as one table: their arguments, outputs and help.

Each entry becomes a command of `convdepth`. Its function is `main` of the module that
`code_digests.MODULES` names; the module is imported when the command runs, since most are slow to
import.
"""

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from convdepth.config.params import read_architecture, read_params
from convdepth.config.studies import read_study_params
from convdepth.workspace.code_digests import MODULES, PACKAGE, read_command
from convdepth.workspace.locks import hold_outputs
from convdepth.workspace.process import STAGE_VARIABLE

PIPELINE = "Stages, as dvc.yaml calls them"
STUDIES = "Stages of studies/dvc.yaml"
SEARCH = "Search"

OPTIONS = {
    "answers": ("FILE", "Label and answer per test image, to write (.csv)."),
    "checked": ("FILE", "Written if all parameters are valid (.txt)."),
    "checkpoints": ("FOLDER", "Checkpoints, from which an interrupted stage resumes."),
    "collapse": ("FOLDER", "Trials with scaled dropouts."),
    "contrasts": ("FILE", "Differences between the networks (.json)."),
    "digests": ("FOLDER", "One text per stage, to write (.txt)."),
    "docs": ("FOLDER", "Pages about the data, to write."),
    "evaluate.predictions": ("FILE", "One row per test image, to write (.csv)."),
    "figures": ("FOLDER", "The figures (.png)."),
    "histories": ("FOLDER", "Loss and accuracy per epoch (.csv)."),
    "history": ("FILE", "Loss and accuracy per epoch (.csv)."),
    "lock": ("FILE", "The requirements lock."),
    "metrics": ("FILE", "Metrics, to write (.json)."),
    "model": ("FILE", "Trained network (.keras)."),
    "models": ("FOLDER", "Trained networks (.keras)."),
    "normalized": ("FOLDER", "Normalized arrays (.npy)."),
    "notebook": ("FILE", "The notebook's recorded results (.json)."),
    "page": ("FILE", "The page, to write (.html)."),
    "pictures": ("FOLDER", "Pictures of the networks (.png)."),
    "predictions": ("FOLDER", "Predictions for the test set (.csv)."),
    "raw": ("FOLDER", "The four IDX files."),
    "reading": ("FILE", "Calibration, agreement and hardest images (.json)."),
    "replicates": ("FOLDER", "Results of several seeds."),
    "scores": ("FILE", "Accuracy, loss and calibration, to write (.json)."),
    "seeds": ("FOLDER", "Results of each seed."),
    "sources": ("FOLDER", "The package."),
    "summary": ("FILE", "Results, to write (.json)."),
    "tables": ("FOLDER", "Tables that `dvc plots` draws, to write (.csv)."),
    "tuned": ("FOLDER", "Results of the tuned networks."),
    "validate.checked": ("FILE", "Written if the data break no rule (.txt)."),
    "validation": ("FILE", "Results of the data rules (.json)."),
}
"""Options whose value is a path: kind and help. One command alone can give an option another."""

PARAMETERS = {"params": Path("params.yaml"), "studies": Path("studies/params.yaml")}
"""Files of parameters: option and default."""


@dataclass(frozen=True)
class Stage:
    """A command that a stage runs.

    Attributes:
        panel: Heading in the list of commands.
        arguments: Names of the arguments of its `main`, in the order of the help.
        writes: Arguments that name its outputs; only one process writes them at a time.
        help: First line, then details.
        uses_device: Whether it runs TensorFlow, on a GPU if there is one.
        trains: Whether its `main` takes the digest of its code and a progress display.
    """

    panel: str
    arguments: str
    writes: str
    help: str
    uses_device: bool = False
    trains: bool = False


STAGES = {
    "code": Stage(
        PIPELINE,
        "sources lock digests",
        "digests",
        """Digest the code that each stage runs.

        Comments, docstrings, messages and moved files change no digest. A stage reruns when its
        digest changes.
        """,
    ),
    "check": Stage(
        PIPELINE,
        "checked params studies",
        "checked",
        "Check all parameters before any stage uses one.",
    ),
    "download": Stage(
        PIPELINE,
        "raw params",
        "raw",
        """Download MNIST, check it, and write its four IDX files.

        Tries the sources of params.yaml in order. To use a copy of your own, set CONVDEPTH_MNIST
        to a folder with the IDX files (gzipped or not), or to an mnist.npz. Correct files that
        exist are kept.
        """,
    ),
    "normalize": Stage(
        PIPELINE,
        "raw normalized params",
        "normalized",
        """Scale the pixels to 0..1 and write arrays that can be memory-mapped.

        `normalize.max_images` in params.yaml keeps only the first N images of each split.
        """,
    ),
    "validate": Stage(
        PIPELINE,
        "raw normalized summary docs checked params",
        "summary docs checked",
        """Check the data against rules; a broken rule stops the pipeline.

        Counts, labels, class balance, ink, duplicates, and images in both splits. The pages show
        each rule with the value found, also when a rule is broken.
        """,
    ),
    "train": Stage(
        PIPELINE,
        "name normalized model history checkpoints seed params",
        "model history",
        """Train one network by the recipe in params.yaml.

        Equal parameters, data and software give an equal model, to the byte, on equal hardware.
        An interrupted training resumes after its last whole epoch and gives the same model.

        On a GPU, one network is trained at a time; others wait. CONVDEPTH_DEVICE is auto (a GPU
        if there is one), gpu (required) or cpu; CONVDEPTH_SLOTS_PER_GPU is the number of trainings
        at a time, and CONVDEPTH_LOCKS the folder of their locks.
        """,
        uses_device=True,
        trains=True,
    ),
    "evaluate": Stage(
        PIPELINE,
        "name normalized model history notebook metrics predictions params",
        "metrics predictions",
        """Evaluate one trained network on the test set.

        Accuracy with its 95% interval, loss, metrics per digit, and whether the network collapsed
        to one answer.
        """,
        uses_device=True,
    ),
    "plot": Stage(
        PIPELINE,
        "normalized models histories predictions notebook figures tables params",
        "figures tables",
        "Draw all figures, and write the tables of `dvc plots`.",
        uses_device=True,
    ),
    "train_tuned": Stage(
        STUDIES,
        "name normalized model history checkpoints seed params studies",
        "model history",
        """Train one network with the settings in the section `tuned` of the studies' parameters.

        An interrupted training resumes after its last whole epoch.
        """,
        uses_device=True,
        trains=True,
    ),
    "evaluate_seed": Stage(
        STUDIES,
        "name normalized model answers scores tuned params studies",
        "answers scores",
        "Evaluate one training of a study on the test set.",
        uses_device=True,
    ),
    "replicates": Stage(
        STUDIES,
        "name normalized histories predictions seeds summary answers params studies",
        "summary answers",
        """Summarize the trainings of one network with several seeds.

        The first one is the pipeline's, with the seed of params.yaml.
        """,
    ),
    "tuned": Stage(
        STUDIES,
        "normalized seeds tuned params studies",
        "tuned",
        "Summarize the trainings of each tuned network with several seeds.",
    ),
    "collapse": Stage(
        STUDIES,
        "name normalized summary checkpoints params studies",
        "summary",
        """Scale the dropouts of one network and find the scale from which it learns nothing.

        Before each training, the signal that reaches each block of the fresh network is measured,
        and how far gradients agree between dropout masks and between batches.
        """,
        uses_device=True,
        trains=True,
    ),
    "contrast": Stage(
        STUDIES,
        "replicates tuned summary params",
        "summary",
        """Test which networks differ when each is trained with several seeds.

        For each pair the mean difference with its interval over seeds and images, and McNemar's
        exact test of the first seed, corrected for several pairs. Tuned networks, too.
        """,
    ),
    "examine": Stage(
        STUDIES,
        "normalized models predictions reading pictures params",
        "reading pictures",
        """Inspect the trained networks and their errors.

        Calibration, agreement, the images on which all fail, first-layer kernels, and Grad-CAM.
        """,
        uses_device=True,
    ),
    "report": Stage(
        STUDIES,
        "validation histories models predictions normalized figures notebook replicates tuned "
        "contrasts collapse reading pictures page params",
        "page",
        """Put all results on one self-contained page.

        Sortable tables, charts with values, the notebook beside each result, and the commands that
        reproduce them.
        """,
    ),
    "tune": Stage(
        SEARCH,
        "name normalized summary checkpoints params studies",
        "summary",
        """Search for settings with which one network does better on held-out images.

        The budget and the search space are in the section `tuning` of the studies' parameters. The
        test set is not used. An interrupted search resumes after its last whole trial.
        """,
        uses_device=True,
        trains=True,
    ),
}
"""Command as Python names it (DVC's stages write ``-`` for ``_``) to its description."""


def add_commands(app: typer.Typer) -> None:
    """Add each command of `STAGES` to the command line."""
    for command, stage in STAGES.items():
        app.command(rich_help_panel=stage.panel)(_as_function(command, stage))


def take_device(label: str) -> None:
    """Wait for a GPU slot, where there is a GPU; then import TensorFlow, which sees no other GPU.

    Args:
        label: Names the holder of the slot, for example a network.
    """
    from convdepth.workspace.gpu import take_slot

    slot = take_slot(label)

    from convdepth.models.backend import gpus  # only now: TensorFlow reads which GPUs it may see

    if slot is not None:
        slot.confirm(gpus())


def _run(command: str, stage: Stage, arguments: dict[str, Any]) -> None:
    if "params" in arguments and command != "check":
        _check_parameters(arguments)  # before seconds of imports
    label = "-".join(str(arguments[key]) for key in ("name", "seed") if arguments.get(key))
    hold_outputs(
        os.environ.get(STAGE_VARIABLE, "@".join(filter(None, (command, label)))),
        [arguments[key] for key in stage.writes.split()],
    )
    if stage.uses_device:
        take_device(label or command)
    if stage.trains:
        from convdepth.training.progress import TrainingProgress

        arguments |= {"code": read_command(command).digest, "progress": TrainingProgress}
    if command == "train":
        _advise(arguments["name"], arguments["params"])
    import_module(f"{PACKAGE}.{MODULES[command]}").main(**arguments)


def _check_parameters(arguments: dict[str, Any]) -> None:
    if "name" in arguments:
        read_architecture(arguments["name"], arguments["params"])
    else:
        read_params(arguments["params"])
    if "studies" in arguments:
        read_study_params(arguments["studies"])


def _advise(name: str, params: Path) -> None:
    from convdepth.models.precision_advice import advise_precision

    if advice := advise_precision(read_params(params).train.precision):
        print(f"{name}  {advice}", flush=True)


def _as_function(command: str, stage: Stage) -> Callable[..., None]:
    """Make the function that typer turns into a command."""

    def function(**arguments: Any) -> None:
        _run(command, stage, arguments)

    parameters = [_parameter(name, command) for name in stage.arguments.split()]
    function.__name__ = command
    function.__doc__ = stage.help
    function.__annotations__ = {each.name: each.annotation for each in parameters}
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return function


def _parameter(name: str, command: str) -> inspect.Parameter:
    default: Any = PARAMETERS.get(name, inspect.Parameter.empty)
    kind: Any = Path
    option: Any
    if name == "name":
        text = "An entry of `architectures` in params.yaml."
        kind, option = str, typer.Argument(metavar="NAME", help=text)
    elif name == "seed":
        option = typer.Option(min=0, max=2**32 - 1, metavar="N", help="Replaces train.seed.")
        kind, default = (int | None, None) if command == "train" else (int, default)
    elif (command, name) == ("evaluate_seed", "tuned"):
        option = typer.Option("--tuned", help="The network has the settings of `tuned`.")
        kind, default = bool, False
    elif name in PARAMETERS:
        option = typer.Option(help="Parameters.", metavar="FILE")
    else:
        metavar, text = OPTIONS.get(f"{command}.{name}") or OPTIONS[name]
        option = typer.Option(help=text, metavar=metavar)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option]
    )
