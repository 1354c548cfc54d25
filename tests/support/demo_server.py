"""The demo in a process of its own, with three small networks, one of which has collapsed."""

import contextlib
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from conftest import SECOND, write_tiny_params

THIRD = """
  flat:
    block1: {conv1: {filters: 4, kernel_size: 3}, pool_size: 4}
    head: {units: 8}
"""
NAMES = ("flat", "tiny", "cnn9")
LEARNED = NAMES[1:]


class Demo(NamedTuple):
    """A running demo, and how long it took until the page was there."""

    url: str
    seconds: float


def make_project(folder: Path, params_text: str) -> None:
    """Write parameters, untrained networks that differ, and the lock; `flat` is all zeros."""
    from convdepth.config.params import read_params
    from convdepth.models.archive import save_network
    from convdepth.models.build import build_network

    params = write_tiny_params(folder, params_text)
    with params.open("a", encoding="utf-8") as file:
        file.write(SECOND + THIRD)
    stages = []
    for seed, (name, architecture) in enumerate(read_params(params).architectures.items()):
        network = build_network(architecture, seed=seed)
        factor = 0 if name == "flat" else 3  # else untrained networks hardly differ, either
        network.set_weights([factor * each for each in network.get_weights()])
        save_network(network, folder / f"{name}.keras")
        stages.append(f"train@{name}: {{cmd: x, outs: [{{path: {name}.keras}}]}}")
    (folder / "dvc.lock").write_text(f"stages: {{{', '.join(stages)}}}", encoding="utf-8")


@contextlib.contextmanager
def run_demo(folder: Path) -> Iterator[Demo]:
    """Run `convdepth demo` on a free port until the block ends."""
    command = [str(Path(sys.executable).parent / "convdepth"), "demo", "--port=0"]
    began = time.monotonic()
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/", line)
        try:
            assert found, line + process.stdout.read()
            with urllib.request.urlopen(found[0], timeout=60) as page:
                assert page.status == 200
            yield Demo(found[0], time.monotonic() - began)
        finally:
            process.terminate()
            said = process.stdout.read()
    assert process.returncode == 128 + 15, said
    assert said == ""
