"""The stage `replicate`: seeds that differ in nothing else, and nothing that is done twice."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from convdepth import replicate as replicate_module
from convdepth import train as train_module
from convdepth.archive import load_weights
from convdepth.errors import DataError, IntegrityError
from convdepth.images import read_split
from convdepth.network import build_network
from convdepth.params import read_architecture
from convdepth.replicate import main
from convdepth.replicates import read_answers
from epochs import counted_epochs

pytestmark = pytest.mark.usefixtures("one_thread")


def train(params: Path, normalized: Path, folder: Path) -> None:
    train_module.main(
        name="tiny",
        normalized=normalized,
        model=folder / "tiny.keras",
        history=folder / "history.csv",
        checkpoints=folder / "checkpoints",
        params=params,
    )


def replicate(params: Path, normalized: Path, folder: Path, seeds: int = 3) -> dict[str, bytes]:
    main(
        name="tiny",
        seeds=seeds,
        normalized=normalized,
        model=folder / "tiny.keras",
        history=folder / "history.csv",
        summary=folder / "summary.json",
        answers=folder / "answers.csv",
        checkpoints=folder / "replicates",
        params=params,
    )
    return {name: (folder / name).read_bytes() for name in ("summary.json", "answers.csv")}


@pytest.fixture
def folder(tiny_params: Path, normalized: Path, tmp_path: Path) -> Path:
    train(tiny_params, normalized, tmp_path)
    return tmp_path


def answers_of(params: Path, normalized: Path, model: Path) -> np.ndarray:
    network = build_network(read_architecture("tiny", params))
    load_weights(network, model)
    return network.predict(read_split(normalized, "test")[0], verbose=0).argmax(axis=1)


def test_each_seed_is_the_training_that_the_pipeline_would_make(
    tiny_params: Path, normalized: Path, folder: Path
) -> None:
    replicate(tiny_params, normalized, folder)
    runs = json.loads((folder / "summary.json").read_text())["runs"]
    table = read_answers(folder / "answers.csv")
    assert list(table.columns) == ["label", "seed_1", "seed_2", "seed_3"]
    text = tiny_params.read_text()
    for seed, run in zip((1, 2, 3), runs, strict=True):
        alone = folder / f"alone-{seed}"
        tiny_params.write_text(text.replace("  seed: 1\n", f"  seed: {seed}\n"))
        train(tiny_params, normalized, alone)
        expected = answers_of(tiny_params, normalized, alone / "tiny.keras")
        np.testing.assert_array_equal(table[f"seed_{seed}"], expected)
        history = pd.read_csv(alone / "history.csv")
        assert run["seed"] == seed
        assert run["curves"]["val_accuracy"] == history["val_accuracy"].tolist()


def test_the_first_run_is_taken_and_not_trained_again(
    tiny_params: Path, normalized: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    replicate(tiny_params, normalized, folder)
    trained = [line.partition("  ")[0] for line in capsys.readouterr().out.splitlines()]
    assert trained == [*["tiny seed 2"] * 2, *["tiny seed 3"] * 2, trained[-1]]


def test_an_interrupted_stage_goes_on_where_it_was_and_ends_with_the_same_bytes(
    tiny_params: Path,
    normalized: Path,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    expected = replicate(tiny_params, normalized, folder)
    assert not list((folder / "replicates").glob("*/*"))  # nothing stays behind
    with counted_epochs(interrupted=4), pytest.raises(KeyboardInterrupt):
        replicate(tiny_params, normalized, folder)
    capsys.readouterr()
    assert replicate(tiny_params, normalized, folder) == expected
    lines = capsys.readouterr().out.splitlines()
    assert "tiny seed 2  was interrupted, and goes on after epoch 2" in lines
    assert "tiny seed 3  was interrupted, and goes on after epoch 1" in lines
    assert sum("  epoch " in line for line in lines) == 1  # the one that was missing


def test_one_seed_is_the_run_that_is_there(
    tiny_params: Path, normalized: Path, folder: Path
) -> None:
    with counted_epochs() as count:
        replicate(tiny_params, normalized, folder, seeds=1)
    assert count.done == 0
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["count"], summary["accuracy"]["standard_deviation"]) == (1, None)


def test_without_the_pipelines_model_or_history_nothing_is_trained(
    tiny_params: Path, normalized: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(replicate_module, "train_seeds")
    (folder / "history.csv").write_text("epoch\n1\n")
    with pytest.raises(DataError, match=r"history\.csv: is no history of a training"):
        replicate(tiny_params, normalized, folder)
    (folder / "tiny.keras").unlink()
    with pytest.raises(IntegrityError, match=r"tiny\.keras"):
        replicate(tiny_params, normalized, folder)
    assert not (folder / "summary.json").exists()
