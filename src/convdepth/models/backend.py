"""The only import of TensorFlow and Keras, after the settings that they read meanwhile."""

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"  # a user's keras.json may name another one
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"  # changes bits; the default depends on the build
for _variable in (
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
    "ONEDNN_DEFAULT_FPMATH_MODE",
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

EVALUATION_BATCH_SIZE = 1000
"""Images at once where nothing is learned: large is fast, and 1,000 take about 100 MB."""


def gpu_details() -> list[dict[str, Any]]:
    """Return TensorFlow's details of each usable GPU, such as device_name, compute_capability."""
    devices = tf.config.list_physical_devices("GPU")
    return [tf.config.experimental.get_device_details(device) for device in devices]


def gpus() -> list[str]:
    """Return the model of each GPU that TensorFlow can use; empty where it uses the CPU."""
    return [str(detail.get("device_name", "GPU")) for detail in gpu_details()]


def configure(threads: int) -> None:
    """Fix the threads within one operation and the order of sums, on which bits depend.

    Call it once, before TensorFlow does anything. Operations run one after the other.
    """
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    for gpu in tf.config.list_physical_devices("GPU"):
        # Else the first training takes all memory of the GPU, and leaves none for another.
        tf.config.experimental.set_memory_growth(gpu, enable=True)
    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")
