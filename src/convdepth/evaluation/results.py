"""Result files of the stages: one schema for each, which is both written and read."""

from pathlib import Path

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from convdepth.core.errors import DataError
from convdepth.data.arrays import Labels
from convdepth.evaluation.metrics import Status
from convdepth.evaluation.notebook_record import Loss, Share

HISTORY_COLUMNS = ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
PREDICTION_COLUMNS = ["index", "label", "predicted", "second", "probability", "loss"]


class Result(BaseModel):
    """A part of a result file."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class Mean(Result):
    """A mean over seeds with the standard deviation; None for one seed."""

    mean: float
    standard_deviation: float | None


class Spread(Mean):
    """A mean over seeds with its 95% interval over seeds and images."""

    low: float
    high: float


class Bin(Result):
    """A range of probabilities: their mean, and the share that is right, both 0 to 1."""

    images: int
    probability: Share
    accuracy: Share


class Curves(Result):
    """One value per epoch: losses in nats, accuracies from 0 to 1."""

    loss: list[Loss] = Field(min_length=1)
    accuracy: list[Share] = Field(min_length=1)
    val_loss: list[Loss] = Field(min_length=1)
    val_accuracy: list[Share] = Field(min_length=1)


class SeedRun(Result):
    """One training of several."""

    seed: int
    accuracy: Share
    loss: Loss
    status: Status
    curves: Curves


class Replicates(Result):
    """``replicates/<name>.json``, see `replicates.summarize`."""

    runs: list[SeedRun] = Field(min_length=1)
    collapsed: int
    near_chance: int
    accuracy: Spread
    loss: Mean

    @property
    def count(self) -> int:
        """How many trainings there are."""
        return len(self.runs)

    @property
    def has_learned(self) -> bool:
        """Whether each training has learned something."""
        return not self.collapsed and not self.near_chance


class FirstSeed(Result):
    """What one training of each would have said of a pair."""

    only_first: int
    only_second: int
    p: Share
    corrected_p: Share


class Difference(Result):
    """The accuracy of the second of two less that of the first, -1 to 1; no p of a single seed."""

    difference: float
    low: float
    high: float
    standard_deviation: float | None
    p: Share | None
    corrected_p: Share | None
    verdict: str


class Pair(Difference):
    """How two networks differ."""

    first_seed: FirstSeed


class Contrasts(Result):
    """Each network against each other one."""

    seeds: int
    pairs: dict[str, Pair]


class Gains(Result):
    """What tuning changed: each tuned network less what it was before."""

    networks: dict[str, Difference]


class AllContrasts(Contrasts):
    """What the stage `contrast` wrote: by the recipe, tuned, and what tuning changed."""

    tuned: Contrasts
    gains: Gains


class Cost(Result):
    """What a tuned network costs: FLOP of one image's forward pass, and images trained on."""

    parameters: int
    flop: int
    images: int


class TunedNetwork(Replicates):
    """One network with what a tuning settled, trained with several seeds."""

    settings: dict[str, float | bool | str | None]
    precision: str
    cost: Cost


class TunedNetworks(Result):
    """``tuned/summary.json``, see `tuned.main`."""

    networks: dict[str, TunedNetwork]


class Trial(Result):
    """One training with scaled dropouts: losses in nats, signal and agreement from 0 to 1."""

    seed: int
    prior_loss: Loss
    loss: list[Loss] = Field(min_length=1)
    epochs_to_learn: int | None
    signal: dict[str, Share]
    gradient_norm: dict[str, float]
    agreement: dict[str, Share]


class Point(Result):
    """All trainings of one network at one scale of its dropouts."""

    scale: float
    keep_share: Share
    learned: int
    runs: list[Trial] = Field(min_length=1)
    signal: dict[str, Share]


class Collapse(Result):
    """What the stage `collapse` wrote of one network."""

    points: list[Point] = Field(min_length=1)
    learned: Share
    epochs: int

    def at(self, scale: float) -> Point:
        """Give the point whose scale is nearest to this one."""
        return min(self.points, key=lambda point: abs(point.scale - scale))


class Layer(Result):
    """One layer with a ReLU: how many of its channels are above zero for any test image."""

    layer: str
    channels: int = Field(ge=1)
    active: int = Field(ge=0)

    @property
    def share(self) -> float:
        """The share of the active channels, 0 to 1."""
        return self.active / self.channels


class NetworkReading(Result):
    """How sure one network is, how often it is right, and what in it answers to images."""

    calibration_error: Share
    reliability: list[Bin] = Field(min_length=1)
    layers: list[Layer] = Field(min_length=1)


class Hard(Result):
    """An image that networks get wrong; the answers of those that have learned."""

    index: int
    label: int
    answers: dict[str, int]
    failing: int
    loss: Loss


class AllFail(Result):
    """On how many images all networks fail that have learned."""

    images: int
    networks: list[str]


class Reading(Result):
    """What the stage `examine` wrote."""

    networks: dict[str, NetworkReading]
    agreement: dict[str, Share]
    hardest: list[Hard]
    all_fail: AllFail


class Rule(Result):
    """One rule for the data, and what was found: a number, or how many rows break it."""

    rule: str
    table: str
    observed: float | None = None
    num_broken: int | None = None


class ImageCounts(Result):
    """How many images were checked, those of both splits together."""

    raw: int
    normalized: int


class Validation(Result):
    """What the stage `validate` wrote."""

    images: ImageCounts
    num_rules: int
    success: bool
    rules: list[Rule]


def read_history(folder: Path, name: str) -> pd.DataFrame:
    """Read what a network's training recorded.

    Args:
        folder: With ``<name>.csv``.
        name: The network.

    Returns:
        One row per epoch: epoch, loss and val_loss in nats, accuracy and val_accuracy from 0 to 1.

    Raises:
        DataError: The file is missing or damaged.
    """
    return _read(folder / f"{name}.csv", HISTORY_COLUMNS, f"dvc repro train@{name}")


def read_predictions(folder: Path, name: str, labels: Labels) -> pd.DataFrame:
    """Read a network's predictions, and see that they are for these test images.

    Args:
        folder: With ``<name>.csv``.
        name: The network.
        labels: ``(n,)``, uint8, 0 to 9, of the test images.

    Returns:
        One row per test image: index, label, predicted, probability, loss.

    Raises:
        DataError: The file is missing, damaged, or has other labels.
    """
    path, command = folder / f"{name}.csv", f"dvc repro evaluate@{name}"
    table = _read(path, PREDICTION_COLUMNS, command)
    if table["label"].tolist() != labels.tolist():
        raise DataError(
            f"{path}: expected the labels of the {len(labels)} test images in their order, got "
            f"{len(table)} rows with others. Run `{command}`."
        )
    return table


def _read(path: Path, columns: list[str], command: str) -> pd.DataFrame:
    if not path.is_file():
        raise DataError(f"{path}: there is no such file. Run `{command}`.")
    try:
        return pd.read_csv(path)[columns]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{path}: expected the columns {', '.join(columns)}: {error}. Run `{command}`."
        ) from error
