"""Export: each format's runtime answers as Keras does, or nothing is written."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command_line import run
from drawn import draw_split
from tiny_training import BATCH_NORMALIZATION

from convdepth.cli import app
from convdepth.commands import export_formats
from convdepth.commands.export import export_network
from convdepth.commands.export_formats import FORMATS, Answer
from convdepth.config.architecture import Architecture
from convdepth.config.params import read_architecture
from convdepth.core.errors import ConvdepthError, IntegrityError, MachineError
from convdepth.data.arrays import Pixels, normalize
from convdepth.models.archive import load_network, save_network
from convdepth.models.build import build_network

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def architecture(tiny_params: Path) -> Architecture:
    """A network with every kind of layer."""
    tiny_params.write_text(tiny_params.read_text().replace(*BATCH_NORMALIZATION))
    return read_architecture("tiny", tiny_params)


@pytest.fixture
def model(architecture: Architecture, tmp_path: Path) -> Path:
    network = build_network(architecture, seed=3)
    normalization = network.get_layer("block1_conv1_normalization")
    ranges = {"gamma": (0.5, 2), "beta": (-0.5, 0.5), "mean": (-0.2, 0.2), "variance": (0.5, 2)}
    normalization.set_weights([np.linspace(*each, 8) for each in ranges.values()])
    save_network(network, tmp_path / "tiny.keras")
    return tmp_path / "tiny.keras"


@pytest.mark.parametrize("name", FORMATS)
def test_the_runtime_answers_as_keras_does(
    architecture: Architecture, model: Path, name: str
) -> None:
    pixels, form = draw_split("test")[0], FORMATS[name]
    output = model.parent / "new" / f"tiny{form.suffix}"
    proof = export_network(architecture, model, form, pixels, output)
    assert (proof.images, proof.equal) == (10_000, 10_000)
    assert proof.largest_difference < 1e-5
    files = [output] if output.is_file() else [each for each in output.rglob("*") if each.is_file()]
    assert proof.size == sum(each.stat().st_size for each in files)
    assert [*output.parent.iterdir()] == [output]
    images = normalize(pixels[:20])
    expected = load_network(architecture, model).predict(images, verbose=0)
    assert len(set(expected.argmax(axis=1))) > 1
    for batch in (images, images[:1]):
        np.testing.assert_allclose(form.load(output)(batch), expected[: len(batch)], atol=1e-5)


def one_wrong(answer: Answer) -> Answer:
    """Roll the probabilities of an image that is the last of its batch."""

    def answer_wrongly(images: np.ndarray) -> np.ndarray:
        found = answer(images).copy()
        if np.array_equal(images[-1], normalize(draw_split("test")[0][-1:])[0]):
            found[-1] = np.roll(found[-1], 1)
        return found

    return answer_wrongly


@pytest.mark.parametrize(
    ("count", "change", "equal"),
    [(10_000, one_wrong, "9,999 of 10,000"), (9_999, lambda answer: answer, "9,999 of 9,999")],
)
def test_fewer_equal_answers_than_test_images_are_a_failure(
    architecture: Architecture,
    model: Path,
    count: int,
    change: Callable[[Answer], Answer],
    equal: str,
) -> None:
    pixels: Pixels = draw_split("test")[0][:count]
    form = FORMATS["litert"]
    changed = form._replace(load=lambda path: change(form.load(path)))
    before = set(model.parent.iterdir())
    with pytest.raises(IntegrityError, match=equal) as caught:
        export_network(architecture, model, changed, pixels, model.parent / "tiny.tflite")
    assert caught.value.exit_code == 7
    assert set(model.parent.iterdir()) == before


def test_an_output_that_cannot_be_written_is_named(architecture: Architecture, model: Path) -> None:
    with pytest.raises(MachineError, match=r"tiny\.keras/x: cannot be written"):
        export_network(architecture, model, FORMATS["litert"], draw_split("test")[0], model / "x")


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_formats, "find_spec", lambda name: name == "tf2onnx" or None)
    with pytest.raises(MachineError, match=r"onnxruntime cannot be imported.*export") as caught:
        FORMATS["onnx"].require_modules()
    assert "tf2onnx" not in str(caught.value)
    FORMATS["saved_model"].require_modules()


@pytest.fixture
def project(tmp_path: Path, raw: Path, model: Path) -> Path:
    """A folder with the parameters, a `dvc.lock`, and the files that it names."""
    outs = (
        f"{{train@tiny: {{outs: [{{path: {model.name}}}]}}, download: {{outs: [{{path: {raw}}}]}}}}"
    )
    (tmp_path / "dvc.lock").write_text(f"stages: {outs}")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "change", "code", "message"),
    [
        (["cnn4"], None, 2, "no training of cnn4"),
        (["tiny"], lambda folder: (folder / "tiny.onnx").touch(), 2, "tiny.onnx: exists"),
        (["tiny"], lambda folder: (folder / "tiny.keras").unlink(), 3, "tiny.keras"),
        (
            ["tiny"],
            lambda folder: (folder / "dvc.lock").write_text(
                "stages: {train@tiny: {outs: [{path: tiny.keras}]}}"
            ),
            3,
            "dvc repro download",
        ),
    ],
)
def test_a_mistake_is_found_before_anything_is_computed(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    change: Callable[[Path], object] | None,
    code: int,
    message: str,
) -> None:
    if change:
        change(project)
    monkeypatch.chdir(project)
    with pytest.raises(ConvdepthError, match=message) as caught:
        app(["export", *arguments, "--format", "onnx"], standalone_mode=False)
    assert caught.value.exit_code == code


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["onnx", "litert"])
def test_equal_networks_give_equal_files_in_other_processes(project: Path, name: str) -> None:
    files = []
    for seed in ("1", "2"):
        output = project / f"{seed}{FORMATS[name].suffix}"
        words = ["export", "tiny", "--format", name, "--output", str(output)]
        strict = {"PYTHONHASHSEED": seed, "PYTHONWARNINGS": "error"}
        finished = run(*words, folder=project, **strict)
        assert finished.returncode == 0, finished.stderr
        assert "10,000 of 10,000" in finished.stdout
        files.append(output.read_bytes())
    assert files[0] == files[1]
