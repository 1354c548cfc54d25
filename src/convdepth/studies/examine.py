"""The stage `examine`: look into the trained networks, and at what they get wrong.

Calibration, agreement, the hardest images, dead channels, kernels, and where the networks look. A
network that has learned nothing is left out where it would hide what is hard, since it fails on all
but one digit; unless none has learned anything.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from convdepth.config.architecture import Architecture
from convdepth.config.params import read_params
from convdepth.core.files import write_json
from convdepth.data.arrays import Images, read_split
from convdepth.evaluation.metrics import (
    agreement,
    calibration_error,
    count_failures,
    find_hardest,
    reliability,
    score,
)
from convdepth.evaluation.results import read_predictions
from convdepth.figures.kernels import draw_attention, draw_first_kernels
from convdepth.figures.style import write_figure
from convdepth.models.archive import load_weights
from convdepth.models.backend import configure, keras
from convdepth.models.build import build_network
from convdepth.studies.dead_channels import active_channels
from convdepth.studies.grad_cam import grad_cam

LISTED = 16
"""How many of the hardest images are named."""

PICTURED = 8
"""Of how many of them it is drawn where the networks look."""


def main(
    normalized: Path,
    models: Path,
    predictions: Path,
    reading: Path,
    pictures: Path,
    params: Path = Path("params.yaml"),
) -> None:
    """Examine all networks; write what was found, and the pictures.

    Args:
        normalized: The folder of the normalized arrays.
        models: The folder of the trained networks, ``<name>.keras``.
        predictions: The folder of the predictions for the test set, ``<name>.csv``.
        reading: The JSON file to write: what `examine` gives, and of each network its ``layers``,
            see `active_channels`.
        pictures: The folder to write ``kernels.png`` and ``grad_cam.png`` to.
        params: The parameters.

    Raises:
        ParameterError: A parameter is wrong.
        DataError: A file is missing, damaged, or does not belong to the test images.
        IntegrityError: A model is damaged, or of another architecture.
        MachineError: A file cannot be written.
    """
    parameters = read_params(params)
    architectures = parameters.architectures
    images, labels = read_split(normalized, "test")
    tables = {name: read_predictions(predictions, name, labels) for name in architectures}
    configure(parameters.train.threads)
    networks = {
        name: build_network(each, parameters.train.precision)
        for name, each in architectures.items()
    }
    for name, network in networks.items():
        load_weights(network, models / f"{name}.keras")
    found = examine(architectures, tables)
    for name, network in networks.items():
        found["networks"][name]["layers"] = active_channels(network, images)
    write_json(reading, found)
    _draw(pictures, networks, images, found)
    hard = found["all_fail"]
    print(
        f"examine: {hard['images']} images on which all of {', '.join(hard['networks'])} fail",
        flush=True,
    )


def examine(
    architectures: Mapping[str, Architecture], tables: Mapping[str, pd.DataFrame]
) -> dict[str, Any]:
    """Say what the predictions tell of each network, and of all of them.

    Args:
        architectures: By network.
        tables: The predictions of each, for the same images.

    Returns:
        ``networks``: by name accuracy, parameters, FLOP (of one image), status, calibration error
        and reliability; ``agreement`` by pair; ``hardest``: the images that are; and
        ``all_fail``: on how many images all networks fail, and which ones this and ``hardest`` are
        about: those that have learned, or all if none has.
    """
    described = {name: _describe(architectures[name], table) for name, table in tables.items()}
    learned = {name: tables[name] for name, each in described.items() if each["status"] == "ok"}
    learned = learned or dict(tables)
    failing = count_failures(learned)["failing"]
    return {
        "networks": described,
        "agreement": agreement(tables),
        "hardest": find_hardest(learned, LISTED),
        "all_fail": {"images": int((failing == len(learned)).sum()), "networks": list(learned)},
    }


def _describe(architecture: Architecture, table: pd.DataFrame) -> dict[str, Any]:
    total = score(table)
    return {
        "accuracy": total.accuracy,
        "status": total.status,
        "parameters": architecture.num_parameters,
        "flop": architecture.flop,
        "calibration_error": calibration_error(table),
        "reliability": reliability(table),
    }


def _draw(
    folder: Path, networks: Mapping[str, keras.Model], images: Images, found: Mapping[str, Any]
) -> None:
    kernels = {name: network.layers[0].get_weights()[0] for name, network in networks.items()}
    write_figure(folder / "kernels.png", draw_first_kernels(kernels))
    hardest = found["hardest"][:PICTURED]
    shown = images[[entry["index"] for entry in hardest]]
    maps = {name: grad_cam(networks[name], shown) for name in found["all_fail"]["networks"]}
    write_figure(folder / "grad_cam.png", draw_attention(shown, maps, hardest))
