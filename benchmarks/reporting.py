"""What all measurements share: on what machine, and where the results and the tables go."""

import argparse
import json
import os
import platform
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

FOLDER = Path(__file__).resolve().parent
README = FOLDER / "README.md"

CPU_INFO = Path("/proc/cpuinfo")


def describe_machine() -> dict[str, str | int]:
    """Return the CPU with its family and model, its number of cores, and Python's version."""
    text = CPU_INFO.read_text(encoding="utf-8") if CPU_INFO.exists() else ""
    # The same for each core; Linux has such lines for x86 alone.
    told = dict(re.findall(r"^(model name|cpu family|model)\s*:\s*(.+)$", text, re.MULTILINE))
    cpu = told.get("model name") or platform.processor() or platform.machine()
    if "cpu family" in told and "model" in told:
        cpu = f"{cpu} (family {told['cpu family']}, model {told['model']})"
    return {"cpu": cpu, "cores": os.cpu_count() or 0, "python": platform.python_version()}


def make_parser(doc: str | None, rounds: int | None = None) -> argparse.ArgumentParser:
    """Return a parser for the module with this docstring, with ``--rounds`` if it has a default."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    if rounds:
        parser.add_argument("--rounds", type=int, default=rounds, help="how often each is measured")
    return parser


def where(result: Mapping[str, Any]) -> str:
    """Tell the cores and the CPU of a result, and how many rounds it has, if any."""
    machine = result["machine"]
    told = f"{machine['cores']} cores, {machine['cpu']}"
    return f"{told}; {result['rounds']} rounds" if "rounds" in result else told


def write_results(name: str, result: Mapping[str, Any]) -> None:
    """Write ``results/<name>.json``."""
    text = json.dumps(result, indent=2) + "\n"
    (FOLDER / "results" / f"{name}.json").write_text(text, encoding="utf-8")


def write_rows(name: str, rows: pd.DataFrame) -> None:
    """Write ``results/<name>.csv``."""
    rows.to_csv(FOLDER / "results" / f"{name}.csv", index=False, lineterminator="\n")


def record(
    name: str, result: Mapping[str, Any], table: Callable[[Mapping[str, Any]], list[str]]
) -> dict[str, Any]:
    """Write a result and its machine to ``results/<name>.json``, and its table to ``README.md``."""
    result = {"machine": describe_machine(), **result}
    write_results(name, result)
    write_section(name, table(result))
    return result


def write_section(name: str, lines: Iterable[str], page: Path = README) -> None:
    """Put lines between the markers of a measurement in a page.

    Raises:
        ValueError: The page has no such markers.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    if begin not in page.read_text(encoding="utf-8"):
        raise ValueError(f"{page} has no place for {name}: expected the line {begin.strip()}")
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    text = "\n".join([*lines, ""])
    page.write_text(f"{before}{begin}{text}{end}{rest.partition(end)[2]}", encoding="utf-8")
