"""A trained network in another format, published only if the format's runtime answers equally."""

import tempfile
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from convdepth.commands.export_formats import Answer, Format
from convdepth.config.architecture import Architecture
from convdepth.config.dataset import SPLIT_SIZES
from convdepth.core.errors import IntegrityError, MachineError
from convdepth.data.arrays import Images, Pixels, normalize
from convdepth.models.archive import load_network
from convdepth.models.backend import EVALUATION_BATCH_SIZE, configure, keras, tf


class Proof(NamedTuple):
    """How the answers of an exported network compare with Keras's, and its size in bytes."""

    images: int
    equal: int
    largest_difference: float
    size: int

    def describe(self, runtime: str) -> str:
        """Say it in one line."""
        return (
            f"{runtime} gives {self.equal:,} of {self.images:,} answers as Keras does; "
            f"probabilities differ by at most {self.largest_difference:.2g}"
        )


def export_network(
    architecture: Architecture, model: Path, form: Format, pixels: Pixels, output: Path
) -> Proof:
    """Write a network in a format, if its runtime answers the whole test set as Keras does.

    Both compute in float32 on the CPU. Fewer equal answers than MNIST has test images are an
    `IntegrityError`, and nothing is written.
    """
    tf.config.set_visible_devices([], "GPU")  # its TF32 has three digits
    configure(threads=1)
    network, images = load_network(architecture, model), normalize(pixels)
    expected = network.predict(images, batch_size=EVALUATION_BATCH_SIZE, verbose=0)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=output.parent) as folder:
            exported = Path(folder) / f"network{form.suffix}"
            write_network(network, form, exported)
            proof = _compare(form.load(exported), images, expected, exported)
            if proof.equal < SPLIT_SIZES["test"]:
                raise IntegrityError(
                    f"{model}: {proof.describe(form.runtime)}. Expected "
                    f"{SPLIT_SIZES['test']:,} equal answers, so {output} was not written. Install "
                    f"the versions of the lock with `make environment`, or choose another format."
                )
            exported.rename(output)
    except OSError as error:
        raise MachineError(
            f"{output}: cannot be written: {error.strerror or error}. Free space or fix the "
            f"permissions of {output.parent}, then run again."
        ) from error
    return proof


def write_network(network: keras.Model, form: Format, path: Path) -> None:
    """Write a network that was called once; the path ends in the format's suffix."""
    with warnings.catch_warnings():  # of Keras's repair of tf2onnx for NumPy 2
        warnings.filterwarnings("ignore", r"In the future `np\.object`", FutureWarning)
        network.export(path, format=form.keras_name, verbose=False)
    form.finish(path)


def _compare(
    answer: Answer, images: Images, expected: NDArray[np.float32], exported: Path
) -> Proof:
    starts = range(0, len(images), EVALUATION_BATCH_SIZE)
    files = (exported, *exported.rglob("*"))
    found = np.concatenate([answer(images[i : i + EVALUATION_BATCH_SIZE]) for i in starts])
    return Proof(
        images=len(images),
        equal=int((found.argmax(axis=1) == expected.argmax(axis=1)).sum()),
        largest_difference=float(np.abs(found - expected).max()),
        size=sum(each.stat().st_size for each in files if each.is_file()),
    )
