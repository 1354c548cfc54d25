"""A command line whose help is in a TOML file: by command its panel, help and parameters.

The sections ``arguments`` of a command, and ``options`` of a command or of the whole file, have the
parameters of `typer.Argument` and `typer.Option` by name; ``flag`` is an option's own name.
"""

import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

Function = Callable[..., None]


def make_app(texts: Path, **options: Any) -> tuple[typer.Typer, Callable[[Function], Function]]:
    """Return an app without commands, and the decorator that adds a function as a command."""
    app = typer.Typer(
        **options,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    return app, partial(_add, app, tomllib.loads(texts.read_text(encoding="utf-8")))


def _add(app: typer.Typer, texts: dict[str, Any], function: Function) -> Function:
    entry, kinds = texts[function.__name__], function.__annotations__
    for section, make in (("arguments", typer.Argument), ("options", typer.Option)):
        described = texts.get(section, {}) | entry.get(section, {})
        for name in described.keys() & kinds:
            given = dict(described[name])
            flag = [given.pop("flag")] if "flag" in given else []
            kinds[name] = Annotated[kinds[name], make(*flag, **given)]
    return app.command(rich_help_panel=entry["panel"], help=entry.get("help"))(function)
