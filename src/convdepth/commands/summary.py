"""The layers of an architecture as a table, without Keras and its seconds of import."""

from rich.console import Console
from rich.table import Table

from convdepth.config.architecture import Architecture, walk


def print_summary(name: str, architecture: Architecture) -> None:
    """Print the layers of a network, with the sums in the last line.

    Args:
        name: The network's name.
        architecture: What ``params.yaml`` says.
    """
    layers = walk(architecture)
    table = Table(title=f"{name}: {len(architecture.blocks)} blocks", show_footer=True)
    table.add_column("layer", footer="sum")
    table.add_column("type")
    table.add_column("output shape")
    table.add_column("parameters", f"{architecture.num_parameters:,}", justify="right")
    table.add_column("FLOP per image", f"{architecture.flop:,}", justify="right")
    for layer in layers:
        shape = " x ".join(map(str, layer.output_shape))
        table.add_row(
            layer.name, layer.kind, shape, _count(layer.num_parameters), _count(layer.flop)
        )
    Console().print(table)


def _count(number: int) -> str:
    return f"{number:,}" if number else ""
