"""Sizes and latencies of the exported networks, beside Keras, all in one thread on the CPU.

It needs trained models: run ``make repro`` first. Writes ``benchmarks/results/export_formats.json``
and the table in ``benchmarks/README.md``.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from interleaving import time_each
from networks import PARAMS, PROJECT
from reporting import make_parser, record, where

from convdepth.commands.export import export_network
from convdepth.commands.export_formats import FORMATS
from convdepth.config.params import read_params
from convdepth.data.arrays import Images, normalize
from convdepth.data.idx import read_split
from convdepth.models.archive import load_network
from convdepth.workspace.lockfile import model_path, raw_data

CALLS = {1: 100, 128: 4}
"""Number of images at once to the number of calls that are timed together."""


def main() -> None:
    """Measure, and write the results."""
    rounds = make_parser(__doc__, rounds=7).parse_args().rounds
    pixels, _ = read_split(raw_data(PROJECT), "test")
    images = normalize(pixels)
    networks: dict[str, Any] = {}
    works = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, architecture in read_params(PARAMS).architectures.items():
            model = model_path(name, PROJECT)
            answers: dict[str, Callable[[Images], Any]] = {}
            networks[name] = {"keras": {"bytes": model.stat().st_size}}
            for key, form in FORMATS.items():
                path = Path(folder) / f"{name}{form.suffix}"
                proof = export_network(architecture, model, form, pixels, path)
                networks[name][key] = {
                    "bytes": proof.size,
                    "equal": proof.equal,
                    "largest_difference": float(f"{proof.largest_difference:.3g}"),
                }
                answers[key] = form.load(path)
            answers["keras"] = load_network(architecture, model).predict_on_batch
            for key, answer in answers.items():
                for size in CALLS:
                    works[f"{name} {key} {size}"] = partial(_seconds, answer, images[:size])
        for work, each in time_each(works, rounds).items():
            name, key, size = work.split()
            milliseconds = 1000 * statistics.median(each) / CALLS[int(size)]
            networks[name][key][f"milliseconds_{size}"] = round(milliseconds, 3)
    record("export_formats", {"rounds": rounds, "networks": networks}, table)


def _seconds(answer: Callable[[Images], Any], images: Images) -> float:
    started = time.perf_counter()
    for _ in range(CALLS[len(images)]):
        np.asarray(answer(images))
    return time.perf_counter() - started


def table(result: Mapping[str, Any]) -> list[str]:
    """Return the lines for the benchmarks' page."""
    sizes = " | ".join(f"{size} image{'s' if size > 1 else ''}" for size in CALLS)
    lines = [
        f"| network | format | size | {sizes} | equal answers | largest difference |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for name, formats in result["networks"].items():
        for key, each in formats.items():
            cells = [f"`{name}`", key, f"{each['bytes'] / 1e3:,.0f} kB"]
            cells += [f"{each[f'milliseconds_{size}']:.2f} ms" for size in CALLS]
            if key == "keras":
                cells += ["", ""]
            else:
                cells += [f"{each['equal']:,}", f"{each['largest_difference']:.1g}"]
            lines.append(f"| {' | '.join(cells)} |")
    return [*lines, "", f"One thread; {where(result)}."]


if __name__ == "__main__":
    main()
