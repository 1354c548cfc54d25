"""The only import of TensorFlow and Keras, after the settings that they read meanwhile."""

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from convdepth.core.errors import MachineError
from convdepth.models.cpu import PORTABLE_INSTRUCTIONS, cpu_flags

os.environ["KERAS_BACKEND"] = "tensorflow"  # a user's keras.json may name another one
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"  # changes bits; the default depends on the build
ISA_VARIABLE = "ONEDNN_MAX_CPU_ISA"
for _variable in (
    ISA_VARIABLE,
    "ONEDNN_CPU_ISA_HINTS",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    *("DNNL_MAX_CPU_ISA", "DNNL_CPU_ISA_HINTS", "DNNL_DEFAULT_FPMATH_MODE"),
    "TF_XLA_FLAGS",
):
    os.environ.pop(_variable, None)  # a user's choice of instructions changes bits, too
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # real errors are raised, not only logged


@contextlib.contextmanager
def _held_stderr() -> Iterator[None]:
    """Show what native code writes to stderr only if the block raises.

    TensorFlow's log level is not yet in force during its import, which reports missing GPUs.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


with _held_stderr():
    import keras
    import tensorflow as tf

# It warns of functions that are traced again, as several trainings in one process must be.
tf.get_logger().setLevel(logging.ERROR)

__all__ = ["keras", "tf"]  # for other modules

EVALUATION_BATCH_SIZE = 200
"""Images at once where nothing is learned: more take more memory and no less time."""


def gpu_details() -> list[dict[str, Any]]:
    """Return TensorFlow's details of each usable GPU, such as device_name, compute_capability."""
    devices = tf.config.list_physical_devices("GPU")
    return [tf.config.experimental.get_device_details(device) for device in devices]


def gpus() -> list[str]:
    """Return the model of each GPU that TensorFlow can use; empty where it uses the CPU."""
    return [str(detail.get("device_name", "GPU")) for detail in gpu_details()]


def configure(threads: int, *, portable: bool = False) -> None:
    """Fix the threads of an operation, its instructions and its order of sums: they decide bits.

    Call it once, before TensorFlow does anything. Operations run one after the other. ``portable``
    limits oneDNN to AVX2 instructions; on a GPU it does nothing. A CPU without them is a
    `MachineError`.
    """
    if portable and not gpus():
        if missing := set(PORTABLE_INSTRUCTIONS) - set(cpu_flags()):
            raise MachineError(
                f"train.portable: this CPU has no {' and no '.join(sorted(missing))}, expected "
                f"{' and '.join(PORTABLE_INSTRUCTIONS)}. Set train.portable: false; results then "
                f"have the bytes of this kind of CPU."
            )
        os.environ[ISA_VARIABLE] = "AVX2"  # oneDNN reads it before its first operation
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    for gpu in tf.config.list_physical_devices("GPU"):
        # Else the first training takes all memory of the GPU, and leaves none for another.
        tf.config.experimental.set_memory_growth(gpu, enable=True)
    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")
