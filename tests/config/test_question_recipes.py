"""What the questions of the plan train: the recipe with their changes, and nothing else."""

from pathlib import Path

import pytest

from conftest import PROJECT
from convdepth.config.architecture import Architecture
from convdepth.config.questions import Name, read_recipe
from convdepth.config.recipe import Train, read_training
from convdepth.core.errors import ParameterError
from project import edit_yaml

STUDIES = PROJECT / "studies" / "params.yaml"


@pytest.fixture
def params(tmp_path: Path) -> Path:
    """Parameters that hold out images and train on few, which no question takes over."""
    path = tmp_path / "params.yaml"
    path.write_bytes((PROJECT / "params.yaml").read_bytes())
    edit_yaml(path, {"train.validation_images": 100, "train.images": 50})
    return path


def read(question: Name, group: str, params: Path) -> tuple[Architecture, Train]:
    return read_recipe(question, group, "cnn1", params, STUDIES)


def test_fresh_seeds_and_few_images_have_the_recipe(params: Path) -> None:
    architecture, recipe = read_training("cnn1", PROJECT / "params.yaml")
    assert read("fresh", "recipe", params) == (architecture, recipe)
    few = recipe.model_copy(update={"images": 600})
    assert read("images", "600", params) == (architecture, few)


def test_the_shared_recipe_has_batch_normalization_and_the_given_settings(params: Path) -> None:
    architecture, recipe = read("shared", "recipe", params)
    assert {block.batch_normalization for block in architecture.blocks.values()} == {True}
    assert (architecture.dropout_scale, recipe.learning_rate) == (0.25, 0.003)
    assert (recipe.augmentation.zoom, recipe.schedule, recipe.portable) == (0.1, "one_cycle", False)
    assert (recipe.validation_images, recipe.images) == (0, None)
    assert read("corrupted", "recipe", params) == (architecture, recipe)
    held_out = recipe.model_copy(update={"epochs": 40, "validation_images": 9000})
    assert read("epochs", "40", params) == (architecture, held_out)


@pytest.mark.parametrize(("group", "network"), [("recipe", "cnn7"), ("width", "cnn1")])
def test_another_group_or_network_is_refused(group: str, network: str) -> None:
    with pytest.raises(ParameterError, match=r"of fresh: expected one of .*, got (cnn7|width)"):
        read_recipe("fresh", group, network, PROJECT / "params.yaml", STUDIES)
