"""TensorFlow is set up by the project, whatever the user's own settings are."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPORT = """
from convdepth.models.backend import configure, keras, tf
configure(threads=3)
print(keras.backend.backend(), keras.config.floatx(), keras.config.image_data_format(),
      tf.config.threading.get_intra_op_parallelism_threads())
keras.ops.ones(3)
"""


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )


def test_a_users_settings_of_keras_change_nothing(tmp_path: Path) -> None:
    (tmp_path / "keras.json").write_text(
        json.dumps({"backend": "jax", "floatx": "float16", "image_data_format": "channels_first"})
    )
    finished = run(REPORT, KERAS_HOME=str(tmp_path), KERAS_BACKEND="torch")
    assert finished.stdout.split() == ["tensorflow", "float32", "channels_last", "3"]


def test_importing_tensorflow_writes_nothing(tmp_path: Path) -> None:
    finished = run(REPORT, KERAS_HOME=str(tmp_path))
    assert finished.returncode == 0
    assert finished.stderr == ""


@pytest.mark.parametrize(("code", "shown"), [("raise ValueError", True), ("pass", False)])
def test_what_is_held_back_is_shown_if_the_import_fails(code: str, shown: bool) -> None:
    finished = run(
        "import os\n"
        "from convdepth.models.backend import _held_stderr\n"
        "with _held_stderr():\n"
        "    os.write(2, b'from native code')\n"
        f"    {code}"
    )
    assert ("from native code" in finished.stderr) == shown
