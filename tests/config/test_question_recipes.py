"""What the questions of the plan train: the recipe with their changes, and nothing else."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

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


def test_other_seeds_and_few_images_have_the_recipe(params: Path) -> None:
    architecture, recipe = read_training("cnn1", PROJECT / "params.yaml")
    for question in ("recipe", "fresh"):
        assert read(question, "recipe", params) == (architecture, recipe)
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


def test_a_tuned_network_is_trained_as_by_a_recipe_with_its_settings(
    params: Path, tmp_path: Path
) -> None:
    tuned = YAML(typ="safe").load(STUDIES)["tuned"]
    settings = tuned["settings"]["cnn3"]
    recipe = ("learning_rate", "schedule", "weight_decay", "label_smoothing")
    changes = {f"train.{key}": settings[key] for key in recipe}
    changes["train.augmentation"] = {key: settings[key] for key in ("shift", "rotation", "zoom")}
    changes |= {
        "train.epochs": tuned["epochs"],
        "train.precision": "mixed_bfloat16",
        "train.portable": False,  # bfloat16 cannot be portable
        "architectures.cnn3.dropout_scale": settings["dropout_scale"],
    }
    for block in ("block1", "block2", "block3"):
        changes[f"architectures.cnn3.{block}.batch_normalization"] = True
    by_hand = tmp_path / "by_hand.yaml"
    by_hand.write_bytes((PROJECT / "params.yaml").read_bytes())
    edit_yaml(by_hand, changes)
    assert read_recipe("tuned", "tuned", "cnn3", params, STUDIES) == read_training("cnn3", by_hand)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({}, "networks of tuned"),
        ({"cnn3": {"rotation": 0.7}}, "tuned"),
        ({"cnn3": {"dropout_scale": 5}}, r"tuned\.settings\.cnn3\.dropout_scale"),
    ],
)
def test_wrong_settings_are_refused(
    params: Path, tmp_path: Path, settings: dict[str, dict[str, float]], key: str
) -> None:
    studies = tmp_path / "studies.yaml"
    studies.write_bytes(STUDIES.read_bytes())
    known = YAML(typ="safe").load(STUDIES)["tuned"]["settings"]
    changed = {name: known[name] | each for name, each in settings.items()}
    edit_yaml(studies, {"tuned.settings": changed})
    with pytest.raises(ParameterError, match=rf"studies\.yaml: {key}: "):
        read_recipe("tuned", "tuned", "cnn3", params, studies)


@pytest.mark.parametrize(("group", "network"), [("recipe", "cnn7"), ("width", "cnn1")])
def test_another_group_or_network_is_refused(group: str, network: str) -> None:
    with pytest.raises(ParameterError, match=r"of fresh: expected one of .*, got (cnn7|width)"):
        read_recipe("fresh", group, network, PROJECT / "params.yaml", STUDIES)
