"""TensorFlow is set up by the project, whatever the user's own settings are."""

import json
import os
import subprocess
import sys
from pathlib import Path

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


def test_a_users_settings_of_keras_change_nothing_and_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "keras.json").write_text(
        json.dumps({"backend": "jax", "floatx": "float16", "image_data_format": "channels_first"})
    )
    finished = run(REPORT, KERAS_HOME=str(tmp_path), KERAS_BACKEND="torch")
    assert finished.stdout.split() == ["tensorflow", "float32", "channels_last", "3"]
    assert finished.stderr == ""


def test_what_the_import_writes_is_shown_if_it_fails(tmp_path: Path) -> None:
    (tmp_path / "keras.py").write_text("import os\nos.write(2, b'from native code')\n1 / 0\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    finished = run("import convdepth.models.backend", PYTHONPATH=path)
    assert finished.returncode
    assert "from native code" in finished.stderr
