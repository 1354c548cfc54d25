"""The formats of `convdepth export`, and the runtime that proves each; read without TensorFlow."""

import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from convdepth.core.errors import MachineError
from convdepth.data.arrays import Images

OUTPUT = "probabilities"  # the name of an ONNX model's output
Answer = Callable[[Images], NDArray[np.float32]]
"""Maps images ``(n, 28, 28, 1)`` to probabilities ``(n, 10)``, in one thread."""


class Format(NamedTuple):
    """A format: Keras's name for it, the ending of its path, the modules it needs, its runtime.

    `load` starts the runtime; `finish` changes what Keras has written.
    """

    keras_name: str
    suffix: str
    modules: tuple[str, ...]
    runtime: str
    load: Callable[[Path], Answer]
    finish: Callable[[Path], None] = lambda _path: None

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
    return lambda batch: np.asarray(session.run([OUTPUT], {"images": batch})[0])


def _rename_tensors(path: Path) -> None:
    """Name the output, and number tensors in order: tf2onnx's numbers depend on the hash seed."""
    import onnx

    model = onnx.load(path)
    graph, numbers = model.graph, dict[str, str]()
    (output,) = (each.name for each in graph.output)

    def renumber(found: re.Match[str]) -> str:
        return numbers.setdefault(found[0], f"__{len(numbers)}")

    def rename(name: str) -> str:
        return OUTPUT if name == output else re.sub(r"__\d+", renumber, name)

    for node in graph.node:
        node.name = rename(node.name)
        for names in (node.input, node.output):
            names[:] = map(rename, names)
    for each in (*graph.initializer, *graph.output):
        each.name = rename(each.name)
    for each in (*graph.input, *graph.output):
        each.type.tensor_type.shape.dim[0].dim_param = "n"
    graph.initializer.sort(key=lambda each: each.name)
    onnx.save(model, path)


def _load_litert(path: Path) -> Answer:
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(str(path), num_threads=1).get_signature_runner()
    return lambda batch: np.asarray(*run(images=batch).values())


def _load_saved_model(path: Path) -> Answer:
    from convdepth.models.backend import tf

    loaded = tf.saved_model.load(path)
    return lambda batch: np.asarray(loaded.serve(tf.constant(batch)))


FORMATS = {
    "onnx": Format(
        "onnx", ".onnx", ("tf2onnx", "onnxruntime"), "onnxruntime", _load_onnx, _rename_tensors
    ),
    "litert": Format("litert", ".tflite", ("ai_edge_litert",), "ai-edge-litert", _load_litert),
    "saved_model": Format("tf_saved_model", ".saved_model", (), "TensorFlow", _load_saved_model),
}
