"""TensorFlow and Keras, set up so that a result depends on the parameters and not on the user.

The one module that imports them: others take `keras` and `tf` from here, and so cannot import
them before the settings that TensorFlow reads while it is imported.
"""

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

ONEDNN_VARIABLE = "TF_ENABLE_ONEDNN_OPTS"

os.environ["KERAS_BACKEND"] = "tensorflow"  # a user's keras.json may name another one
os.environ[ONEDNN_VARIABLE] = "1"  # changes bits; the default depends on the build
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
    """Hold back what native code writes to stderr, and show it only if the block raises.

    While TensorFlow is imported its log level is not yet in force, and it tells of missing GPUs.
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

# It warns of functions that are traced anew, which several trainings in one process must be.
tf.get_logger().setLevel(logging.ERROR)

__all__ = [
    "EVALUATION_BATCH_SIZE",
    "ONEDNN_VARIABLE",
    "configure",
    "gpu_details",
    "gpus",
    "keras",
    "tf",
]

EVALUATION_BATCH_SIZE = 1000
"""Images at once where nothing is learned: large is fast, and 1,000 take some 100 MB."""


def gpus() -> list[str]:
    """Ask TensorFlow which GPUs it can use.

    Returns:
        The model of each, such as ``NVIDIA A100-SXM4-40GB``; empty where it uses the CPU.
    """
    return [str(detail.get("device_name", "GPU")) for detail in gpu_details()]


def gpu_details() -> list[dict[str, Any]]:
    """Ask TensorFlow about the GPUs that it can use.

    Returns:
        What it knows of each, such as device_name and compute_capability.
    """
    return [
        tf.config.experimental.get_device_details(gpu)
        for gpu in tf.config.list_physical_devices("GPU")
    ]


def configure(threads: int) -> None:
    """Fix what bits depend on: the number of threads, and the order of every sum.

    Of a GPU's memory, no more is taken than is used.

    To be called once, before TensorFlow does anything.

    Args:
        threads: Threads within one operation. Operations themselves run one after the other.

    Raises:
        RuntimeError: TensorFlow has already started with other settings.
    """
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    for gpu in tf.config.list_physical_devices("GPU"):
        # Else the first training takes all of its memory, and leaves no room for another.
        tf.config.experimental.set_memory_growth(gpu, enable=True)
    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")
