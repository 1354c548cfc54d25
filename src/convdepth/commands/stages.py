"""The commands that stages run: each entry of ``stages.toml`` becomes a command of `convdepth`."""

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from convdepth.config.parameter_file import require_text
from convdepth.config.params import read_architecture, read_params
from convdepth.config.questions import AnsweredQuestion, TrainedQuestion
from convdepth.config.studies import read_study_params
from convdepth.workspace.code_digests import PACKAGE, TABLE, read_command
from convdepth.workspace.locks import hold_outputs
from convdepth.workspace.process import STAGE_VARIABLE

PARAMETERS = {"params": Path("params.yaml"), "studies": Path("studies/params.yaml")}
"""Files of parameters: option and default."""


@dataclass(frozen=True)
class Stage:
    """A command that a stage runs; ``stages.toml`` explains the fields."""

    module: str
    panel: str
    arguments: str
    writes: str
    help: str
    uses_device: bool = False
    trains: bool = False


STAGES = {command: Stage(**entry) for command, entry in TABLE["stages"].items()}
"""Command as Python names it (DVC's stages write ``-`` for ``_``) to its description."""


def add_commands(app: typer.Typer) -> None:
    """Add each command of `STAGES` to the command line."""
    for command, stage in STAGES.items():
        app.command(rich_help_panel=TABLE["panels"][stage.panel])(_as_function(command, stage))


def take_device(label: str) -> None:
    """Wait for a GPU slot, if there is a GPU; then import TensorFlow, which sees no other GPU."""
    from convdepth.workspace.gpu import take_slot

    slot = take_slot(label)

    from convdepth.models.backend import gpus  # only now: TensorFlow reads which GPUs it may see

    if slot is not None:
        slot.confirm(gpus())


def _run(command: str, stage: Stage, arguments: dict[str, Any]) -> None:
    if command != "check":
        _check_parameters(**arguments)  # before seconds of imports
    keys = ("name", "question", "group", "network", "seed")
    label = "-".join(str(arguments[key]) for key in keys if arguments.get(key) is not None)
    hold_outputs(
        os.environ.get(STAGE_VARIABLE, "@".join(filter(None, (command, label)))),
        [arguments[key] for key in stage.writes.split()],
    )
    if stage.uses_device:
        take_device(label or command)
    if stage.trains:
        from convdepth.workspace.live_progress import live_progress

        progress = live_progress(arguments[stage.writes.split()[0]])
        arguments |= {"code": read_command(command).digest, "progress": progress}
    if command == "train":
        from convdepth.models.precision_advice import advise_precision

        if advice := advise_precision(read_params(arguments["params"]).train.precision):
            print(f"{arguments['name']}  {advice}", flush=True)
    import_module(f"{PACKAGE}.{stage.module}").main(**arguments)


def _check_parameters(
    name: str | None = None,
    question: str | None = None,
    network: str | None = None,
    params: Path | None = None,
    studies: Path | None = None,
    **_: Any,
) -> None:
    name = name or (network if question != "depth" else None)
    if params and name:
        read_architecture(name, params)
    elif params:
        read_params(params)
    if studies:
        read_study_params(studies)


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
    elif name == "question":
        kind = AnsweredQuestion if command == "answer" else TrainedQuestion
        option = typer.Argument(help="A question of studies/PLAN.md.")
    elif name in ("group", "network"):
        text = f"One of the question's `{name}s`."
        kind, option = str, typer.Option(metavar="NAME", help=text)
    else:
        options = TABLE["options"]
        metavar, text = options.get(f"{command}.{name}") or options[name]
        check = require_text if name in PARAMETERS else None
        option = typer.Option(help=text, metavar=metavar, callback=check)
        if name == "epochs" or (command, name) == ("answer", "recipe"):
            kind, default = Path | None, None
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option]
    )
