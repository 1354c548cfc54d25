"""The questions of ``studies/PLAN.md`` in ``studies/params.yaml``, and what each of them trains.

A question trains each network of each group with each seed. Groups are what stays equal over the
depths (``depth``), numbers of epochs (``epochs``) or of training images (``images``); ``tuned`` has
the single group ``tuned``, and the other questions have ``recipe``.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar

from pydantic import AfterValidator, ConfigDict, Field

from convdepth.config.architecture import Architecture, Strict, require_scale
from convdepth.config.dataset import NUM_CLASSES, SPLIT_SIZES
from convdepth.config.depth import Arm, Design, depth_architecture
from convdepth.config.recipe import (
    Precision,
    Train,
    effective_architecture,
    read_section,
    read_training,
)
from convdepth.config.tuned_settings import Seeds, Settings, Tuned, all_different, apply
from convdepth.core.errors import ParameterError

TrainedQuestion = Literal["recipe", "tuned", "depth", "fresh", "epochs", "shared", "images"]
"""Questions with trainings of their own."""

AnsweredQuestion = Literal["recipe", "tuned", "depth", "fresh", "shared", "corrupted", "images"]
"""Questions with verdicts; ``corrupted`` judges the trainings of ``shared`` again."""

Name = TrainedQuestion | AnsweredQuestion

Group = TypeVar("Group")
Network = TypeVar("Network")

Count = Annotated[int, Field(ge=1)]
Blocks = Annotated[int, Field(ge=1, le=64)]
Images = Annotated[int, Field(ge=NUM_CLASSES, le=SPLIT_SIZES["train"])]


def _require_name(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{,39}", text):  # DVC puts it into commands
        raise ValueError(f"expected the name of a network, got {text[:40]!r}")
    return text


NetworkName = Annotated[str, AfterValidator(_require_name)]
"""It need not be in ``params.yaml``: there networks are removed without a thought of studies."""


class Question(Strict, Generic[Group, Network]):
    """Trainings of each network of each group with each seed."""

    groups: Annotated[list[Group], Field(min_length=1), AfterValidator(all_different)]
    networks: Annotated[list[Network], Field(min_length=2), AfterValidator(all_different)]
    seeds: Seeds


class Depth(Question[Arm, Blocks]):
    """Networks that differ in depth alone: groups are arms, networks are numbers of blocks."""

    design: Design


class SharedRecipe(Strict):
    """One recipe for all networks: ``train`` of ``params.yaml`` with these changes.

    The stage `epochs` chooses the number of epochs.
    """

    precision: Precision
    settings: Settings


class Shared(Question[Literal["recipe"], NetworkName]):
    """All networks by one recipe."""

    recipe: SharedRecipe


class Epochs(Question[Count, NetworkName]):
    """How many epochs the shared recipe should have: held-out images decide."""

    validation_images: int = Field(ge=NUM_CLASSES, lt=SPLIT_SIZES["train"])


Fresh = Question[Literal["recipe"], NetworkName]
TrainingImages = Question[Images, NetworkName]


class Seeded(Strict):
    """All networks of ``params.yaml``, by its recipe."""

    seeds: Seeds


KINDS: Mapping[str, type[Strict]] = {
    "recipe": Seeded,
    "tuned": Tuned,
    "depth": Depth,
    "fresh": Fresh,
    "epochs": Epochs,
    "shared": Shared,
    "images": TrainingImages,
}
"""The schema of each question's section."""


class Plan(NamedTuple):
    """What a question trains; numbers of blocks are in ascending order."""

    groups: list[str]
    networks: list[str]
    seeds: list[int]


class _Names(Strict):
    """The architectures of ``params.yaml``, unread."""

    model_config = ConfigDict(extra="allow")


def read_plan(question: Name, studies: Path, params: Path = Path("params.yaml")) -> Plan:
    """Return groups, networks and seeds of a question."""
    section = "shared" if question == "corrupted" else question
    planned: Any = read_section(studies, (section,), KINDS[section])
    if question == "recipe":
        names = read_section(params, ("architectures",), _Names).model_extra or ()
        return Plan(["recipe"], list(names), planned.seeds)
    if question == "tuned":
        return Plan(["tuned"], list(planned.settings), planned.seeds)
    networks = sorted(planned.networks) if question == "depth" else planned.networks
    return Plan(
        [str(each) for each in planned.groups], [str(each) for each in networks], planned.seeds
    )


def read_recipe(
    question: Name, group: str, network: str, params: Path, studies: Path
) -> tuple[Architecture, Train]:
    """Return the architecture and the recipe of one group and network of a question.

    The epochs of ``shared`` are not chosen yet, see `questions.choose_epochs`.
    """
    plan = read_plan(question, studies, params)
    for key, found in (("groups", group), ("networks", network)):
        known = getattr(plan, key)
        if found not in known:
            raise ParameterError(
                f"{studies}: {key} of {question}: expected one of {', '.join(known) or 'none'}, "
                f"got {found}. Name one of these, or add it."
            )
    recipe = read_section(params, ("train",), Train)
    recipe = recipe.model_copy(update={"validation_images": 0, "images": None})
    if question == "depth":
        design = read_section(studies, ("depth", "design"), Design)
        recipe = recipe.with_precision(design.precision)
        architecture = depth_architecture(design, group, int(network))
        return (
            effective_architecture(architecture, recipe),
            recipe.model_copy(update={"epochs": design.epochs}),
        )
    architecture, _ = read_training(network, params)
    if question == "images":
        return architecture, recipe.model_copy(update={"images": int(group)})
    if question in ("recipe", "fresh"):
        return architecture, recipe
    key, settings, changed = _change(question, group, network, recipe, studies)
    require_scale(f"{studies}: {key}.dropout_scale", network, architecture, settings.dropout_scale)
    return apply(settings, architecture, changed)


def _change(
    question: Name, group: str, network: str, recipe: Train, studies: Path
) -> tuple[str, Settings, Train]:
    """Return settings with their key, and the recipe with precision, epochs and held-out images."""
    if question == "tuned":
        tuned = read_section(studies, ("tuned",), Tuned)
        changed = recipe.with_precision(tuned.precision)
        changed = changed.model_copy(update={"epochs": tuned.epochs})
        return f"tuned.settings.{network}", tuned.settings[network], changed
    shared = read_section(studies, ("shared", "recipe"), SharedRecipe)
    changed = recipe.with_precision(shared.precision)
    if question == "epochs":
        held_out = read_section(studies, ("epochs",), Epochs).validation_images
        changed = changed.model_copy(update={"epochs": int(group), "validation_images": held_out})
    return "shared.recipe.settings", shared.settings, changed
