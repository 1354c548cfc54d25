"""The stage `plot`: its inputs, refused or drawn, and its outputs."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from study_inputs import edit

from conftest import SECOND
from convdepth.config.dataset import NUM_CLASSES
from convdepth.config.params import read_params
from convdepth.core.errors import DataError, IntegrityError
from convdepth.data.arrays import Labels, read_split
from convdepth.evaluation.results import HISTORY_COLUMNS
from convdepth.figures import plot
from convdepth.figures.inputs import Inputs
from convdepth.figures.style import COLORS
from convdepth.models.archive import save_network
from convdepth.models.build import build_network

pytestmark = pytest.mark.usefixtures("one_thread")

NAMES = ["tiny", "cnn9"]


def run(folder: Path, normalized: Path) -> None:
    plot.main(
        normalized=normalized,
        models=folder / "models",
        histories=folder / "histories",
        predictions=folder / "predictions",
        notebook=folder / "notebook.json",
        figures=folder / "figures",
        tables=folder / "tables",
        params=folder / "params.yaml",
    )


@pytest.fixture
def folder(tmp_path: Path, tiny_params: Path, normalized: Path) -> Path:
    """Results of two networks: `tiny`, which the notebook has here, and `cnn9`, which it has not.

    `tiny` is wrong in every tenth image, and `cnn9` has collapsed.
    """
    tiny_params.write_text(tiny_params.read_text() + SECOND)
    _, labels = read_split(normalized, "test")
    for name, architecture in read_params(tiny_params).architectures.items():
        save_network(build_network(architecture), tmp_path / "models" / f"{name}.keras")
    for name, predictions in zip(NAMES, [mostly_right(labels), collapsed(labels)], strict=True):
        write_csv(tmp_path / "histories" / f"{name}.csv", make_history())
        write_csv(tmp_path / "predictions" / f"{name}.csv", predictions)
    write_notebook(tmp_path / "notebook.json")
    return tmp_path


def make_history() -> pd.DataFrame:
    rows = [[1, 0.5, 0.85, 0.25, 0.93], [2, 0.25, 0.925, 1 / 8, 0.9654321]]
    return pd.DataFrame(rows, columns=HISTORY_COLUMNS)


def mostly_right(labels: Labels) -> pd.DataFrame:
    index = np.arange(len(labels))
    predicted = np.where(index % 10 == 0, (labels + 1) % NUM_CLASSES, labels)
    table = {"index": index, "label": labels, "predicted": predicted, "second": 0}
    return pd.DataFrame(table | {"probability": 0.9, "loss": 0.3})


def collapsed(labels: Labels) -> pd.DataFrame:
    return mostly_right(labels).assign(predicted=1, probability=0.1124, loss=2.301)


def write_csv(path: Path, table: pd.DataFrame) -> None:
    path.parent.mkdir(exist_ok=True)
    table.to_csv(path, index=False, float_format="%.6f")


def write_notebook(path: Path) -> None:
    epoch = {"epoch": 1, "loss": 0.4, "accuracy": 0.9, "val_loss": 0.2, "val_accuracy": 0.95}
    record = {
        "parameters": 1,
        "test_accuracy": 0.95,
        "test_loss": 0.2,
        "claimed_accuracy": 0.96,
        "claimed_loss": 0.1,
        "epochs": [epoch],
    }
    path.write_text(json.dumps({"tiny": record}))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Inputs]:
    """What the stage would draw, without the time that drawing takes."""
    drawn: list[Inputs] = []
    monkeypatch.setattr(plot, "FIGURES", {"figure": drawn.append})
    monkeypatch.setattr(plot, "write_figure", lambda *_: None)
    return drawn


def test_all_figures_and_tables_are_written_and_a_second_run_changes_no_byte(
    folder: Path, normalized: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = []
    for _ in range(2):
        run(folder, normalized)
        paths = sorted([*(folder / "figures").iterdir(), *(folder / "tables").iterdir()])
        runs.append({path.name: path.read_bytes() for path in paths})
    figures = sorted(f"{name}.png" for name in plot.FIGURES)
    assert list(runs[0]) == [*figures, "confusion.csv", "curves.csv"]
    assert runs[0] == runs[1]
    printed = capsys.readouterr().out
    assert all(printed.count(str(folder / "figures" / name)) == 2 for name in figures)


@pytest.mark.usefixtures("drawn")
def test_the_tables_are_long_with_one_row_per_epoch_and_per_pair_of_digits(
    folder: Path, normalized: Path
) -> None:
    run(folder, normalized)
    lines = (folder / "tables" / "curves.csv").read_bytes().decode().split("\n")
    assert lines[0] == "network,epoch,loss,accuracy,val_loss,val_accuracy"
    assert lines[2] == "tiny,2,0.250000,0.925000,0.125000,0.965432"
    assert [line.split(",")[:2] for line in lines[3:5]] == [["cnn9", "1"], ["cnn9", "2"]]
    assert lines[5:] == [""]
    table = pd.read_csv(folder / "tables" / "confusion.csv")
    assert list(table.columns) == ["network", "label", "predicted", "count"]
    assert table.groupby("network").size().to_dict() == {"tiny": 100, "cnn9": 100}
    predictions = pd.read_csv(folder / "predictions" / "tiny.csv")
    counts = predictions.value_counts(["label", "predicted"])
    for row in table[table["network"] == "tiny"].itertuples():
        assert row.count == counts.get((row.label, row.predicted), 0)


@pytest.mark.parametrize(("held_out", "name"), [(0, "test"), (500, "validation")])
def test_the_networks_are_those_of_the_parameters_with_all_their_results(
    held_out: int, name: str, folder: Path, normalized: Path, drawn: list[Inputs]
) -> None:
    write_csv(folder / "histories" / "stale.csv", make_history())
    params = folder / "params.yaml"
    edit(params, {"train.validation_images": held_out})
    run(folder, normalized)
    assert drawn[0].validation_name == name
    tiny, other = drawn[0].networks
    assert [tiny.name, other.name] == NAMES
    assert [tiny.num_blocks, other.num_blocks] == [1, 2]
    assert [tiny.color, other.color] == list(COLORS[:2])
    assert (tiny.trouble, tiny.score.accuracy) == ("", 0.9)
    assert other.trouble == "collapsed: always answers 1"
    assert tiny.record is not None
    assert (tiny.record.test_accuracy, tiny.record.claimed_accuracy) == (0.95, 0.96)
    assert other.record is None
    kernels = other.kernels
    assert list(kernels) == ["block1_conv1", "block2_conv1", "head_dense", "softmax"]
    assert kernels["block1_conv1"].shape == (3, 3, 1, 4)
    network = build_network(read_params(params).architectures["cnn9"])
    np.testing.assert_array_equal(kernels["head_dense"], network.get_layer("head_dense").kernel)


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("histories/cnn9.csv", "dvc repro train@cnn9"),
        ("predictions/cnn9.csv", "dvc repro evaluate@cnn9"),
        ("models/cnn9.keras", "dvc repro train@cnn9"),
        ("notebook.json", "git checkout"),
    ],
)
def test_a_missing_file_is_named_with_the_command_that_writes_it(
    file: str, command: str, folder: Path, normalized: Path
) -> None:
    (folder / file).unlink()
    with pytest.raises(DataError) as caught:
        run(folder, normalized)
    assert str(folder / file) in str(caught.value)
    assert command in str(caught.value)
    assert not (folder / "figures").exists()


@pytest.mark.parametrize(
    "damage",
    [
        *(lambda _text, new=new: new for new in (b"", b"epoch,loss\n1,0.5\n", b"\xff\xfe\x00")),
        lambda text: text + b'"1,2\n',
        lambda text: text.partition(b"\n")[0],
        lambda text: text.replace(b"0.", b"O.", 1),
        lambda text: text.replace(b"0.", b"-inf", 1),
    ],
)
@pytest.mark.parametrize("kind", ["histories", "predictions"])
def test_a_damaged_table_is_named(
    kind: str, damage: Callable[[bytes], bytes], folder: Path, normalized: Path
) -> None:
    path = folder / kind / "tiny.csv"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=rf"{kind}/tiny\.csv: .*@tiny"):
        run(folder, normalized)


@pytest.mark.parametrize("damage", ["rows", "labels"])
def test_predictions_for_other_images_are_refused(
    damage: str, folder: Path, normalized: Path
) -> None:
    path = folder / "predictions" / "tiny.csv"
    table = pd.read_csv(path)
    if damage == "rows":
        table = table.head(1999)
    else:
        table.loc[7, "label"] = (table.loc[7, "label"] + 1) % NUM_CLASSES
    write_csv(path, table)
    with pytest.raises(DataError, match=r"tiny\.csv: label: .*evaluate@tiny"):
        run(folder, normalized)


def test_a_model_of_another_architecture_is_refused(folder: Path, normalized: Path) -> None:
    models = folder / "models"
    (models / "tiny.keras").write_bytes((models / "cnn9.keras").read_bytes())
    with pytest.raises(IntegrityError, match=r"tiny\.keras"):
        run(folder, normalized)
