"""The stage `plot`: its inputs, refused or drawn, and its outputs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_inputs import make_network, make_predictions, make_record

from conftest import SECOND
from convdepth.config.params import read_params
from convdepth.core.errors import DataError, IntegrityError
from convdepth.core.files import write_csv, write_json
from convdepth.data.arrays import read_split
from convdepth.figures import plot
from convdepth.figures.inputs import Inputs
from convdepth.figures.palette import assign_colors
from convdepth.models.archive import save_network
from convdepth.models.build import build_network
from project import edit_yaml

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def paths(tmp_path: Path, tiny_params: Path, normalized: Path) -> dict[str, Path]:
    """The stage's arguments: `tiny` is right in 90% and in the notebook; `cnn9` has collapsed."""
    tiny_params.write_text(tiny_params.read_text() + SECOND)
    results = {"tiny": {"accuracies": [0.9]}, "cnn9": {"accuracies": [0.1135], "collapsed": True}}
    inputs = {name: tmp_path / name for name in ("models", "histories", "predictions")}
    inputs |= {
        "normalized": normalized,
        "params": tiny_params,
        "notebook": tmp_path / "notebook.json",
    }
    labels = read_split(normalized, "test")[1]
    for name, architecture in read_params(tiny_params).architectures.items():
        made = make_network(name, 0, architecture, **results[name])
        history = pd.DataFrame({"epoch": [1, 2, 3]} | made.curves.model_dump())
        write_csv(inputs["histories"] / f"{name}.csv", history)
        write_csv(inputs["predictions"] / f"{name}.csv", make_predictions(made, labels))
        save_network(build_network(architecture), inputs["models"] / f"{name}.keras")
    write_json(inputs["notebook"], {"tiny": make_record(0.95, 0.96)})
    outputs = {name: tmp_path / "drawn" / name for name in ("figures", "tables")}
    return inputs | outputs


def test_figures_and_tables(paths: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    runs = []
    for _ in range(2):
        plot.main(**paths)
        files = sorted([*paths["figures"].iterdir(), *paths["tables"].iterdir()])
        runs.append({path.name: path.read_bytes() for path in files})
    figures = sorted(f"{name}.png" for name in plot.FIGURES)
    assert list(runs[0]) == [*figures, "confusion.csv", "curves.csv", "models.csv", "scores.csv"]
    assert runs[0] == runs[1]
    printed = capsys.readouterr().out
    assert all(printed.count(str(paths["figures"] / name)) == 2 for name in figures)
    lines = runs[0]["curves.csv"].decode().split("\n")
    assert lines[0] == "network,epoch,loss,accuracy,val_loss,val_accuracy,evaluated_on,color"
    color = assign_colors(["tiny", "cnn9"])["tiny"]
    assert lines[2] == f"tiny,2,0.300000,0.900000,0.200000,0.900000,test images,{color}"
    assert [line.split(",")[:2] for line in lines[4:6]] == [["cnn9", "1"], ["cnn9", "2"]]
    table = pd.read_csv(paths["tables"] / "confusion.csv")
    assert list(table.columns) == ["network", "label", "predicted", "count"]
    assert table.groupby("network").size().to_dict() == {"tiny": 100, "cnn9": 100}
    scores = pd.read_csv(paths["tables"] / "scores.csv").set_index("network")
    assert scores["status"].to_dict() == {"tiny": "ok", "cnn9": "collapsed"}
    counts = pd.read_csv(paths["predictions"] / "tiny.csv").value_counts(["label", "predicted"])
    for row in table[table["network"] == "tiny"].itertuples():
        assert row.count == counts.get((row.label, row.predicted), 0)


def test_networks_with_all_results(paths: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    (paths["histories"] / "stale.csv").write_text("stale")
    edit_yaml(paths["params"], {"train.validation_images": 500})
    drawn: list[Inputs] = []
    monkeypatch.setattr(plot, "FIGURES", {"figure": drawn.append})
    monkeypatch.setattr(plot, "write_figure", lambda *_: None)
    plot.main(**paths)
    (found,) = drawn
    assert found.validation_name == "validation"
    tiny, other = found.networks
    assert [tiny.name, other.name] == ["tiny", "cnn9"]
    assert [tiny.num_blocks, other.num_blocks] == [1, 2]
    assert {"tiny": tiny.color, "cnn9": other.color} == assign_colors(["cnn9", "tiny"])
    assert (tiny.trouble, tiny.score.accuracy) == ("", 0.9)
    assert other.trouble == "collapsed: always answers 1"
    assert tiny.record is not None
    assert (tiny.record.test_accuracy, tiny.record.claimed_accuracy) == (0.95, 0.96)
    assert other.record is None
    assert list(other.kernels) == ["block1_conv1", "block2_conv1", "head_dense", "softmax"]
    network = build_network(read_params(paths["params"]).architectures["cnn9"])
    for layer, kernel in other.kernels.items():
        np.testing.assert_array_equal(kernel, network.get_layer(layer).kernel)


Change = Callable[[bytes], bytes | None]
"""Gives the new content of a file; None removes it."""


def remove(_: bytes) -> None:
    return None


def drop_last_row(text: bytes) -> bytes:
    return text[: text.rstrip().rindex(b"\n") + 1]


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("histories/tiny.csv", remove, "dvc repro train@tiny"),
        ("predictions/tiny.csv", lambda _: b"\xff\xfe\x00", "dvc repro evaluate@tiny"),
        ("predictions/tiny.csv", drop_last_row, "label: .*dvc repro evaluate@tiny"),
        ("models/tiny.keras", remove, "dvc repro train@tiny"),
        ("models/tiny.keras", drop_last_row, "dvc repro --force"),
        ("notebook.json", remove, "git checkout"),
    ],
)
def test_a_missing_or_damaged_file_is_named_with_the_command_that_writes_it(
    file: str, change: Change, message: str, paths: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / file
    content = change(path.read_bytes())
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    kind = IntegrityError if file.endswith(".keras") and content else DataError
    with pytest.raises(kind, match=rf"{file}: .*{message}"):
        plot.main(**paths)
    assert not paths["figures"].exists()
