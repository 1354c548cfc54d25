"""The stage `examine`: calibration, hard images, dead channels, kernels and Grad-CAM.

An image is hard if the networks that have learned fail on it; all networks if none has learned.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from convdepth.config.architecture import Architecture
from convdepth.config.params import read_params
from convdepth.core.files import write_json
from convdepth.data.arrays import Images, read_split
from convdepth.evaluation import results
from convdepth.evaluation.metrics import rank_failures, score_training
from convdepth.figures.inspection import draw_attention, draw_first_kernels
from convdepth.figures.style import write_figure
from convdepth.models.archive import load_network
from convdepth.models.backend import EVALUATION_BATCH_SIZE, configure, keras
from convdepth.studies.grad_cam import grad_cam, rectified_layers

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
    """Inspect all networks; write `Reading`, ``kernels.png`` and ``grad_cam.png``."""
    parameters = read_params(params)
    architectures = parameters.architectures
    images, labels = read_split(normalized, "test")
    tables = {name: results.read_predictions(predictions, name, labels) for name in architectures}
    recipe = parameters.train
    configure(recipe.threads, portable=recipe.portable)
    networks = {}
    for name, architecture in architectures.items():
        path = models / f"{name}.keras"
        networks[name] = load_network(architecture, path, recipe.precision)
    found = _inspect(architectures, tables, networks, images)
    write_json(reading, found.model_dump())
    kernels = {name: network.layers[0].get_weights()[0] for name, network in networks.items()}
    write_figure(pictures / "kernels.png", draw_first_kernels(kernels))
    failing, hardest = found.all_fail, found.hardest[:PICTURED]
    shown = images[[each.index for each in hardest]]
    maps = {name: grad_cam(networks[name], shown) for name in failing.networks}
    write_figure(pictures / "grad_cam.png", draw_attention(shown, maps, hardest))
    print(
        f"examine: all of {', '.join(failing.networks)} fail on {failing.images} images", flush=True
    )


def _inspect(
    architectures: Mapping[str, Architecture],
    tables: Mapping[str, pd.DataFrame],
    networks: Mapping[str, keras.Model],
    images: Images,
) -> results.Reading:
    scores = {name: score_training(table) for name, table in tables.items()}
    learned = {name: tables[name] for name, each in scores.items() if each.status == "ok"}
    learned = learned or dict(tables)
    failed = rank_failures(learned)
    hardest = failed.head(LISTED).to_dict("records")
    return results.Reading(
        networks={
            name: results.NetworkReading(
                **each.model_dump(include={"accuracy", "status", "calibration_error"}),
                reliability=each.reliability,
                parameters=architectures[name].num_parameters,
                flop=architectures[name].flop,
                layers=active_channels(networks[name], images),
            )
            for name, each in scores.items()
        },
        hardest=[results.Hard.model_validate(each) for each in hardest],
        all_fail=results.AllFail(
            images=int((failed["failing"] == len(learned)).sum()), networks=list(learned)
        ),
    )


def active_channels(network: keras.Sequential, images: Images) -> list[results.Layer]:
    """Count the channels above zero in at least one image, for each layer with a ReLU.

    No gradient flows back through a dead channel, nor beyond a layer whose channels are all dead.
    """
    layers = rectified_layers(network)
    highest = [
        keras.ops.max(layer.output, axis=tuple(range(1, len(layer.output.shape) - 1)))
        for layer in layers
    ]
    model = keras.Model(network.inputs, highest)
    values = model.predict(images, batch_size=EVALUATION_BATCH_SIZE, verbose=0)
    return [
        results.Layer(
            layer=layer.name.removesuffix("_relu"),
            channels=each.shape[-1],
            active=int((each > 0).any(axis=0).sum()),
        )
        for layer, each in zip(layers, values, strict=True)
    ]
