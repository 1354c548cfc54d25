"""The layers of an architecture as a table, without Keras and its seconds of import."""

from rich.console import Console
from rich.table import Table

from convdepth.commands.tables import print_table
from convdepth.config.architecture import Architecture, walk
from convdepth.core.text import counted


def print_summary(name: str, architecture: Architecture) -> None:
    """Print the layers of a network, with the sums in the last line."""
    table = Table(title=f"{name}: {counted(len(architecture.blocks), 'block')}", show_footer=True)
    table.add_column("layer", footer="sum")
    table.add_column("type")
    table.add_column("output shape")
    table.add_column("parameters", f"{architecture.num_parameters:,}", justify="right")
    table.add_column("FLOP per image", f"{architecture.flop:,}", justify="right")
    for layer in walk(architecture):
        counts = (f"{each:,}" if each else "" for each in (layer.num_parameters, layer.flop))
        table.add_row(layer.name, layer.kind, " x ".join(map(str, layer.output_shape)), *counts)
    print_table(table, Console())
