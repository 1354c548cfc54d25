"""The formats of `convdepth export`, and the runtime that proves each; read without TensorFlow."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from convdepth.core.errors import MachineError
from convdepth.data.arrays import Images

Answer = Callable[[Images], NDArray[np.float32]]
"""Maps images ``(n, 28, 28, 1)`` to probabilities ``(n, 10)``, in one thread."""


class Format(NamedTuple):
    """A format: Keras's name for it, the ending of its path, the modules it needs, its runtime."""

    keras_name: str
    suffix: str
    modules: tuple[str, ...]
    runtime: str
    load: Callable[[Path], Answer]

    def require_modules(self) -> None:
        """Raise a `MachineError` unless the optional packages are installed."""
        if missing := [name for name in self.modules if find_spec(name) is None]:
            raise MachineError(
                f"export to {self.keras_name}: {' and '.join(missing)} cannot be imported. Run "
                f"`make environment`, or install the extra: `pip install 'convdepth[export]'`."
            )


def _load_onnx(path: Path) -> Answer:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (images,) = session.get_inputs()
    return lambda batch: np.asarray(session.run(None, {images.name: batch})[0])


def _load_litert(path: Path) -> Answer:
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(str(path), num_threads=1).get_signature_runner()
    return lambda batch: np.asarray(*run(images=batch).values())


def _load_saved_model(path: Path) -> Answer:
    from convdepth.models.backend import tf

    loaded = tf.saved_model.load(path)
    return lambda batch: np.asarray(loaded.serve(tf.constant(batch)))


FORMATS = {
    "onnx": Format("onnx", ".onnx", ("tf2onnx", "onnxruntime"), "onnxruntime", _load_onnx),
    "litert": Format("litert", ".tflite", ("ai_edge_litert",), "ai-edge-litert", _load_litert),
    "saved_model": Format("tf_saved_model", ".saved_model", (), "TensorFlow", _load_saved_model),
}
