"""The networks of the study of depth: properties that are equal at each depth, and that vary."""

from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from conftest import PROJECT
from convdepth.config.architecture import Architecture, walk
from convdepth.config.depth import Arm, depth_architecture
from convdepth.config.questions import Depth, read_recipe
from convdepth.config.recipe import read_section

PARAMS, STUDIES = PROJECT / "params.yaml", PROJECT / "studies" / "params.yaml"
STUDY = read_section(STUDIES, ("depth",), Depth)
ARMS: tuple[Arm, ...] = get_args(Arm)


def networks(arm: Arm) -> list[Architecture]:
    return [depth_architecture(STUDY.design, arm, blocks) for blocks in sorted(STUDY.networks)]


@pytest.mark.parametrize("arm", ARMS)
def test_the_networks_of_an_arm_differ_in_depth_alone(arm: Arm) -> None:
    found = networks(arm)
    assert [len(network.blocks) for network in found] == sorted(STUDY.networks)
    flat = [next(it for it in walk(network) if it.name == "flatten") for network in found]
    filters = [network.blocks["block1"].convolutions["conv1"].filters for network in found]
    assert [each.output_shape[0] / 49 for each in flat] == filters
    assert all(network.head == found[0].head for network in found)
    blocks = [block for network in found for block in network.blocks.values()]
    assert {block.batch_normalization for block in blocks} == {arm.endswith("normalized")}
    assert all(block.dropout is None for block in blocks)
    kernels = {
        (each.kernel_size, each.padding) for block in blocks for each in block.convolutions.values()
    }
    assert kernels == {(3, "same")}
    if arm.startswith("width"):
        assert set(filters) == {STUDY.design.filters}
    else:
        assert filters == sorted(filters, reverse=True)


@pytest.mark.parametrize("arm", [arm for arm in ARMS if arm.startswith("size")])
def test_the_arms_of_the_same_size_have_the_parameters_of_the_reference(arm: Arm) -> None:
    wide: Arm = "width-normalized" if arm.endswith("normalized") else "width"
    size = depth_architecture(STUDY.design, wide, STUDY.design.reference).num_parameters
    for network in networks(arm):
        assert network.num_parameters == pytest.approx(size, rel=0.04)


def test_the_recipe_is_that_of_the_notebook_on_all_images() -> None:
    _, recipe = read_recipe("depth", "width", "3", PARAMS, STUDIES)
    assert (recipe.epochs, recipe.learning_rate, recipe.validation_images) == (12, 0.001, 0)
    assert (recipe.precision, recipe.portable) == ("mixed_bfloat16", False)


def test_the_recipe_scales_the_dropout_as_for_all_networks(tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    params.write_text(PARAMS.read_text().replace("dropout_scale: 1 ", "dropout_scale: 0.5 "))
    network, _ = read_recipe("depth", "width", "3", params, STUDIES)
    assert network.dropout_scale == 0.5


@pytest.mark.parametrize(
    "change",
    [
        {"networks": [1, 1]},
        {"networks": [3]},
        {"groups": ["width", "width"]},
        {"groups": ["wide"]},
        {"seeds": [1, 1]},
    ],
)
def test_equal_values_and_a_single_depth_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Depth.model_validate(STUDY.model_dump() | change)
