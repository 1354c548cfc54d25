"""The networks of the demo: their answers, and where they look."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from convdepth.commands.demo import Compute, NetworkAnswer, encode_png
from convdepth.commands.predict import Prediction, load
from convdepth.data.arrays import Images, Pixels, normalize
from convdepth.data.mnist_form import SIDE, Steps
from convdepth.models.backend import keras
from convdepth.studies.grad_cam import build_grad_cam

ALIKE = 0.01  # largest difference between a collapsed network's probabilities for any pictures
ORANGE = (255, 140, 0)


def load_all(models: Mapping[str, Path]) -> Compute:
    """Load all networks; return the function that asks them."""
    networks = dict(zip(models, load(*models.values()), strict=True))
    probes = np.zeros((4, SIDE, SIDE), np.uint8)  # blank, two bars, and a block
    probes[1, 4:24, 13:15] = probes[2, 13:15, 4:24] = probes[3, 4:24, 4:24] = 255
    spreads = {
        name: np.ptp(_ask(network, normalize(probes)), axis=0).max()
        for name, network in networks.items()
    }
    collapsed = {name for name, spread in spreads.items() if spread < ALIKE}
    maps = {name: build_grad_cam(network) for name, network in networks.items()}
    return partial(_answer, networks, maps, collapsed)


def _ask(network: keras.Sequential, images: Images) -> np.ndarray:
    return np.asarray(network(images, training=False))


def _answer(
    networks: Mapping[str, keras.Sequential],
    maps: Mapping[str, Callable[[Images], np.ndarray]],
    collapsed: set[str],
    steps: Steps,
) -> list[NetworkAnswer]:
    images = normalize(steps.centred[np.newaxis])
    answers = []
    for name, network in networks.items():
        prediction = Prediction(name, _ask(network, images)[0])
        answers.append(
            NetworkAnswer(
                name=name,
                digit=prediction.digits[0],
                probabilities=prediction.rounded,
                unsure=prediction.is_unsure,
                collapsed=name in collapsed,
                attention=encode_png(_overlay(steps.centred, maps[name](images)[0])),
            )
        )
    return answers


def _overlay(digit: Pixels, heat: np.ndarray) -> np.ndarray:
    """Tint the places of high heat, from 0 to 1; return RGB."""
    share = 0.75 * heat[..., np.newaxis]
    return np.rint(digit[..., np.newaxis] * (1 - share) + np.array(ORANGE) * share).astype(np.uint8)
