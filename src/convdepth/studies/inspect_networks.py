"""The stage `examine`: calibration, agreement, hard images, dead channels, kernels and Grad-CAM.

An image is hard if the networks that have learned fail on it; all networks if none has learned.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from convdepth.config.architecture import Architecture
from convdepth.config.params import read_params
from convdepth.core.files import write_json
from convdepth.data.arrays import Images, read_split
from convdepth.evaluation.metrics import agreement, count_failures, find_hardest
from convdepth.evaluation.results import AllFail, Hard, NetworkReading, Reading, read_predictions
from convdepth.evaluation.seed_scores import score_predictions
from convdepth.figures.inspection import draw_attention, draw_first_kernels
from convdepth.figures.style import write_figure
from convdepth.models.archive import load_weights
from convdepth.models.backend import configure, keras
from convdepth.models.build import build_network
from convdepth.studies.dead_channels import active_channels
from convdepth.studies.grad_cam import grad_cam

LISTED = 16
"""Number of hardest images in the result."""

PICTURED = 8
"""Number of hardest images in the Grad-CAM picture."""


def main(
    normalized: Path,
    models: Path,
    predictions: Path,
    reading: Path,
    pictures: Path,
    params: Path = Path("params.yaml"),
) -> None:
    """Inspect all networks; write `Reading`, ``kernels.png`` and ``grad_cam.png``.

    Raises:
        ParameterError: A parameter is wrong.
        DataError: A file is missing or damaged, or does not belong to the test images.
        IntegrityError: A model is missing, damaged, or of another architecture.
        MachineError: A file cannot be written.
    """
    parameters = read_params(params)
    images, labels = read_split(normalized, "test")
    tables = {
        name: read_predictions(predictions, name, labels) for name in parameters.architectures
    }
    configure(parameters.train.threads)
    networks = {}
    for name, architecture in parameters.architectures.items():
        networks[name] = build_network(architecture, parameters.train.precision)
        load_weights(networks[name], models / f"{name}.keras")
    found = _inspect(parameters.architectures, tables, networks, images)
    write_json(reading, found.model_dump())
    _draw(pictures, networks, images, found)
    failing = found.all_fail
    print(
        f"examine: all of {', '.join(failing.networks)} fail on {failing.images} images", flush=True
    )


def _inspect(
    architectures: Mapping[str, Architecture],
    tables: Mapping[str, pd.DataFrame],
    networks: Mapping[str, keras.Model],
    images: Images,
) -> Reading:
    scores = {name: score_predictions(table) for name, table in tables.items()}
    learned = {name: tables[name] for name, each in scores.items() if each.status == "ok"}
    learned = learned or dict(tables)
    failing = count_failures(learned)["failing"]
    return Reading(
        networks={
            name: NetworkReading(
                **each.model_dump(include={"accuracy", "status", "calibration_error"}),
                reliability=each.reliability,
                parameters=architectures[name].num_parameters,
                flop=architectures[name].flop,
                layers=active_channels(networks[name], images),
            )
            for name, each in scores.items()
        },
        agreement=agreement(tables),
        hardest=[Hard(**each) for each in find_hardest(learned, LISTED)],
        all_fail=AllFail(images=int((failing == len(learned)).sum()), networks=list(learned)),
    )


def _draw(
    folder: Path, networks: Mapping[str, keras.Model], images: Images, found: Reading
) -> None:
    kernels = {name: network.layers[0].get_weights()[0] for name, network in networks.items()}
    write_figure(folder / "kernels.png", draw_first_kernels(kernels))
    hardest = found.hardest[:PICTURED]
    shown = images[[each.index for each in hardest]]
    maps = {name: grad_cam(networks[name], shown) for name in found.all_fail.networks}
    write_figure(folder / "grad_cam.png", draw_attention(shown, maps, hardest))
